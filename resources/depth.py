"""How deep a model is looked at: with its singular values alone, or with its vectors (docs/methods.md, section 2b)."""

from __future__ import annotations

from collections.abc import Sequence

from rotoscale.agreement_statistics import FULL, STANDARD

FULL_WORK = 3e12
"""Work (sum of m n min(m, n) over the matrices) up to which `auto` means full: about five minutes on two cores of 2025,
a model of 1.5 billion parameters. A 7B model has nine times as much."""


def depth_of(setting: str, shapes: Sequence[tuple[int, int]]) -> str:
    """`standard` or `full`: what the setting says, for `auto` by the size of a model with matrices of these shapes."""
    if setting != "auto":
        return setting
    return FULL if sum(m * n * min(m, n) for m, n in shapes) <= FULL_WORK else STANDARD
