"""How much a circuit is measured with, from the one number that users set (ROTOSCALE_CIRCUIT_PROMPTS)."""

from __future__ import annotations

from dataclasses import replace

from resources.circuits.settings import QUICK, CircuitSettings

FULL = CircuitSettings().prompts
"""Prompts from which on everything is measured in full."""
_SCALED = (
    *("accuracy_prompts", "faithfulness_prompts", "mean_prompts", "curve_prompts", "resample_prompts"),
    *("mask_prompts", "mask_test_prompts", "patch_prompts", "knockout_prompts"),
)
_FEWEST = 14
"""Two of each of the usual seven boxes."""


def circuit_settings(prompts: int, seed: int) -> CircuitSettings:
    """Settings for path patching with so many prompts.

    From FULL on everything is measured in full; below, it is the quick look, and with fewer prompts than that has,
    everything else has fewer in proportion.
    """
    if prompts >= FULL:
        return replace(CircuitSettings(), prompts=prompts, seed=seed)
    share = min(1.0, prompts / QUICK.prompts)
    counts = {name: max(_FEWEST, round(share * getattr(QUICK, name))) for name in _SCALED}
    return replace(QUICK, prompts=prompts, seed=seed, **counts)


def in_full(settings: CircuitSettings) -> bool:
    """Whether these settings measure everything in full; a quick look leaves out the stability of descendants."""
    return settings.prompts >= FULL
