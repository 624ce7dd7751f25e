"""What lm-eval returns, taken apart: tasks and groups, documents by metric, our statistic for its aggregation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

MOST_CHARACTERS = 2000
"""Of an answer that is kept to be looked at."""


def leaves(built: Any) -> list[Any]:
    """The single tasks of a task or of a group."""
    return list(built.get_all_tasks()) if hasattr(built, "get_all_tasks") else [built]


def members(found: Mapping[str, Any], name: str) -> set[str]:
    """The tasks that a result's name stands for: those below a group, or the task itself."""
    children = found["group_subtasks"].get(name)
    if children is None:
        return {name}
    return set().union(*(members(found, child) for child in children)) if children else set()


def first_metric(leaves: Mapping[str, Any], parts: Sequence[str]) -> str:
    """The metric that a task's own file names first; the harness reports them in an order of its own."""
    for part in parts:
        metrics = getattr(leaves[part].config, "metric_list", None) if part in leaves else None
        if metrics:
            return str(metrics[0]["metric"])
    return ""


def by_metric(logged: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str, list[Mapping[str, Any]]]]:
    """Logged documents by metric and filter, in document order."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in logged:
        for metric in row["metrics"]:
            groups.setdefault((metric, row["filter"]), []).append(row)
    for (metric, filter_name), rows in groups.items():
        yield metric, filter_name, sorted(rows, key=lambda row: row["doc_id"])


def answers(leaf: Any, logged: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    """What the model answered to each document, by its number: text that it wrote, or the choice it found likeliest.

    Empty for tasks that only weigh a given text, which leaves none.
    """
    found: dict[int, str] = {}
    for row in logged:
        if row["doc_id"] not in found:
            text = _answer(leaf, row)
            if text is not None:
                found[row["doc_id"]] = text[:MOST_CHARACTERS]
    return found


def _answer(leaf: Any, row: Mapping[str, Any]) -> str | None:
    if leaf.OUTPUT_TYPE == "generate_until":
        return str(row["resps"][0][0])
    if leaf.OUTPUT_TYPE == "multiple_choice":
        choices = leaf.doc_to_choice(row["doc"])
        # Behind those of the choices there may be the likelihoods without the question, which some metrics need.
        likelihoods = [response[0][0] for response in row["resps"][: len(choices)]]
        return str(choices[max(range(len(likelihoods)), key=likelihoods.__getitem__)])
    return None


def is_pair(value: Any) -> bool:
    """Whether a document's score is a log-likelihood with a weight."""
    return isinstance(value, list | tuple) and len(value) == 2


def statistic_name(aggregate: Callable[..., float] | None, values: Sequence[Any]) -> str:
    """The name of our statistic that does what the harness's aggregation does; empty where none does."""
    from rotoscale.contrast import STATISTICS

    name = "mean" if aggregate is None else getattr(aggregate, "__name__", "")
    pairs = name in ("weighted_perplexity", "bits_per_byte")
    fits = all(is_pair(v) if pairs else isinstance(v, int | float) for v in values)
    return name if name in STATISTICS and fits else ""


def pooled(errors: Sequence[float | None], sizes: Sequence[int]) -> float | None:
    """Standard error over all documents of several tasks; of one task its own."""
    if len(errors) == 1:
        return errors[0]
    present = [error for error in errors if error is not None]
    total, tasks = sum(sizes), len(sizes)
    if len(present) < tasks or total <= tasks:
        return None
    # As the harness pools them: the variance within the tasks, over all their documents.
    variance = sum((n - 1) * error**2 * n for n, error in zip(sizes, present, strict=True)) / (total - tasks)
    return (variance / total) ** 0.5
