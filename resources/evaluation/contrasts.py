"""Paired comparisons of two subjects on the documents that both were scored on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from resources.evaluation.harness import Scores
from resources.evaluation.scoring import Results
from resources.families import Task


@dataclass(frozen=True)
class Comparison:
    """Two subjects that are to be compared, and what that says."""

    subject: str
    reference: str
    relation: str


def contrast_rows(
    comparisons: Iterable[Comparison], results: dict[str, Results], tasks: Sequence[Task], seed: int
) -> Iterator[dict[str, Any]]:
    """Rows of `evaluation_contrasts`: every comparison on every task, metric and filter that both were scored on.

    The documents of a group's tasks are taken together.
    """
    import numpy as np

    from rotoscale.contrast import ContrastError, contrast

    for comparison in comparisons:
        for task in tasks:
            pair = [results[name].scores.get(task.name) for name in (comparison.subject, comparison.reference)]
            if None in pair:
                continue
            ours, theirs = (_by_metric(scores) for scores in pair if scores is not None)
            for metric, filter_name in ours:
                first, second = ours[metric, filter_name], theirs.get((metric, filter_name), {})
                common = sorted(first.keys() & second.keys())
                facts = _facts(pair[0], task.name, metric, filter_name)
                if not common or facts is None:
                    continue
                statistic = facts.pop("statistic")
                try:
                    found = contrast(
                        np.asarray([first[document] for document in common]),
                        np.asarray([second[document] for document in common]),
                        statistic=statistic,
                        seed=seed,
                    )
                except ContrastError:
                    continue  # not finite on some documents: the score's own row says so
                yield {
                    "subject_id": comparison.subject,
                    "reference_id": comparison.reference,
                    "relation": comparison.relation,
                    "task": task.name,
                    "metric": metric,
                    "filter": filter_name,
                    **facts,
                    **asdict(found),
                }


def _by_metric(scores: Scores) -> dict[tuple[str, str], dict[tuple[str, int], list[float]]]:
    """Document scores by metric and filter, each by (task, document)."""
    found: dict[tuple[str, str], dict[tuple[str, int], list[float]]] = {}
    for sample in scores.samples:
        documents = found.setdefault((sample.metric, sample.filter), {})
        documents.update({(sample.task, d): s for d, s in zip(sample.documents, sample.scores, strict=True)})
    return found


def _facts(scores: Scores | None, task: str, metric: str, filter_name: str) -> dict[str, Any] | None:
    """What the score's row says of the metric; None for one that the task as a whole does not have."""
    assert scores is not None
    samples = [sample for sample in scores.samples if (sample.metric, sample.filter) == (metric, filter_name)]
    statistics = {sample.statistic for sample in samples}
    for row in scores.rows:
        if (row["task"], row["metric"], row["filter"]) == (task, metric, filter_name) and len(statistics) == 1:
            facts = {name: row[name] for name in ("higher_is_better", "is_primary")}
            return {**facts, "statistic": statistics.pop()}
    return None
