"""Dagster definitions of the group `claims`."""

import dagster as dg

from assets.claims.claims import claims
from assets.claims.findings import findings

defs = dg.Definitions(assets=[claims, findings])
