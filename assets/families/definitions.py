"""Dagster definitions of the group `families`."""

import dagster as dg

from assets.families.warehouse import warehouse

defs = dg.Definitions(assets=[warehouse])
