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
    """Every two models of one family; of each pair the base comes first, else the order is that of their ids."""
    by_family: dict[str, list[ModelEntry]] = {}
    for entry in entries:
        by_family.setdefault(entry.family, []).append(entry)
    for members in by_family.values():
        yield from combinations(sorted(members, key=lambda one: (one.role != "base", one.id)), 2)
