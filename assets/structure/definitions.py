"""Dagster definitions of the group `structure`."""

import dagster as dg

from assets.structure.checks import CHECKS
from assets.structure.comparison import comparison_statistics
from assets.structure.decompositions import decompositions

defs = dg.Definitions(assets=[decompositions, comparison_statistics], asset_checks=CHECKS)
