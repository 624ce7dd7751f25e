"""The result of one task on one model: its metrics, and every document's own score."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True)
class Samples:
    """Scores of the single documents of one task under one metric and filter.

    `scores` has one row per document: a number, or a log-likelihood and a weight. `statistic` says how the task's
    score follows from them (rotoscale.contrast.STATISTICS), empty where the harness does it in a way of its own.
    """

    task: str
    metric: str
    filter: str
    statistic: str
    documents: list[int]
    scores: list[list[float]]

    def single(self) -> npt.NDArray[np.float64]:
        """One number per document in the metric's own unit: of a perplexity, that document's perplexity."""
        import numpy as np

        values = np.asarray(self.scores, dtype=np.float64)
        if values.shape[1] == 1:
            return values[:, 0]
        rate = -values[:, 0] / np.maximum(values[:, 1], 1)
        return rate / math.log(2) if self.statistic == "bits_per_byte" else np.exp(np.minimum(rate, 700.0))


@dataclass(frozen=True)
class Answers:
    """What a model answered to the single documents of one task, where the task makes it answer."""

    task: str
    documents: list[int]
    texts: list[str]


@dataclass(frozen=True)
class Scores:
    """Result of one task (of a group, with all its parts) on one model."""

    rows: list[dict[str, Any]]
    """Columns of `evaluation_scores` that belong to the task: task, metric, filter, value, stderr, ..."""
    samples: list[Samples] = field(default_factory=list)
    answers: list[Answers] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The result as it is stored."""
        stored = {"rows": self.rows, "samples": [asdict(sample) for sample in self.samples]}
        return {**stored, "answers": [asdict(answers) for answers in self.answers]} if self.answers else stored

    @classmethod
    def from_json(cls, stored: Any) -> Scores:
        """A result as `as_json` wrote it.

        Raises ValueError for anything of another shape, which is then as good as absent.
        """
        if not isinstance(stored, Mapping) or set(stored) | {"answers"} != {"rows", "samples", "answers"}:
            raise ValueError("not the result of a task")
        rows, samples, answers = (_objects(stored.get(name, [])) for name in ("rows", "samples", "answers"))
        for row in rows:
            _require(all(row.get(name).__class__ is kind for name, kind in _ROW.items()))
            _require(isinstance(row.get("stderr"), float | None) and "stderr" in row)
        return cls(rows, [_sample(found) for found in samples], [_answers(found) for found in answers])


_ROW = {"task": str, "metric": str, "filter": str, "value": float, "is_primary": bool, "n_samples": int, "n_shot": int}
"""What every row must have for the tables and the contrasts to be made of it."""


def _sample(found: dict[str, Any]) -> Samples:
    _require(set(found) == set(Samples.__dataclass_fields__))
    _require(all(isinstance(found[name], str) for name in ("task", "metric", "filter", "statistic")))
    documents, scores = found["documents"], found["scores"]
    _require(isinstance(documents, list) and isinstance(scores, list) and len(documents) == len(scores))
    _require(all(document.__class__ is int for document in documents))
    _require(all(isinstance(row, list) and len(row) in (1, 2) for row in scores))
    _require(len({len(row) for row in scores}) <= 1 and all(x.__class__ is float for row in scores for x in row))
    return Samples(**found)


def _answers(found: dict[str, Any]) -> Answers:
    _require(set(found) == set(Answers.__dataclass_fields__) and isinstance(found["task"], str))
    documents, texts = found["documents"], found["texts"]
    _require(isinstance(documents, list) and isinstance(texts, list) and len(documents) == len(texts))
    _require(all(document.__class__ is int for document in documents) and all(isinstance(text, str) for text in texts))
    return Answers(**found)


def _objects(value: Any) -> list[dict[str, Any]]:
    _require(isinstance(value, list) and all(isinstance(item, dict) for item in value))
    return list(value)


def _require(holds: bool) -> None:
    if not holds:
        raise ValueError("not the result of a task")
