"""How much of a model's behaviour a circuit keeps: EP's ratio, f with its floor, and the areas under its curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

PERCENTAGES = (1, 2, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100)
_NOTHING = 1e-6


def ratio(circuit: float, full: float) -> float | None:
    """EP's faithfulness `F(circuit) / F(model)` of two accuracies; None for a model that is never right."""
    return circuit / full if full > 0 else None


def normalized(circuit: float, full: float, empty: float) -> float | None:
    """`f = (m(C) - m(empty)) / (m(M) - m(empty))` (MIB); None where the model does no better than its empty circuit."""
    span = full - empty
    return None if abs(span) < _NOTHING else (circuit - empty) / span


def sizes(n_heads: int, percentages: Sequence[int] = PERCENTAGES) -> list[int]:
    """Numbers of heads at which a curve is taken, each at least 1, without repetition, the last one all of them."""
    return sorted({max(1, round(n_heads * share / 100)) for share in percentages} | {n_heads})


@dataclass(frozen=True)
class Areas:
    """CPR, the area under f, and CMD, that of |1 - f| (MIB); over the share of heads, and over its logarithm."""

    cpr: float
    cmd: float
    cpr_log: float
    cmd_log: float


def areas(n_heads: Sequence[int], f: Sequence[float]) -> Areas:
    """Areas by trapezoids of a curve taken at 1 to all heads, ascending.

    On the linear axis the curve starts at f = 0 without heads; the logarithmic one starts at its first point. Both
    axes are scaled to length 1.
    """
    top = n_heads[-1]
    linear = [0.0, *(n / top for n in n_heads)]
    first, span = math.log(n_heads[0]), math.log(top / n_heads[0])
    logarithmic = [(math.log(n) - first) / span if span else 0.0 for n in n_heads]
    gap = [abs(1 - value) for value in f]
    return Areas(
        _area(linear, [0.0, *f]),
        _area(linear, [1.0, *gap]),
        _area(logarithmic, f) if span else f[-1],
        _area(logarithmic, gap) if span else gap[-1],
    )


def _area(x: Sequence[float], y: Sequence[float]) -> float:
    return sum((x[i + 1] - x[i]) * (y[i] + y[i + 1]) / 2 for i in range(len(x) - 1))
