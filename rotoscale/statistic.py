"""How a dataclass of statistics explains itself: each field carries the sentence that users read about it.

The warehouse makes its columns from these fields, so that a statistic is named, typed and explained in one place. The
dataclasses live in modules that do not import torch, because everything that loads the tables' definitions loads them.
"""

from __future__ import annotations

import types
import typing
from dataclasses import MISSING, field, fields
from typing import Any

_TYPES = {float: "DOUBLE", int: "INTEGER", bool: "BOOLEAN", str: "VARCHAR"}
_LISTS = {float: "FLOAT[]", int: "INTEGER[]"}


def statistic(text: str, *, type: str | None = None, default: Any = None, factory: Any = MISSING) -> Any:
    """A dataclass field with its explanation; None (missing) unless a default is given.

    `type` is the DuckDB type where the annotation does not say it: `BIGINT` for a seed. `factory` makes the default
    of a list.
    """
    metadata = {"text": text, "type": type}
    if factory is not MISSING:
        return field(default_factory=factory, metadata=metadata)
    return field(default=default, metadata=metadata)


def described(statistics: Any) -> list[tuple[str, str, str]]:
    """(name, DuckDB type, text) of every field of a dataclass of statistics that was made with `statistic`."""
    hints = typing.get_type_hints(statistics)
    return [
        (one.name, one.metadata["type"] or _sql(hints[one.name]), one.metadata["text"])
        for one in fields(statistics)
        if "text" in one.metadata
    ]


def _sql(annotation: Any) -> str:
    """The DuckDB type of `float | None`, `int`, `list[float]` and the like."""
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        annotation = next(part for part in typing.get_args(annotation) if part is not types.NoneType)
    if typing.get_origin(annotation) is list:
        inner = typing.get_args(annotation)[0]
        if typing.get_origin(inner) in (types.UnionType, typing.Union):
            inner = next(part for part in typing.get_args(inner) if part is not types.NoneType)
        return _LISTS[inner]
    return _TYPES[annotation]
