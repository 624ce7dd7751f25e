"""How much noise does as much damage as an edit, so that edit and control differ in the direction of it alone."""

from __future__ import annotations

import math
from collections.abc import Callable

TOLERANCE = 0.01
"""Relative difference of two damages that are called equal."""

LARGEST_SCALE = 30.0
"""Of noise over the change's norm: beyond it all vectors are mixed and no more damage can be done."""

_TRIES = 6
_FLAT = 0.05
"""Slopes below, of one logarithm over the other, say nothing of where to go on."""


def matched_scale(damage: Callable[[float], float], wanted: float) -> float:
    """The scale at which `damage` of it is `wanted`, to within TOLERANCE if it can be had, else the nearest tried.

    Secants on both logarithms, from 1, at most seven calls: damage grows smoothly with the noise until all vectors are
    mixed. docs/methods.md, section 3.
    """
    if wanted <= 0:
        return 1.0

    def missed(log_scale: float) -> float:
        return math.log(max(damage(math.exp(log_scale)), 1e-12) / wanted)

    most = math.log(LARGEST_SCALE)
    at, slope = 0.0, 1.0
    error = missed(at)
    best = (abs(error), at)
    for _ in range(_TRIES):
        if abs(error) < TOLERANCE:
            break
        step = max(-most, min(most, at - error / slope))
        if step == at:
            break
        found = missed(step)
        if (found - error) / (step - at) > _FLAT:
            slope = (found - error) / (step - at)
        at, error = step, found
        best = min(best, (abs(error), at))
    return math.exp(best[1])
