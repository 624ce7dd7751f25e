"""Dagster definitions of the group `circuits`."""

import dagster as dg

from assets.circuits.checks import CHECKS
from assets.circuits.circuits import circuits
from assets.circuits.faithfulness import circuit_faithfulness
from assets.circuits.masks import component_masks
from assets.circuits.patching import cross_model_patching

defs = dg.Definitions(
    assets=[circuits, circuit_faithfulness, component_masks, cross_model_patching], asset_checks=CHECKS
)
