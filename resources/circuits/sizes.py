"""How much a circuit is measured with, from the one number that users set (ROTOSCALE_CIRCUIT_PROMPTS)."""

from __future__ import annotations

from dataclasses import replace

from resources.circuits.settings import QUICK, CircuitSettings

FULL = CircuitSettings().prompts
"""Prompts from which on everything is measured in full."""


def circuit_settings(prompts: int, seed: int) -> CircuitSettings:
    """Settings for path patching with so many prompts: a quick look at everything below FULL, all of it from there."""
    known = CircuitSettings() if prompts >= FULL else QUICK
    return replace(known, prompts=prompts, seed=seed)


def in_full(settings: CircuitSettings) -> bool:
    """Whether these settings measure everything in full; a quick look leaves out the stability of descendants."""
    return settings.prompts >= FULL
