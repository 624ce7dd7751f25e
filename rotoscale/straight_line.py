"""The straight line between two models' weights: what lies above its chord, and whether features are linear on it.

With L(t) the loss at `(1 - t) A + t B` and its chord `(1 - t) L(0) + t L(1)`, a barrier is a loss above the chord
(linear mode connectivity, arXiv 1912.05671); features are linear where those of the middle are the mean of the two
ends' (cross-task linearity, arXiv 2402.03660). See docs/methods.md, section 5b.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from rotoscale.straight_line_result import FeatureLinearity, PointOnLine

if TYPE_CHECKING:
    import torch


def points_on_line(losses: Mapping[float, Sequence[float]]) -> dict[float, PointOnLine]:
    """Statistics at every t, from the losses of the same documents at every t; 0 and 1 must be there."""
    values = {t: np.asarray(found, dtype=np.float64) for t, found in losses.items()}
    found = {}
    for t, here in values.items():
        n = len(here)
        chord = (1 - t) * values[0.0] + t * values[1.0]
        above = here - chord
        spread = float(stats.sem(here)) if n > 1 else None
        half = float(stats.t.ppf(0.975, n - 1) * stats.sem(above)) if n > 1 else None
        inside = half is not None and 0 < t < 1
        found[t] = PointOnLine(
            loss=float(here.mean()),
            stderr=spread,
            chord=float(chord.mean()),
            barrier=float(above.mean()),
            barrier_low=float(above.mean()) - half if inside and half is not None else None,
            barrier_high=float(above.mean()) + half if inside and half is not None else None,
            n=n,
        )
    return found


def feature_linearity(
    middle: Sequence[torch.Tensor], a: Sequence[torch.Tensor], b: Sequence[torch.Tensor]
) -> FeatureLinearity:
    """Features of one layer (of each prompt tokens x width) halfway between the models a and b, and theirs."""
    import torch

    errors, cosines, ends = [], [], []
    for h, x, y in zip(middle, a, b, strict=True):
        mean, distance = (x + y) / 2, float((x - y).norm()) / 2
        if distance:
            errors.append(float((h - mean).norm()) / distance)
        cosines.append(float(torch.cosine_similarity(h, mean, dim=1).mean()))
        ends.append(max(float(torch.cosine_similarity(h, end, dim=1).mean()) for end in (x, y)))
    return FeatureLinearity(
        error=float(np.mean(errors)) if errors else None,
        stderr=float(stats.sem(errors)) if len(errors) > 1 else None,
        cosine=float(np.mean(cosines)) if cosines else None,
        cosine_ends=float(np.mean(ends)) if ends else None,
        prompts=len(cosines),
    )
