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
    """Rows of `recovered_gain`: edit_id, task, metric, gain, ci_low, ci_high, straight_line, p_gain, n.

    On each task's primary metric and the documents that all three were scored on; log-likelihoods in place of a
    perplexity made of them. gain and its interval are as in rotoscale.control_draws.recovered_gain, None for what is
    not finite. p_gain: two-sided, that post and base differ at all. straight_lines: by edit, the edit on the straight
    line at the same distance from the base; `straight_line` is that one's gain.
    """
    for edit in edits:
        line = (straight_lines or {}).get(edit)
        for task in tasks:
            row = _gain(results, task.name, edit, base, post)
            if row is not None:
                beside = _gain(results, task.name, line, base, post) if line else None
                yield {"edit_id": edit, "task": task.name, **row, "straight_line": beside["gain"] if beside else None}


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
    return {
        "metric": primary[0].metric if primary[0] else "",
        "gain": gain.gain,
        "ci_low": gain.low if math.isfinite(gain.low) else None,
        "ci_high": gain.high if math.isfinite(gain.high) else None,
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


def _by_document(sample: Samples) -> dict[int, float]:
    """One number for each document: its score, or its log-likelihood over its weight."""
    values = [score[0] if len(score) == 1 else score[0] / max(score[1], 1.0) for score in sample.scores]
    return dict(zip(sample.documents, values, strict=True))
