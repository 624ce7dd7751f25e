"""Made-up rows on a pair beyond its scale and rotation: agreement, and the stored sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rotoscale.multiple import benjamini_hochberg

Rows = list[dict[str, Any]]


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
        "edits": [f"disrupt-left breaks {model}."],
    }
    tables = {"pair": structure, "edits": ("control_tests",)}
    return [
        {"family": family, "model_id": model, "page": page, "rank": rank, "sentence": sentence}
        | {"rests_on": [{"table": table, "where": pair} for table in tables[page]]}
        for page, sentences in texts.items()
        for rank, sentence in enumerate(sentences)
    ]
