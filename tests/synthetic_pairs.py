"""Made-up rows on a pair beyond its scale and rotation: agreement, the stored sentences, edits against controls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rotoscale.multiple import benjamini_hochberg

Rows = list[dict[str, Any]]

DRAWS = 5


def agreement_rows(rotation: Rows, sizes: Sequence[tuple[int, int]], random: np.random.Generator) -> Rows:
    """Agreement of every matrix of a model: one in four clearly together, one apart, the rest undecided."""
    rows = []
    for number, (row, (m, n)) in enumerate(zip(rotation, sizes, strict=True)):
        key = {name: row[name] for name in ("model_id", "base_id", "layer", "matrix", "expert")}
        if not row["relative_change"]:
            rows.append(key | {"depth": "full", "numerical_rank": min(m, n)})
            continue
        r = min(m, n)
        tau = 0.2 + 0.02 * (number % 3) if number % 4 == 0 else -0.1 if number == 3 else float(random.normal(0, 0.01))
        off = r * (r - 1) / (m * n)
        expected = {"scale": 1 / (m * n), "diagonal": (r - 1) / (m * n), "shared": off / 2, "apart": off / 2}
        expected["outside"] = 1 - r * r / (m * n)
        shares = expected | {"shared": off / 2 * (1 + tau), "apart": off / 2 * (1 - tau)}
        rows.append(
            key
            | {"depth": "full", "numerical_rank": r, "tau": tau, "z": 30 * tau, "tau_rounding": 0.0}
            | {"p_together": 1e-4 if tau > 0.1 else 0.5, "p_apart": 1e-4 if tau < -0.05 else 0.5}
            | {f"share_{part}": share for part, share in shares.items()}
            | {f"share_{part}_expected": share for part, share in expected.items()}
            | {"tau_without_gains": 0.8 * tau, "tau_without_gains_expected": 0.0, "p_without_gains": 0.01}
            | {"gains_share": 0.02, "principal_share": 0.03, "principal_share_expected": 0.01, "p_principal": 0.001}
            | {"principal_k": 8, "n_flips": 999, "seed": 0}
        )
    for tail in ("together", "apart"):
        q_values = benjamini_hochberg([row.get(f"p_{tail}") for row in rows])
        for row, q in zip(rows, q_values, strict=True):
            row[f"q_{tail}"] = q
    return rows


def pair_findings(family: str, model: str, base: str) -> Rows:
    """Sentences on a pair and on its edits, each with the rows that it was read from."""
    pair = {"model_id": model, "base_id": base}
    structure = ("agreement", "scale_statistics", "rotation_statistics", "tensor_changes")
    texts = {
        "pair": [f"The weights of {model} changed by 2 %.", *(f"Reading {i} of the pair." for i in range(1, 7))],
        "edits": [f"Disrupting {model} costs more than its control."],
    }
    tables = {"pair": structure, "edits": ("control_tests",)}
    return [
        {"family": family, "model_id": model, "page": page, "rank": rank, "sentence": sentence}
        | {"rests_on": [{"table": table, "where": pair} for table in tables[page]]}
        for page, sentences in texts.items()
        for rank, sentence in enumerate(sentences)
    ]


def edit_tests(model: str, base: str, edits: Rows, tasks: Sequence[str]) -> dict[str, Rows]:
    """Rows on edits against their controls: draws, tests, recovered gain and equivalence."""
    tables: dict[str, Rows] = {name: [] for name in ("control_draws", "control_tests", "recovered_gain", "equivalence")}
    for edit in (edit for edit in edits if not edit["is_control"]):
        name = {"edit_id": edit["edit_id"], "model_id": model, "recipe": edit["recipe"]}
        for number, task in enumerate(tasks):
            if "disrupt" in edit["recipe"]:
                _disruption(tables, model, edit["recipe"], task, worse=number == 0)
            tables["recovered_gain"].append(
                name
                | {"task": task, "metric": "acc", "gain": 0.9, "ci_low": 0.7, "ci_high": 1.1, "straight_line": 0.8}
                | {"base_value": 0.3, "post_value": 0.5, "p_gain": 0.001, "trained": True, "n": 100}
            )
            if edit["recipe"] == "replace-scale":
                tables["equivalence"].append(
                    name
                    | {"task": task, "metric": "acc", "difference": -0.002, "stderr": 0.005, "low": -0.01}
                    | {"high": 0.006, "margin": 0.02, "p_value": 0.001, "p_not_worse": 0.001, "p_worse": 0.99}
                    | {"p_better": 0.6, "power": 0.9, "n": 100}
                )
    return tables


def _disruption(tables: dict[str, Rows], model: str, recipe: str, task: str, *, worse: bool) -> None:
    """An edit and its draws of both controls on one task: worse than every draw, or in the midst of them."""
    loss = -3.0 if worse else -1.0
    for control in ("mirror", "noise"):
        for draw in range(DRAWS):
            tables["control_draws"].append(
                {"model_id": model, "recipe": recipe, "control": control, "draw": draw, "task": task, "n": 24}
                | {"mean_log_likelihood": -1.8 - 0.1 * draw, "start_log_likelihood": -1.0, "weight_error": 0.3}
            )
        tables["control_tests"].append(
            {"model_id": model, "recipe": recipe, "control": control, "task": task, "loss": loss}
            | {"control_loss": -1.0, "control_spread": 0.15, "p_worse": 1e-4 if worse else 0.5, "draws": DRAWS}
            | {"rank_p_worse": 1 / (DRAWS + 1), "difference": loss + 1.0, "difference_low": loss + 0.6}
            | {"difference_high": loss + 1.4, "p_difference": 1e-4 if worse else 0.5}
            | {"q_difference": 2e-4 if worse else 0.6, "n": 24, "weight_error": 0.3, "control_weight_error": 0.3}
            | {"note": ""}
        )
    tables["control_draws"].append(
        {"model_id": model, "recipe": recipe, "control": "edit", "draw": 0, "task": task, "n": 24}
        | {"mean_log_likelihood": loss - 1.0, "start_log_likelihood": -1.0, "weight_error": 0.3}
    )
