"""The verdict on one tensor (docs/methods.md, section 5b)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch

from rotoscale.audit.formats import formats_of, is_finer, on_grid
from rotoscale.audit.misplaced import norm_is_right, of_another, places
from rotoscale.audit.scales import Bounds, Outside, Rounding, Way, least_squares, outside, scale_bounds

DETECTED = 5.0
"""Standard errors from zero from which on a change is said to be there beneath others."""


class State(StrEnum):
    """How the change that should be in a tensor stands in it."""

    EXACT = "exact"
    """There, rounded once to a format no coarser than the expected one."""
    ROUNDED = "rounded"
    """There, rounded to a coarser format, or more than once."""
    SCALED = "scaled"
    """There, with another scale."""
    PARTIAL = "partial"
    """There in some rows or columns, and not at all in the others."""
    ABSENT = "absent"
    """Not there: the tensor is the base's."""
    BELOW = "below rounding"
    """With and without it the rounded tensor is the same, so that nobody can tell."""
    MISPLACED = "misplaced"
    """Its values, or its norm, are there, in other places."""
    BENEATH = "beneath"
    """Found by least squares beneath other changes of most elements."""
    UNEXPLAINED = "unexplained"
    """Not found, and most elements are changed otherwise."""


@dataclass(frozen=True, kw_only=True)
class TensorVerdict:
    """What an audit found of one tensor."""

    state: State
    format: str
    """The number format whose rounding explains the tensor, or that it is stored in."""
    way: Way
    scale_low: float | None = None
    scale_high: float | None = None
    """Limits of the scale: hard ones where every element bounds it, two standard errors where it is BENEATH."""
    elements: int
    outside: int = 0
    """Elements that the state and its rounding leave unexplained."""
    outside_rows: int = 0
    largest: float = 0.0
    place: tuple[int, int] | None = None
    """How far off the farthest of them is, and its row and column."""
    moved: float = 0.0
    """|found - base| over |change|."""
    rest: float = 0.0
    """|found - base - c change| over |change|, c by least squares."""
    how: str = ""
    """In which other place, or which rows are missing."""

    @property
    def scale(self) -> float | None:
        """The middle of the limits."""
        return None if self.scale_low is None or self.scale_high is None else (self.scale_low + self.scale_high) / 2

    @property
    def is_right(self) -> bool:
        """Whether the tensor is what it should be, up to one rounding."""
        return self.state is State.EXACT and not self.outside


