"""Rows made of results that are there: how degenerate a subject's texts are, and what its edits brought back."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from resources.evaluation.scores import Samples

if TYPE_CHECKING:
    from resources.evaluation.scoring import Results
    from resources.families import Task


def degeneration_rows(results: Iterable[Results]) -> Iterator[dict[str, Any]]:
    """One row for each subject that wrote texts: subject_id and the measures of rotoscale.degeneration."""
    from rotoscale.degeneration import degeneration

    for found in results:
        if found.generations:
            texts = [row["tokens"] for row in found.generations]
            yield {"subject_id": found.subject.id, **asdict(degeneration(texts, found.generations[0]["vocabulary"]))}


def recovered_gain_rows(
    results: Mapping[str, Results],
    tasks: Sequence[Task],
    *,
    base: str,
    post: str,
    edits: Iterable[str],
    straight_lines: Mapping[str, str] | None = None,
) -> Iterator[dict[str, Any]]:
    """Rows of `recovered_gain`: edit_id, task, metric, gain, ci_low, ci_high, straight_line with its interval,
    base_value, post_value, p_gain, trained, n.

    On each task's primary metric and the documents that all three were scored on; log-likelihoods in place of a
    perplexity made of them. gain and its interval are as in rotoscale.control_draws.recovered_gain, None for what is
    not finite. p_gain: two-sided, that post and base differ at all. trained: the post model is better than the base,
    with p_gain below 0.05 after Benjamini and Hochberg over the tasks; only then is there a gain to recover.
    straight_lines: by edit, the edit on the straight line at the same distance from the base, whose gain is
    `straight_line`.
    """
    for edit in edits:
        line = (straight_lines or {}).get(edit)
        found = {task.name: _gain(results, task.name, edit, base, post) for task in tasks}
        rows = {task: row for task, row in found.items() if row is not None}
        for task, trained in _trained(rows).items():
            beside = (_gain(results, task, line, base, post) if line else None) or {}
            interval = {f"straight_line{end}": beside.get(f"ci{end}") for end in ("_low", "_high")}
            row = {name: value for name, value in rows[task].items() if name != "gained"}
            yield {
                "edit_id": edit,
                "task": task,
                **row,
                "straight_line": beside.get("gain"),
                **interval,
                "trained": trained,
            }


def _trained(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, bool]:
    """By task: whether the post model is better than the base, beyond chance."""
    from rotoscale.multiple import LEVEL, benjamini_hochberg

    corrected = benjamini_hochberg([row["p_gain"] for row in rows.values()])
    return {
        task: q is not None and q < LEVEL and row["gained"]
        for (task, row), q in zip(rows.items(), corrected, strict=True)
    }


def _gain(results: Mapping[str, Results], task: str, edit: str, base: str, post: str) -> dict[str, Any] | None:
    from rotoscale.control_draws import ControlError, recovered_gain

    primary = [_primary(results.get(subject), task) for subject in (edit, base, post)]
    if any(found is None for found in primary):
        return None
    scores = [_by_document(found) for found in primary if found is not None]
    common = sorted(set.intersection(*(set(found) for found in scores)))
    try:
        of_edit, of_base, of_post = ([found[document] for document in common] for found in scores)
        gain = recovered_gain(of_edit, of_base, of_post)
    except ControlError:
        return None  # too few documents, or scores that are not finite
    sample = primary[0]
    assert sample is not None
    return {
        "metric": sample.metric,
        "base_value": gain.base,
        "post_value": gain.post,
        "gained": gain.post > gain.base if _more_is_better(results[post], sample) else gain.post < gain.base,
        "gain": gain.gain,
        "ci_low": float(gain.low) if math.isfinite(gain.low) else None,
        "ci_high": float(gain.high) if math.isfinite(gain.high) else None,
        "p_gain": gain.p_denominator,
        "n": gain.n,
    }


def _primary(found: Results | None, task: str) -> Samples | None:
    """Document scores of a task's primary metric; of a group of tasks there is none."""
    scores = found.scores.get(task) if found else None
    if scores is None:
        return None
    metric = next((row["metric"] for row in scores.rows if row["is_primary"] and row["task"] == task), None)
    return next((sample for sample in scores.samples if (sample.task, sample.metric) == (task, metric)), None)


def _more_is_better(found: Results, sample: Samples) -> bool:
    """Of a document's number as `_by_document` gives it; a log-likelihood is always better when larger."""
    if sample.statistic in ("perplexity", "weighted_perplexity", "bits_per_byte"):
        return True
    rows = found.scores[sample.task].rows
    keys = ((row["task"], row["metric"]) == (sample.task, sample.metric) for row in rows)
    row = next((row for row, same in zip(rows, keys, strict=True) if same), {})
    return row.get("higher_is_better") is not False


def _by_document(sample: Samples) -> dict[int, float]:
    """One number for each document: its score, or its log-likelihood over its weight."""
    values = [score[0] if len(score) == 1 else score[0] / max(score[1], 1.0) for score in sample.scores]
    return dict(zip(sample.documents, values, strict=True))
