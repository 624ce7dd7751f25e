"""HC4 from document scores to the verdict: how often it is wrong, and how often it can tell, by simulation."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

import numpy as np

from resources.evaluation.drawn_controls import MIRROR, NOISE, ControlDraws, Draw
from rotoscale.claims import CLAIMS, REFUTED, SUPPORTED, UNDECIDED, Evidence
from rotoscale.control_draws import AS_BAD

TASKS, EDITS, DOCUMENTS, DRAWS, SEEDS = ("sums", "boxes", "turns"), ("disrupt-left", "disrupt-right"), 24, 19, 200


def verdict(seed: int, times: float, scatter: float = 0.1, collapsed: bool = True) -> str:
    """The verdict on edits that lose `times` what a draw of their control loses, draws scattering by `scatter`."""
    random = np.random.default_rng(seed)
    post = {task: random.normal(-2, 1, DOCUMENTS) for task in TASKS}
    hurt = {task: random.gamma(4, 1.5, DOCUMENTS) for task in TASKS}  # some documents suffer more from anything

    def damaged(factor: float) -> Draw:
        size = factor * np.exp(random.normal(0, scatter))  # a draw is bad or mild on every task
        values = {t: post[t] - hurt[t] * size - random.normal(0, 1, DOCUMENTS) for t in TASKS}
        return Draw(values, 0.5)

    drawn = ControlDraws(
        "m",
        list(EDITS),
        list(TASKS),
        base={task: values - 100 for task, values in post.items()},
        post=post,
        edits={edit: damaged(times) for edit in EDITS},
        draws={(edit, control): [damaged(1.0) for _ in range(DRAWS)] for edit in EDITS for control in (NOISE, MIRROR)},
    )
    scores: list[dict[str, Any]] = []
    contrasts: list[dict[str, Any]] = []
    for task in TASKS:
        for subject in ("m", *EDITS):
            value = 0.01 if collapsed and subject != "m" else 0.8
            scores.append({"subject_id": subject, "task": task, "metric": "acc", "value": value, "stderr": 0.01})
        contrasts += [
            {"subject_id": e, "reference_id": "m", "task": task, "metric": "acc", "p_value": 1e-9} for e in EDITS
        ]
    edits = [{"edit_id": e, "model_id": "m", "label": e, "is_control": False} for e in EDITS]
    tables = {"control_tests": drawn.tests(), "evaluation_scores": scores}
    evidence = Evidence("f", "m", "b", tables | {"evaluation_contrasts": contrasts, "edited_checkpoints": edits})
    return CLAIMS["HC4"].judge(evidence).verdict


@cache
def words(times: float, **more: Any) -> Counter[str]:
    """Verdicts by how often they are given; several tests ask for the same."""
    return Counter(verdict(seed, times, **more) for seed in range(SEEDS))


def test_one_more_draw_of_the_control_is_never_called_worse() -> None:
    for scatter in (0.02, 0.1, 0.4):
        assert words(1.0, scatter=scatter)[SUPPORTED] <= 0.05 * SEEDS


def test_an_edit_that_loses_more_than_the_margin_is_hardly_ever_called_no_worse() -> None:
    for scatter in (0.02, 0.1, 0.4):
        assert words(1 / AS_BAD, scatter=scatter)[REFUTED] <= 0.05 * SEEDS


def test_it_tells_what_there_is_to_tell() -> None:
    assert words(1.0, scatter=0.02)[REFUTED] > 0.9 * SEEDS
    assert words(2.0)[SUPPORTED] > 0.9 * SEEDS


def test_without_power_and_without_a_collapse_nothing_is_decided() -> None:
    scattered = words(1.0, scatter=0.4)
    assert scattered[UNDECIDED] > 0.9 * SEEDS
    assert words(1.0, collapsed=False) == {UNDECIDED: SEEDS}
