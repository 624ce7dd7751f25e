"""Right values in the wrong place: rows or columns in another order, a transposed matrix, the change of another matrix.

Each is tried on a few rows, for which the one place is looked for whose values they hold; found means that every
element of them then lies within the rounding.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from rotoscale.audit.formats import spacing
from rotoscale.audit.scales import LeastSquares, Rounding, blocks, scale_bounds

SAMPLED = 32
"""Rows, or columns, that are looked for elsewhere."""

NORM_MARGIN = 0.05
"""How far the norm of what moved may be from the change's to be called right."""

SAME_DIRECTION = 0.5
"""Squared cosine between what moved and the change from which on its values are in their places."""


def places(base: torch.Tensor | None, change: torch.Tensor, found: torch.Tensor, rounding: Rounding) -> str:
    """In which other order `found = base + change` holds (m x n each; None for zeros); empty when in none of these."""
    if change.shape[0] == change.shape[1] and _holds(base, change.T.contiguous(), found, rounding):
        return "transposed"
    if _reordered(base, change, found, rounding):
        return "rows in another order"
    turned = [None if X is None else X.T.contiguous() for X in (base, change, found)]
    if _reordered(turned[0], turned[1], turned[2], rounding):  # type: ignore[arg-type]
        return "columns in another order"
    return ""


def of_another(
    base: torch.Tensor, found: torch.Tensor, rounding: Rounding, elsewhere: Iterable[tuple[str, torch.Tensor]]
) -> str:
    """The name of the first of other matrices (m x n each) whose change stands here; empty when there is none."""
    return next((name for name, change in elsewhere if _holds(base, change, found, rounding)), "")


def norm_is_right(base: torch.Tensor, found: torch.Tensor, rounding: Rounding, fit: LeastSquares) -> bool:
    """Whether what moved has the change's norm, rounding taken into account, and not its direction."""
    noise = sum(float(spacing(f, rounding.format).square().sum()) for _, f in blocks(base, found)) / 12
    expected = (fit.change**2 + noise) ** 0.5
    if not fit.change or noise > fit.change**2:
        return False
    aligned = (fit.scale * fit.change / fit.moved) ** 2 if fit.moved else 1.0
    return abs(fit.moved / expected - 1) <= NORM_MARGIN and aligned < SAME_DIRECTION


def _holds(base: torch.Tensor | None, change: torch.Tensor, found: torch.Tensor, rounding: Rounding) -> bool:
    """Whether the change, once, explains what was found, and no change does not."""
    bounds = scale_bounds(base, change, found, rounding)
    return bounds.low <= 1 <= bounds.high and not bounds.low <= 0 <= bounds.high


def _reordered(base: torch.Tensor | None, change: torch.Tensor, found: torch.Tensor, rounding: Rounding) -> bool:
    """Whether the sampled rows of what moved are rows of the change, and not all of them their own.

    A row of one number has a neighbour everywhere: of a vector all values have to be there, each once.
    """
    if change.shape[1] == 1:
        return base is None and _holds(None, change.sort(0).values, found.sort(0).values, rounding)
    moving = torch.nonzero(change.double().square().sum(1) > 0)[:, 0]
    if len(moving) < 2:
        return False
    rows = moving[torch.linspace(0, len(moving) - 1, min(SAMPLED, len(moving))).long()]
    moved = found[rows].double() if base is None else found[rows].double() - base[rows].double()
    products = torch.cat([moved.float() @ part.T for part in change.float().split(4096)], 1)
    nearest = (change.float().square().sum(1) - 2 * products).argmin(1)
    if bool((nearest == rows).all()):
        return False
    there = None if base is None else base[rows]
    return _holds(there, change[nearest], found[rows], rounding)
