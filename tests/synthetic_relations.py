"""Made-up rows about pairs of models: lineage, changes of descendants, and straight lines between models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np

TASKS = ("synthetic_sums", "synthetic_boxes", "synthetic_copies")
POINTS = (0.0, 0.25, 0.5, 0.75, 1.0)

Tables = dict[str, list[dict[str, Any]]]


def relation_rows(models: Sequence[Any], layers: int, matrices: Sequence[str]) -> Iterator[Tables]:
    """Rows of every two measured models of one family, the base first; an adapter and the math model moved alike."""
    ready = [model for model in models if model.measured and model.status == "ready"]
    for number, (a, b) in enumerate(combinations(sorted(ready, key=lambda one: one.role != "base"), 2)):
        if a.family != b.family:
            continue
        random = np.random.default_rng([2, number])
        stranger = "unrelated" in (a.role, b.role)
        pair = {"model_a": a.id, "model_b": b.id}
        found: Tables = {"lineage": [pair | _lineage(stranger, random)]}
        if a.role == b.role == "descendant" and a.base == b.base:
            alike = {a.method, b.method} == {"math", "adapter"}
            found["descendant_relations"] = [
                pair | {"base_id": a.base, "layer": layer, "matrix": matrix, "expert": -1} | _changes(alike, random)
                for layer in range(layers)
                for matrix in matrices
            ]
        if not stranger or a.id == a.base:
            found |= _line(pair, stranger, layers, random)
        yield found


def _lineage(stranger: bool, random: np.random.Generator) -> dict[str, Any]:
    return {
        "verdict": "unrelated" if stranger else "related", "reason": "made up.",
        "p_exact": float(random.random()) if stranger else 1e-300, "p_match": 0.3 if stranger else 1e-300,
        "approximate": not stranger, "rows": 256, "rows_matched": 256, "layers": 4, "shared_tokens": 800,
        "control_pairs": 12, "control_smallest_p": 0.1, "merged_p_exact": 1e-300, "merged_p_match": 1e-300,
        "distance": 1.41 if stranger else float(random.uniform(0.02, 0.2)), "cosine": 0.9, "cosine_matched": 0.9,
        "heavier_a": 6, "heavier_of": 8, "earlier": None, "note": "", "rule_version": "1", "seed": 0, "seconds": 0.1,
    }  # fmt: skip


def _changes(alike: bool, random: np.random.Generator) -> dict[str, Any]:
    cosine = float(random.normal(0.4 if alike else 0.0, 0.02))
    return {
        "norm_a": 1.0, "norm_b": 2.0, "cosine": cosine, "cosine_chance": 0.01, "cosine_p": 0.001 if alike else 0.5,
        "cosine_q": 0.001 if alike else 0.6, "sign_agreement": 0.6 if alike else 0.5, "sign_chance_sd": 0.003,
        "largest_overlap": 0.07, "largest_chance": 0.04, "k": 8, "left_overlap": 0.3, "left_chance": 0.06,
        "left_chance_sd": 0.01, "left_angles": [10.0, 80.0], "right_overlap": 0.2, "right_chance": 0.06,
        "right_chance_sd": 0.01, "right_angles": [20.0, 85.0], "changed_a": 0.9, "changed_b": 0.8,
        "changed_both": 0.75, "changed_chance": 0.72, "changed_chance_margins": 0.73, "undone": None,
        "undone_chance": None,
    }  # fmt: skip


def _line(pair: dict[str, Any], stranger: bool, layers: int, random: np.random.Generator) -> Tables:
    top = 3.0 if stranger else 0.0
    points = []
    for task in TASKS:
        first, last = random.uniform(0.5, 2, 2)
        for t in POINTS:
            barrier = 4 * t * (1 - t) * top
            chord = float((1 - t) * first + t * last)
            points.append(
                pair
                | {"task": task, "t": t, "loss": chord + barrier, "stderr": 0.1, "chord": chord, "barrier": barrier}
                | {"barrier_low": barrier - 0.1 if 0 < t < 1 else None, "n": 12}
                | {"barrier_high": barrier + 0.1 if 0 < t < 1 else None}
            )
    features = [
        pair
        | {"layer": layer, "error": None if layer == 0 else (1.2 if stranger else 0.1) * layer / layers}
        | {"stderr": 0.02, "cosine": 0.99, "cosine_ends": 0.98, "prompts": 12}
        for layer in range(layers + 1)
    ]
    return {"straight_lines": points, "feature_linearity": features}
