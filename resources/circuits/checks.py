"""What must hold of any model before its circuit is believed: three interventions whose result is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resources.circuits.ablation import CircuitRuns
from resources.circuits.batches import Batches, Means
from resources.circuits.patching import heads_at, patch_heads
from resources.circuits.path_patching import head_paths, patch_paths
from resources.circuits.recording import record, record_heads
from rotoscale.circuits.heads import LAST, STEPS

if TYPE_CHECKING:
    from resources.circuits.measures import Row
    from resources.circuits.model import HeadModel
    from resources.circuits.prompts import PromptMaker
    from resources.circuits.settings import CircuitSettings

TOLERANCE, COARSE_TOLERANCE = 1e-3, 0.1
"""Largest error that rounding explains, in float32 and in shorter formats."""


def check_rows(model: HeadModel, maker: PromptMaker, means: Means, settings: CircuitSettings) -> list[Row]:
    """Rows of `circuit_checks`: each check's largest error, and whether rounding explains it."""
    import torch

    prompts = maker.draw(2 * maker.n_boxes, settings.seed, "checks")
    other = maker.counterfactuals(prompts, settings.seed)
    clean = Batches(model, prompts, prompts)
    unchanged = patch_paths(model, clean, STEPS[0], head_paths(model, ()))
    with torch.no_grad():
        source = heads_at(record_heads(model, other.tokens), other, LAST)
        at = maker.slots.last
        everything = patch_heads(model, record(model, prompts.tokens), prompts, at, source, [model.heads])
        # Both prompts end in the same token: with every head's output there the counterfactual's, so is the rest.
        wanted = model.measure(record(model, other.tokens).final, prompts).log_probability.cpu()
    runs = CircuitRuns(model, clean, means)
    whole, full = runs.whole_heads([frozenset(model.heads)]), runs.full()
    errors = {
        "the clean value changes nothing": unchanged.probability.abs(),
        "patching everything gives the counterfactual's output": everything.log_probability[0] - wanted,
        "a circuit of all heads is the model": whole.logit_difference - full.logit_difference,
    }
    tolerance = TOLERANCE if model.dtype == torch.float32 else COARSE_TOLERANCE
    return [
        {
            "model_id": model.model_id,
            "check": name,
            "error": float(error.abs().max()),
            "tolerance": tolerance,
            "passed": float(error.abs().max()) <= tolerance,
        }
        for name, error in errors.items()
    ]
