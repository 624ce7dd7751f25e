"""Where the energy of a change lies: orthogonal shares of |dW|^2 in the base's own vectors, beside those of noise.

docs/methods.md, section 2b. The shares sum to one: a uniform scale of the base, the rest of D's diagonal, the
symmetric and the antisymmetric off-diagonal part of D, and what lies outside the base's spaces.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from rotoscale.change_in_base import ChangeInBase


@dataclass(frozen=True)
class EnergyBudget:
    """Shares of |dW|^2 that sum to one."""

    scale: float
    diagonal: float
    shared: float
    apart: float
    outside: float


def energy_budget(change: ChangeInBase) -> EnergyBudget | None:
    """The budget of a change; None where nothing changed.

    `scale = <dW, W_base>^2 / |W_base|^2`; `diagonal = |diag D|^2 - scale`; `shared` and `apart` are
    `|(D + D^T) / 2|^2` and `|(D - D^T) / 2|^2` off the diagonal, which is `(sum D_ij^2 +- sum D_ij D_ji) / 2`;
    `outside = |dW|^2 - |D|^2`. All are good to some 1e-15 of |dW|^2.
    """
    if not change.norm:
        return None
    D, s = change.D, change.singular_values
    total = total_energy(change)
    straight = D.diagonal()
    if float(s.square().sum()):
        along = float(torch.dot(straight, s)) ** 2 / float(s.square().sum())
        uneven = float((straight - s * (torch.dot(straight, s) / s.square().sum())).square().sum())
    else:
        along = uneven = 0.0
    crossed = float(change.crossed.sum())
    shared, apart = (max(change.off_diagonal + sign * crossed, 0.0) / 2 for sign in (1, -1))
    inside = along + uneven + shared + apart
    return EnergyBudget(along / total, uneven / total, shared / total, apart / total, max(1 - inside / total, 0.0))


def expected_budget(shape: tuple[int, int], rank: int) -> EnergyBudget:
    """The budget of white noise on an m x n matrix of the given numerical rank."""
    cells = shape[0] * shape[1]
    side = rank * (rank - 1) / (2 * cells)
    return EnergyBudget(min(rank, 1) / cells, max(rank - 1, 0) / cells, side, side, 1 - rank**2 / cells)


def total_energy(change: ChangeInBase) -> float:
    """|dW|^2, as the sum that the shares are taken of: |D|^2 where the base's vectors span everything."""
    inside = float(change.D.square().sum())
    return inside if change.rank == max(change.shape) else max(change.norm**2, inside)


def leading(rank: int) -> int:
    """How many components count as leading: a tenth of the rank, at least 8, at most all."""
    return min(rank, max(8, rank // 10))


def principal_share(change: ChangeInBase) -> tuple[float, float, float] | None:
    """Share of |dW|^2 in the block of the leading k x k components, what white noise gives, and its p.

    Of white noise the share follows Beta(k^2 / 2, (mn - k^2) / 2), of mean k^2 / mn. None where nothing changed.
    """
    from scipy.special import betaincc

    if not change.norm:
        return None
    k, cells = leading(change.rank), change.shape[0] * change.shape[1]
    share = min(float(change.D[:k, :k].square().sum()) / total_energy(change), 1.0)
    p = float(betaincc(k**2 / 2, (cells - k**2) / 2, share)) if 0 < k**2 < cells else 1.0
    return share, k**2 / cells, p
