"""What of a change is a gain of rows and columns, `diag(a) W + W diag(b)` (docs/methods.md, section 2b).

A norm's weights folded into a matrix, or a head that was switched up, give D a symmetric part (tau of 0.5 to 0.7)
without any rotation. So tau is taken a second time of what the best gains leave over.

Least squares for a and b (m + n unknowns) has the normal equations of `W o W`, solved by conjugate gradients; nothing
of size (m + n)^2 is formed. The fit alone moves the tau of noise to about -2 (mean s)^2 / (r mean s^2), because what
it takes out agrees: `gains_tau` sums that over the directions of the gains, for the matrix at hand.
"""

from __future__ import annotations

import torch

from rotoscale.change_in_base import ChangeInBase, long_rows

_MOST_STEPS = 200
_TOLERANCE = 1e-8
_SAMPLED_ROWS = 256


def without_gains(change: ChangeInBase) -> torch.Tensor:
    """The change less its best gains of rows and columns, in the tall orientation (and less its uniform scale)."""
    a, b = best_gains(change.T, change.rest)
    rest = change.rest.addcmul(change.T, a.to(change.T.dtype)[:, None], value=-1)
    return rest.addcmul_(change.T, b.to(change.T.dtype), value=-1)


def best_gains(W: torch.Tensor, X: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """a (m,), b (n,), float64, that minimise `|X - diag(a) W - W diag(b)|_F` for W, X (m x n).

    They are unique up to a constant moved from a to b (and arbitrary, here zero, for empty rows and columns).
    """
    m, n = W.shape
    squares = W.square()
    diagonal = _sums(squares, W.new_ones(m), W.new_ones(n))
    residual = _sums(W * X, W.new_ones(m), W.new_ones(n))
    inverse = torch.where(diagonal > 0, 1 / diagonal, 0.0)

    def normal(x: torch.Tensor) -> torch.Tensor:
        return diagonal * x + _sums(squares, x[:m].to(W.dtype), x[m:].to(W.dtype))

    solution = torch.zeros_like(residual)
    scaled = inverse * residual
    direction, square = scaled.clone(), float(torch.dot(residual, scaled))
    enough = _TOLERANCE**2 * square
    for _ in range(_MOST_STEPS):
        if square <= enough:
            break
        image = normal(direction)
        step = square / float(torch.dot(direction, image))
        solution.add_(direction, alpha=step)
        residual.sub_(image, alpha=step)
        scaled = inverse * residual
        square, before = float(torch.dot(residual, scaled)), square
        direction.mul_(square / before).add_(scaled)
    return solution[:m], solution[m:]


def _sums(X: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Rows of X summed with weights b, and columns with weights a (m + n,), by matrix products: the fastest sums."""
    return torch.cat((X @ b, X.T @ a)).double()


def gains_tau(change: ChangeInBase, seed: int) -> float:
    """Tau expected of white noise after the best gains are taken out: a little below 0.

    The numerator of tau loses what the directions of the gains contribute to it. Each direction (one row or one
    column of the base, of unit length) contributes `sum_{i != j} x_i^2 x_j^2 s_i s_j / sum_i x_i^2 s_i^2`, x the row
    of U or V. Directions of rows overlap those of columns by so little that they are simply added.
    """
    s, r = change.singular_values, change.rank
    longer, shorter = change.T.shape
    if longer > _SAMPLED_ROWS:
        generator = torch.Generator().manual_seed(seed)
        rows = torch.randperm(longer, generator=generator)[:_SAMPLED_ROWS].to(s.device)
    else:
        rows = torch.arange(longer, device=s.device)
    agreeing = energy = 0.0
    for X, count in ((long_rows(change, rows).double(), longer), (change.base.short[:, :r], shorter)):
        squares = X.square()
        length = squares @ s.square()
        there = length > 0
        squares, length = squares[there], length[there]
        own = squares.square() @ s.square()
        agreeing += count * float((((squares @ s).square() - own) / length).sum()) / len(X)
        energy += count * float(((squares.sum(1) * length - own) / length).sum()) / len(X)
    return -agreeing / max(r * (r - 1) - energy, 1.0)
