"""The scales c for which `found = base + c change` within rounding: bounds from every element, by rows and columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import torch

from rotoscale.audit.formats import spacing, unit_roundoff
from rotoscale.errors import MatrixError

_BLOCK = 1 << 19
"""Elements looked at together: bounds and tolerances in float64 never exist for a whole large matrix."""

_WORKING = 2.0**-24
"""Unit roundoff of float32, in which an adapter's change is added to the base when it is read."""


class Way(StrEnum):
    """How numbers came to a format."""

    ONCE = "once"
    """`base + c change`, added in float32, rounded once."""
    MERGED = "merged"
    """Computed in the format: base, change and sum each rounded, and the change twice (the product of the factors, then
    its scale); those of the change relative to the largest change of the row."""
    SAME = "same"
    """Not rounded: the same numbers."""
    COPIED = "copied"
    """Rounded in whatever way, up or down, or by way of another format: within one unit in the last place."""


@dataclass(frozen=True)
class Rounding:
    """What rounding a tensor went through."""

    format: str
    way: Way = Way.ONCE

    def tolerance(self, found: torch.Tensor, base: torch.Tensor, change: torch.Tensor, scale: float) -> torch.Tensor:
        """How far each element (rows x n, float64) may lie from `base + scale change`."""
        if self.way is Way.SAME:
            return torch.zeros_like(found)
        if self.way is Way.COPIED:
            return spacing(found, self.format)
        largest = scale * change.abs().amax(1, keepdim=True)
        allowed = spacing(found, self.format) / 2
        allowed += _WORKING * (2 * base.abs() + 2 * found.abs() + 8 * largest)
        if self.way is Way.MERGED:
            allowed += unit_roundoff(self.format) * (base.abs() + found.abs() + 4 * largest)
            allowed += spacing(torch.zeros_like(found), self.format)
        return allowed


@dataclass(frozen=True)
class Bounds:
    """Bounds of c, of each row (m,) and of each column (n,); no c where `low > high`."""

    row_low: torch.Tensor
    row_high: torch.Tensor
    column_low: torch.Tensor
    column_high: torch.Tensor

    @property
    def low(self) -> float:
        """Smallest scale that every element allows."""
        return float(self.row_low.max())

    @property
    def high(self) -> float:
        """Largest scale that every element allows."""
        return float(self.row_high.min())

    @property
    def is_empty(self) -> bool:
        """Whether no scale explains the tensor."""
        return self.low > self.high


def blocks(*matrices: torch.Tensor | None) -> Iterator[tuple[torch.Tensor, ...]]:
    """The same rows of several matrices (m x n) at a time, in float64; zeros for None.

    Raises MatrixError when shapes differ.
    """
    given = [X for X in matrices if X is not None]
    if len({tuple(X.shape) for X in given}) != 1 or given[0].ndim != 2:
        raise MatrixError(f"shapes {[tuple(X.shape) for X in given]} differ; only matrices of one shape are audited")
    rows = max(1, _BLOCK // max(1, given[0].shape[1]))
    for first in range(0, given[0].shape[0], rows):
        taken = [None if X is None else X[first : first + rows].double() for X in matrices]
        zeros = next(torch.zeros_like(X) for X in taken if X is not None)
        yield tuple(zeros if X is None else X for X in taken)


def scale_bounds(
    base: torch.Tensor | None, change: torch.Tensor, found: torch.Tensor, rounding: Rounding, scale: float = 1.0
) -> Bounds:
    """Bounds of the scale c in `found = base + c change`, from every element.

    docs/methods.md, section 5b. `change` and `found` (m x n); `base` too, or None for zeros. `scale`: an estimate of
    |c|, since rounding of the change grows with it.
    """
    lows, highs, column_low, column_high = [], [], None, None
    for b, d, f in blocks(base, change, found):
        off, allowed = f - b, rounding.tolerance(f, b, d, max(1.0, abs(scale)))
        moves = d != 0
        divisor = torch.where(moves, d, torch.ones_like(d))
        centre, half = off / divisor, allowed / divisor.abs()
        fits = off.abs() <= allowed
        endless = torch.full_like(centre, torch.inf)
        low = torch.where(moves, centre - half, torch.where(fits, -endless, endless))
        high = torch.where(moves, centre + half, torch.where(fits, endless, -endless))
        lows.append(low.amax(1))
        highs.append(high.amin(1))
        column_low = low.amax(0) if column_low is None else torch.maximum(column_low, low.amax(0))
        column_high = high.amin(0) if column_high is None else torch.minimum(column_high, high.amin(0))
    assert column_low is not None
    assert column_high is not None
    return Bounds(torch.cat(lows), torch.cat(highs), column_low, column_high)


@dataclass(frozen=True)
class LeastSquares:
    """The scale by least squares, with what is left. Norms are Frobenius norms."""

    scale: float
    typical_scale: float
    """Median over the rows of each row's own."""
    change: float
    """|change|."""
    moved: float
    """|found - base|."""
    rest: float
    """|found - base - scale change|."""
    z: float
    """scale over its standard error, which holds for a rest that is independent of the change."""


def least_squares(base: torch.Tensor | None, change: torch.Tensor, found: torch.Tensor) -> LeastSquares:
    """Fit `found = base + c change` (m x n each; None for zeros)."""
    dd = od = oo = 0.0
    by_row = []
    for b, d, f in blocks(base, change, found):
        off = f - b
        row_dd, row_od = d.square().sum(1), (off * d).sum(1)
        by_row.append((row_od / row_dd)[row_dd > 0])
        dd, od, oo = dd + float(row_dd.sum()), od + float(row_od.sum()), oo + float(off.square().sum())
    scale = od / dd if dd else 0.0
    rest = error = 0.0
    for b, d, f in blocks(base, change, found):
        left = f - b - scale * d
        rest += float(left.square().sum())
        error += float((left * d).square().sum())
    rows = torch.cat(by_row)
    return LeastSquares(
        scale=scale,
        typical_scale=float(rows.median()) if len(rows) else 0.0,
        change=dd**0.5,
        moved=oo**0.5,
        rest=rest**0.5,
        z=scale * dd / error**0.5 if error else float("inf") if scale else 0.0,
    )


@dataclass(frozen=True)
class Outside:
    """Elements that one scale leaves unexplained, and the place of the farthest of them."""

    count: int
    rows: int
    largest: float
    place: tuple[int, int]


def outside(
    base: torch.Tensor | None, change: torch.Tensor, found: torch.Tensor, rounding: Rounding, scale: float
) -> Outside:
    """Elements of `found` (m x n) farther from `base + scale change` than the rounding allows."""
    count = rows = first = 0
    largest, place = 0.0, (0, 0)
    for b, d, f in blocks(base, change, found):
        off = (f - b - scale * d).abs()
        bad = off > rounding.tolerance(f, b, d, max(1.0, abs(scale)))
        count, rows = count + int(bad.sum()), rows + int(bad.any(1).sum())
        off = torch.where(bad, off, torch.zeros_like(off))
        if float(off.max()) > largest:
            largest, where = float(off.max()), int(off.argmax())
            place = (first + where // off.shape[1], where % off.shape[1])
        first += len(off)
    return Outside(count, rows, largest, place)
