"""Pairs of models of a family, and the name that rows about a pair are stored under."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from itertools import combinations

from resources.families.entries import ModelEntry

_MARK = "@"  # no model's id has one
_LONGEST = 200  # of a file's name, in bytes; ids are ASCII


def pair_key(first: str, second: str) -> str:
    """The name that rows about two models are stored under, whichever of them is named first; a folder's name."""
    name = _MARK.join(sorted((first, second)))
    return name if len(name) <= _LONGEST else f"{_MARK}{hashlib.sha256(name.encode()).hexdigest()}"


def pairs_of(entries: Iterable[ModelEntry]) -> Iterator[tuple[ModelEntry, ModelEntry]]:
    """Every two models of one family, and each model with what it is compared with in another family.

    A base comes before another model, else the order is that of the ids.
    """
    known = {entry.id: entry for entry in entries}
    by_family: dict[str, list[ModelEntry]] = {}
    for entry in known.values():
        by_family.setdefault(entry.family, []).append(entry)
    for members in by_family.values():
        yield from combinations(sorted(members, key=_place), 2)
    for entry in known.values():
        others = (known[name] for name in entry.dependencies if name in known)
        yield from ((other, entry) for other in others if other.family != entry.family)


def _place(entry: ModelEntry) -> tuple[bool, str]:
    return entry.role != "base", entry.id
