"""Made-up rows of what stands beside scores: control draws and their tests, recovered gains, equivalence, and texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Rows = list[dict[str, Any]]
DISRUPTIVE = ("disrupt-left", "disrupt-right")
DRAWS = 5


def control_rows(model: str, tasks: Sequence[str], random: np.random.Generator) -> dict[str, Rows]:
    """Draws of both controls of every disruptive edit, and the edit held against them; the last task is a floor."""
    draws: Rows = []
    tests: Rows = []
    for recipe in DISRUPTIVE:
        for task in tasks:
            row = {"model_id": model, "recipe": recipe, "task": task, "n": 24, "start_log_likelihood": -2.0}
            losses = {"edit": [-7.0], "noise": [], "mirror": []}
            for control in ("noise", "mirror"):
                losses[control] = [float(x) for x in random.normal(-6, 0.5, DRAWS)]
            draws += [
                row | {"control": c, "draw": i, "mean_log_likelihood": -2.0 + loss, "weight_error": 0.5}
                for c, found in losses.items()
                for i, loss in enumerate(found)
            ]
            for control in ("noise", "mirror"):
                mean = float(np.mean(losses[control]))
                test = {"model_id": model, "recipe": recipe, "control": control, "task": task, "draws": DRAWS, "n": 24}
                test |= {"loss": -7.0, "control_loss": mean, "control_spread": 0.5, "p_worse": 0.04}
                test |= {"rank_p_worse": 1 / (DRAWS + 1), "difference": -7.0 - mean, "difference_low": -2.0 - mean - 6}
                test |= {"difference_high": -5.0 - mean - 1, "p_difference": 0.04, "q_difference": 0.08}
                test |= {"p_no_worse": 0.3, "q_no_worse": 0.4, "weight_error": 0.51, "control_weight_error": 0.5}
                tests.append(test | {"note": "made-up floor" if task == tasks[-1] else ""})
    return {"control_draws": draws, "control_tests": tests}


def derived_rows(model: str, base: str, edits: Sequence[dict[str, Any]], tasks: Sequence[str]) -> dict[str, Rows]:
    """Gains, equivalence, divergence, variety of texts and the temperature's test of one model."""
    gains: Rows = []
    equivalence: Rows = []
    for edit in edits:
        if edit["is_control"]:
            continue
        for task in tasks:
            place = {"edit_id": edit["edit_id"], "task": task, "model_id": model, "recipe": edit["recipe"]}
            gain = {"metric": "acc", "gain": 0.4, "ci_low": 0.1, "ci_high": 0.7, "base_value": 0.3, "post_value": 0.7}
            gain |= {"straight_line": 0.5, "straight_line_low": 0.2, "straight_line_high": 0.8, "p_gain": 0.001}
            gains.append(place | gain | {"trained": True, "n": 100})
            if edit["recipe"] == "replace-scale":
                test = {"metric": "acc", "difference": -0.01, "stderr": 0.01, "low": -0.03, "high": 0.01}
                test |= {"margin": 0.02, "p_value": 0.16, "p_not_worse": 0.16, "p_worse": 0.84, "p_better": 0.84}
                equivalence.append(place | test | {"power": 0.4, "n": 100})
    subjects = [model, *(edit["edit_id"] for edit in edits)]
    answers = [
        {
            "edit_id": edit["edit_id"],
            "task": task,
            "doc_id": i,
            "model_id": model,
            "chosen": ("changed", "drawn")[i % 2],
        }
        | {"prompt": f"Question {i} of {task}?", "right_answer": " five", "base_answer": None}
        | {"post_answer": " five", "edit_answer": " of of of"}
        for edit in edits
        for task in tasks
        for i in range(3)
    ]
    variety = {"distinct_1": 0.5, "distinct_2": 0.8, "distinct_3": 0.9, "repetition": 0.1, "longest_run": 0.05}
    variety |= {"vocabulary_share": 0.2, "n_texts": 2, "n_tokens": 16}
    temperature = {"model_id": model, "base_id": base, "spearman": 0.3, "ci_low": -0.4, "ci_high": 0.8}
    return {
        "recovered_gain": gains,
        "document_answers": answers,
        "equivalence": equivalence,
        "degeneration": [{"subject_id": subject, "model_id": model} | variety for subject in subjects],
        "divergence": [{"model_id": model, "task": task, "kl": 0.2, "stderr": 0.02, "n": 40} for task in tasks],
        "temperature_test": [temperature | {"p_value": 0.2, "n_layers": 8, "note": ""}],
    }