def audit_change(
    base: torch.Tensor | None,
    change: torch.Tensor,
    found: torch.Tensor,
    *,
    stored: str,
    expected: str,
    elsewhere: Callable[[], Iterable[tuple[str, torch.Tensor]]] = lambda: (),
) -> TensorVerdict:
    """Whether `found` is `base + change`, and if not, what it is.

    docs/methods.md, section 5b. `change` and `found` (m x n), `base` too or None for zeros. `stored`: the format that
    `found` is stored in, `expected`: the coarsest that counts as exact. `elsewhere` gives other changes of that shape
    by name, and is asked only when nothing else explains the tensor.

    Raises MatrixError when shapes differ.
    """
    formats = formats_of(found, stored)
    fit = least_squares(base, change, found)
    of_change = fit.change or 1.0
    facts: dict[str, Any] = {"elements": found.numel(), "moved": fit.moved / of_change, "rest": fit.rest / of_change}
    tried: list[tuple[Rounding, Bounds]] = []
    for way in (Way.ONCE, Way.MERGED):
        for name in formats:
            rounding = Rounding(name, way)
            bounds = scale_bounds(base, change, found, rounding, fit.typical_scale)
            if not bounds.is_empty:
                state = _state(bounds, rounding, expected, base is not None)
                return TensorVerdict(state=state, **_limits(rounding, bounds.low, bounds.high), **facts)
            tried.append((rounding, bounds))
    for rounding, bounds in tried:
        if part := _partial(bounds):
            low, high, how = part
            return TensorVerdict(state=State.PARTIAL, how=how, **_limits(rounding, low, high), **facts)
    once, merged = Rounding(formats[0]), Rounding(formats[0], Way.MERGED)
    how = places(base, change, found, merged)
    if not how and base is not None:
        whole = places(None, base.double() + change.double(), found, merged)
        how = f"the whole tensor: {whole}" if whole else ""
        name = "" if how else of_another(base, found, merged, elsewhere())
        how = f"the change of {name}" if name else how
    if how:
        return TensorVerdict(state=State.MISPLACED, how=how, **_limits(merged, None, None), **facts)
    scale, left, decided = _best(base, change, found, merged, fit.typical_scale)
    if decided and left.count <= found.numel() / 2:
        limits = _limits(merged, *_limits_of_most(tried, merged, scale))
        state = State.EXACT if scale == 1 else State.SCALED if scale else State.ABSENT
        return TensorVerdict(state=state, **limits, **_outside(left), **facts)
    if base is not None and norm_is_right(base, found, once, fit):
        how = "the change's norm, and not its values"
        return TensorVerdict(state=State.MISPLACED, how=how, **_limits(merged, None, None), **facts)
    left = outside(base, change, found, merged, fit.scale)
    if abs(fit.z) > DETECTED:
        error = 2 * abs(fit.scale / fit.z)
        limits = _limits(merged, fit.scale - error, fit.scale + error)
        return TensorVerdict(state=State.BENEATH, **limits, **_outside(left), **facts)
    return TensorVerdict(state=State.UNEXPLAINED, **_limits(merged, None, None), **_outside(left), **facts)


def audit_copy(original: torch.Tensor, copy: torch.Tensor, *, of_original: str, of_copy: str) -> TensorVerdict:
    """Whether two tensors (m x n each) are the same, one the other rounded, or what else one is of the other.

    docs/methods.md, section 5b. `of_original`, `of_copy`: the formats they are stored in. The scale is that of the copy
    over the original.

    Raises MatrixError when shapes differ.
    """
    facts: dict[str, Any] = {"elements": copy.numel(), "moved": 1.0, "rest": 0.0}
    if torch.equal(original, copy):
        return TensorVerdict(state=State.EXACT, **_limits(Rounding(of_copy, Way.SAME), 1.0, 1.0), **facts)
    for one, other, stored, how in (
        (original, copy, of_copy, ""),
        (copy, original, of_original, "the first is the second, rounded"),
    ):
        for way in (Way.ONCE, Way.COPIED):
            for name in formats_of(other, stored):
                if _is_rounded(one, other, Rounding(name, way)):
                    limits = _limits(Rounding(name, way), 1.0, 1.0)
                    return TensorVerdict(state=State.ROUNDED, how=how, **limits, **facts)
    # Every number that is off counts; where the copy is coarser, by more than rounding in whatever way.
    strict = Rounding(of_copy, Way.SAME if on_grid(original, of_copy) else Way.COPIED)
    if not bool(original.any()):
        left = outside(None, original, copy, strict, 1.0)
        return TensorVerdict(state=State.UNEXPLAINED, **_limits(strict, None, None), **_outside(left), **facts)
    if torch.equal(original.flatten().sort().values, copy.flatten().sort().values) and not (
        places(None, original, copy, Rounding(of_copy))
    ):
        how = "the same values in another order"
        return TensorVerdict(state=State.MISPLACED, how=how, **_limits(strict, None, None), **facts)
    verdict = audit_change(None, original, copy, stored=of_copy, expected=of_original)
    if verdict.state in (State.EXACT, State.ROUNDED):
        left = outside(None, original, copy, strict, 1.0)
        return TensorVerdict(state=State.EXACT, **_limits(strict, 1.0, 1.0), **_outside(left), **facts)
    return verdict


