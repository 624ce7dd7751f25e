"""Dagster definitions of the group `relations`."""

import dagster as dg

from assets.relations.lineage import lineage

defs = dg.Definitions(assets=[lineage])
