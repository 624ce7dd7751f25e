"""Rows of `attention_temperature` and `temperature_test`: predicted temperature beside measured attention entropy."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resources.evaluation.scoring import Results
    from resources.workspace import Workspace

NOT_APPLICABLE, APPROXIMATE, EXACT = "not applicable", "approximate", "exact"


def temperature_rows(space: Workspace, base: Results, post: Results) -> Iterator[dict[str, Any]]:
    """Rows of `attention_temperature`, one for each head; none where the two models' heads cannot be compared."""
    checkpoint = space.checkpoint(post.subject.id)
    applies = NOT_APPLICABLE if checkpoint.qk_norm else APPROXIMATE if checkpoint.qkv_bias else EXACT
    alphas = _alphas(space, base.subject.id, post.subject.id)
    first, second = base.entropies, post.entropies
    if not first or [len(p) for p in first] != [len(p) for p in second]:
        return
    for layer in range(min(len(first[0]), len(second[0]))):
        alpha_q, alpha_k = (alphas.get((layer, matrix)) for matrix in ("q", "k"))
        predicted = None if applies == NOT_APPLICABLE else _temperature(alpha_q, alpha_k)
        for head in range(min(len(first[0][layer]), len(second[0][layer]))):
            b, p = ([prompt[layer][head] for prompt in prompts] for prompts in (first, second))
            differences = [y - x for x, y in zip(b, p, strict=True)]
            spread = statistics.stdev(differences) / len(b) ** 0.5 if len(b) > 1 else None
            yield {
                "model_id": post.subject.id,
                "base_id": base.subject.id,
                "layer": layer,
                "head": head,
                "alpha_q": alpha_q,
                "alpha_k": alpha_k,
                "predicted": predicted,
                "applicability": applies,
                "entropy_base": statistics.fmean(b),
                "entropy_post": statistics.fmean(p),
                "entropy_stderr": spread,
                "n_prompts": len(b),
            }


def temperature_test_row(rows: Sequence[Mapping[str, Any]], seed: int = 0) -> dict[str, Any] | None:
    """The row of `temperature_test` that follows from those of `attention_temperature`; None without any.

    A layer is one unit: its heads share one prediction, and their entropy changes are averaged.
    """
    from rotoscale.attention import FEWEST_LAYERS, TemperatureTest, temperature_test

    if not rows:
        return None
    layers: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["predicted"] is not None:
            layers[row["layer"]].append(row)
    predicted = [found[0]["predicted"] for found in layers.values()]
    changes = [
        statistics.fmean(row["entropy_post"] - row["entropy_base"] for row in found) for found in layers.values()
    ]
    test = temperature_test(predicted, changes, seed=seed) if layers else TemperatureTest(None, None, None, None, 0)
    applies = rows[0]["applicability"]
    notes = [
        {
            NOT_APPLICABLE: "queries and keys are normalised: their scale sets no temperature",
            APPROXIMATE: "queries or keys have biases: the prediction is approximate",
        }.get(applies, ""),
        "" if layers or applies == NOT_APPLICABLE else "no layer has a prediction",
        f"fewer than {FEWEST_LAYERS} layers: too few to decide" if 0 < len(layers) < FEWEST_LAYERS else "",
    ]
    pair = {"model_id": rows[0]["model_id"], "base_id": rows[0]["base_id"]}
    return {**pair, **asdict(test), "note": "; ".join(note for note in notes if note)}


def _temperature(alpha_q: float | None, alpha_k: float | None) -> float | None:
    from rotoscale.attention import attention_temperature
    from rotoscale.errors import MatrixError

    if alpha_q is None or alpha_k is None:
        return None
    try:
        return attention_temperature(alpha_q, alpha_k)
    except MatrixError:
        return None  # a factor that is not positive


def _alphas(space: Workspace, base: str, post: str) -> dict[tuple[int, str], float]:
    """Least-squares scale factors of q and k by layer, from `scale_statistics`."""
    return {
        (row["layer"], row["matrix"]): row["alpha_least_squares"]
        for row in space.tables.read("scale_statistics", post)
        if row["base_id"] == base and row["matrix"] in ("q", "k")
    }
