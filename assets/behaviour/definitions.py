"""Dagster definitions of the group `behaviour`."""

import dagster as dg

from assets.behaviour.checks import CHECKS
from assets.behaviour.control_draws import control_draws
from assets.behaviour.edits import edited_checkpoints
from assets.behaviour.scores import evaluation_scores

defs = dg.Definitions(assets=[edited_checkpoints, control_draws, evaluation_scores], asset_checks=CHECKS)