def _is_rounded(original: torch.Tensor, copy: torch.Tensor, rounding: Rounding) -> bool:
    """Whether the copy is the original, rounded to the nearest, or at least to a neighbour.

    What is a number of the format already is not moved by rounding, in whatever way.
    """
    if rounding.way is Way.COPIED:
        return not on_grid(original, rounding.format) and outside(None, original, copy, rounding, 1.0).count == 0
    dtype = getattr(torch, rounding.format)
    return torch.equal(original.to(dtype).to(copy.dtype), copy)


def _state(bounds: Bounds, rounding: Rounding, expected: str, has_base: bool) -> State:
    one, zero = (bounds.low <= c <= bounds.high for c in (1, 0))
    if one and zero:
        return State.BELOW
    if zero and has_base:
        return State.ABSENT
    if not one:
        return State.SCALED
    exact = rounding.way is Way.ONCE and not is_finer(expected, rounding.format)
    return State.EXACT if exact else State.ROUNDED


def _partial(bounds: Bounds) -> tuple[float, float, str] | None:
    """Limits of the scale in the rows (or columns) that have the change, and which have not; None if it is not so."""
    for low, high, what in (
        (bounds.row_low, bounds.row_high, "rows"),
        (bounds.column_low, bounds.column_high, "columns"),
    ):
        without = (low <= 0) & (high >= 0)
        if bool((low > high).any()) or bool(without.all()):
            continue
        c_low, c_high = float(low[~without].max()), float(high[~without].min())
        missing = without & ((high < c_low) | (low > c_high))
        if c_low <= c_high and bool(missing.any()):
            return c_low, c_high, f"missing in {what} {_ranges(missing)}"
    return None


def _ranges(marked: torch.Tensor, limit: int = 4) -> str:
    """Indices that are marked, neighbours together: `0 to 31, 64`."""
    indices = torch.nonzero(marked)[:, 0].tolist()
    found: list[list[int]] = []
    for index in indices:
        if found and found[-1][1] == index - 1:
            found[-1][1] = index
        else:
            found.append([index, index])
    texts = [str(first) if first == last else f"{first} to {last}" for first, last in found[:limit]]
    more = f" and {len(found) - limit} more ranges" if len(found) > limit else ""
    return ", ".join(texts) + more + f" ({len(indices)} of {len(marked)})"


def _best(
    base: torch.Tensor | None, change: torch.Tensor, found: torch.Tensor, rounding: Rounding, typical: float
) -> tuple[float, Outside, bool]:
    """Of the change once, none of it, and the typical row's scale, the one that leaves fewest elements unexplained.

    A later one must leave less than half of what an earlier one leaves. The last value says whether the best is told
    from its rival (none of the change from some of it), which must leave at least twice as many.
    """
    scales = [1.0, typical] if base is None else [1.0, 0.0, typical]
    left = {scale: outside(base, change, found, rounding, scale) for scale in scales}
    best = scales[0]
    for scale in scales[1:]:
        best = scale if 2 * left[scale].count < left[best].count else best
    rival = 1.0 if best == 0 else 0.0
    return best, left[best], rival not in left or 2 * left[best].count <= left[rival].count


def _limits_of_most(
    tried: Sequence[tuple[Rounding, Bounds]], rounding: Rounding, scale: float
) -> tuple[float | None, float | None]:
    """Limits of the scale by the rows that the given one explains; none where there is no such row."""
    bounds = next(bounds for one, bounds in tried if one == rounding)
    fits = (bounds.row_low <= scale) & (bounds.row_high >= scale)
    return (float(bounds.row_low[fits].max()), float(bounds.row_high[fits].min())) if fits.any() else (None, None)


def _limits(rounding: Rounding, low: float | None, high: float | None) -> dict[str, Any]:
    return {"format": rounding.format, "way": rounding.way, "scale_low": low, "scale_high": high}


def _outside(left: Outside) -> dict[str, Any]:
    return {
        "outside": left.count, "outside_rows": left.rows, "largest": left.largest, "place": left.place,
    }  # fmt: skip
