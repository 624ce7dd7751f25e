"""How much of everything: prompts, resamplings, draws."""

from __future__ import annotations

from dataclasses import dataclass

from rotoscale.circuits.controls import FEW_DRAWS, MANY_DRAWS
from rotoscale.circuits.faithfulness import PERCENTAGES
from rotoscale.circuits.selection import LARGEST_GROUP, LEAST_EFFECT
from rotoscale.circuits.task import DESIDERATA

SCREEN_FROM = 512
"""Heads from which on the gradient screens before exact patching; below, exact patching was measured to be faster."""
CHEAP_DRAW = 5e8
"""Floating-point operations up to which a random draw costs milliseconds."""


@dataclass(frozen=True)
class CircuitSettings:
    """What a circuit is found and followed with; the defaults are docs/methods.md, section 4."""

    n_boxes: int = 7
    prompts: int = 105
    """For path patching."""
    only_correct: bool = True
    """Patch prompts that the model answers rightly (choice): the relative change of a probability near 0 is unbounded,
    and one such prompt would outweigh all others."""
    accuracy_prompts: int = 105
    """For minimality."""
    faithfulness_prompts: int = 500
    mean_prompts: int = 500
    completeness_draws: int = 10
    """Random halves of the circuit that are left out of circuit and model; each costs whole forward passes."""
    curve_prompts: int = 56
    curve_draws: int = FEW_DRAWS
    percentages: tuple[int, ...] = PERCENTAGES
    least_effect: float = LEAST_EFFECT
    largest_group: int = LARGEST_GROUP
    screen: bool | None = None
    """Whether a gradient screens before exact patching; None: from 512 heads on."""
    edge_estimates: bool = True
    """Whether edges of heads that are no candidates are estimated by gradients."""
    direct: bool = True
    """Whether the direct steps (K, V) are taken where the chain of four ends early."""
    resamples: int = 10
    resample_prompts: int = 105
    desiderata: tuple[str, ...] = DESIDERATA
    """What masks are learned for; none: no masks."""
    mask_prompts: int = 256
    mask_test_prompts: int = 105
    patch_prompts: int = 500
    knockout_prompts: int = 105
    draws: int | None = None
    """Random circuits, masks and patched heads; None: 199 where one costs milliseconds, otherwise 19."""
    bootstrap: int = 200
    seed: int = 0

    def draws_for(self, operations: float) -> int:
        """Random draws, each of which costs so many floating-point operations."""
        if self.draws is not None:
            return self.draws
        return MANY_DRAWS if operations <= CHEAP_DRAW else FEW_DRAWS


QUICK = CircuitSettings(
    prompts=35,
    accuracy_prompts=42,
    faithfulness_prompts=70,
    mean_prompts=70,
    completeness_draws=2,
    curve_prompts=14,
    curve_draws=3,
    percentages=(5, 10, 25, 50, 75, 100),
    edge_estimates=False,
    resamples=1,
    resample_prompts=28,
    mask_prompts=42,
    mask_test_prompts=21,
    patch_prompts=35,
    knockout_prompts=14,
    draws=19,
    bootstrap=100,
)
"""The whole pipeline on little data: a demonstration, not a measurement."""
