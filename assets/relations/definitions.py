"""Dagster definitions of the group `relations`."""

import dagster as dg

from assets.relations.descendants import descendant_relations
from assets.relations.lineage import lineage
from assets.relations.lines import straight_lines

defs = dg.Definitions(assets=[lineage, descendant_relations, straight_lines])
