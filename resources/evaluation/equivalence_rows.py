"""Rows of `equivalence`: is nothing lost where a recipe claims that nothing happens?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from resources.evaluation.scores import Samples

if TYPE_CHECKING:
    from resources.evaluation.scoring import Results
    from resources.families import Task
    from rotoscale.equivalence import Equivalence


def equivalence_rows(
    results: Mapping[str, Results], tasks: Sequence[Task], *, post: str, edits: Iterable[str]
) -> Iterator[dict[str, Any]]:
    """One row for each edit, task and metric that has a stated margin: the edit against the post model.

    Accuracies of 0 and 1 at two points, perplexities at one per cent (docs/methods.md, section 3), of the documents
    that both were scored on; other metrics have no margin and no row. Of several answer filters the first counts.
    """
    for edit in edits:
        for task in tasks:
            pair = [found.scores.get(task.name) if (found := results.get(name)) else None for name in (edit, post)]
            if pair[0] is None or pair[1] is None:
                continue
            ours, theirs = (_samples(scores.samples, task.name) for scores in pair if scores is not None)
            for metric in ours.keys() & theirs.keys():
                test = _tested(ours[metric], theirs[metric])
                if test is not None:
                    yield {"edit_id": edit, "task": task.name, "metric": metric, **_columns(test)}


def _samples(samples: Iterable[Samples], task: str) -> dict[str, Samples]:
    found: dict[str, Samples] = {}
    for sample in samples:
        if sample.task == task:
            found.setdefault(sample.metric, sample)
    return found


def _tested(ours: Samples, theirs: Samples) -> Equivalence | None:
    from rotoscale.equivalence import EquivalenceError, equivalent_accuracy, equivalent_mean

    first, second = (dict(zip(sample.documents, sample.scores, strict=True)) for sample in (ours, theirs))
    common = sorted(first.keys() & second.keys())
    a, b = ([scores[document][0] for document in common] for scores in (first, second))
    try:
        if ours.statistic == "mean":
            return equivalent_accuracy(a, b)
        if ours.statistic == "perplexity":
            return equivalent_mean(a, b)
        if ours.statistic == "weighted_perplexity":
            return equivalent_mean(a, b, weights=[first[document][1] for document in common])
    except EquivalenceError:
        return None  # graded scores, too few documents, or scores that are not finite
    return None


def _columns(test: Equivalence) -> dict[str, Any]:
    names = (
        "difference",
        "stderr",
        "low",
        "high",
        "margin",
        "p_value",
        "p_not_worse",
        "p_worse",
        "p_better",
        "power",
        "n",
    )
    return {name: getattr(test, name) for name in names}
