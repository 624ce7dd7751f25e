"""New releases of watched families: found on the Hub and in folders, filtered, looked into, registered, followed up.

`one_pass` does all of it for a family and writes the tables `releases` and `release_polls`. What is known is kept in a
`book`; `listing` asks the Hub what there is, `filters` decide by what the listing shows, `judging` looks into what is
left of it and registers, `folders` does both for watched folders, `states` follows up what became of it. Everything is
written after the listing and again after the decisions, so that a pass that is killed has lost nothing but its time.
"""

from resources.releases.passing import Passed, held_until, one_pass
from resources.releases.states import seen_from

__all__ = ["Passed", "held_until", "one_pass", "seen_from"]
