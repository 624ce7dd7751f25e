"""Dagster definitions of the group `models`, and the sensor that keeps its partitions."""

import dagster as dg

from assets.models.checkpoints import checkpoints
from assets.models.checks import CHECKS
from assets.models.sensors import registered_models

defs = dg.Definitions(assets=[checkpoints], asset_checks=CHECKS, sensors=[registered_models])
