"""Finished results, one small record each, found by what they were made from.

A result depends on the weights (by hash), on what was asked, and on versions and settings; all of it is in the key. So
a killed run resumes at the task it was at, a new task scores only itself, and a base is scored once for all its
descendants. A record carries a checksum (resources/records.py): one that was damaged or edited is computed again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from types import UnionType
from typing import Any

from resources.records import read_record, write_record


class ResultStore:
    """JSON results under one folder. The first part of a key says what kind of result it is."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def path(self, *key: Any) -> Path:
        """Where the result of a key lies, whether or not it exists."""
        name = hashlib.sha256(json.dumps(key, sort_keys=True, default=str).encode()).hexdigest()
        return self.folder / name[:2] / f"{name}.json"

    def find(self, *key: Any) -> Any | None:
        """The result of a key; None when there is none, it is damaged, or has not the shape of its kind."""
        return read_record(self.path(*key), check=_SHAPES.get(key[0], lambda _: True))

    def keep(self, result: Any, *key: Any) -> None:
        """Store a result, atomically."""
        write_record(self.path(*key), result)


def _is_scores(value: Any) -> bool:
    from resources.evaluation.harness import Scores

    scores = Scores.from_json(value)
    return _are_rows(scores.rows, task=str, metric=str, filter=str, value=float) and all(
        len(sample.documents) == len(sample.scores)
        and all(len(score) in (1, 2) and all(isinstance(x, float) for x in score) for score in sample.scores)
        for sample in scores.samples
    )


def _are_rows(value: Any, /, **fields: type | UnionType) -> bool:
    """Whether a value is a list of objects that have these fields, among others."""
    return isinstance(value, list) and all(
        isinstance(row[name], type_) for row in value for name, type_ in fields.items()
    )


_SHAPES: dict[str, Callable[[Any], bool]] = {
    "score": _is_scores,
    "generations": lambda value: _are_rows(value, prompt_id=int, prompt=str, text=str, n_tokens=int),
    "entropies": lambda value: all(isinstance(x, float) for prompt in value for layer in prompt for x in layer),
    "cka": lambda value: _are_rows(value, layer=int, cka=float | None, n_tokens=int),
    "broken": lambda value: isinstance(value, str),
}
"""What a result of each kind looks like; of a kind that is not here, any shape will do."""
