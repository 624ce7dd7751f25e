"""Group `families`: the published file, and with it the list of what waits."""

from __future__ import annotations

from assets.families.tables import TABLES
from assets.groups import Group

GROUP = Group("families", others=("warehouse",), tables=TABLES)
