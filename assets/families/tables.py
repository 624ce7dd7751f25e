"""Tables of the group `families`: what waits to be made."""

from __future__ import annotations

from resources.warehouse import table

TABLES = (
    table(
        "backlog",
        "warehouse",
        "model",
        "Models of automatic families that are not up to date, in the order in which a backfill makes them.",
        """
        place INTEGER Place in the order, counted from 0: least tried first, then the newest release.
        model VARCHAR Model that waits.
        family VARCHAR Model family.
        released_at TIMESTAMPTZ When the Hub says it was made, else when it was found or written; may be null.
        assets VARCHAR[] Assets that are to be made, in order.
        why VARCHAR missing, unfinished, older code, or changed (files, settings or rows that it is made from).
        held VARCHAR[] Assets that are left out: given up until something changes, or not due yet.
        held_reason VARCHAR Why the first of them is left out.
        tries INTEGER Tries in vain, at most, of what waits; of failures that pass, such as a network's, none.
        last_failure VARCHAR Why the last try failed.
        """,
    ),
)
