"""The change of a matrix seen in the base's own singular vectors: `D = U^T dW V` (docs/methods.md, section 2b).

Nothing of the post model is decomposed. The difference is taken first, in float64, and the base's best multiple is
taken out of it before any product, so that neither a small change nor a change of scale drowns what else there is.

Where the long side's vectors are not kept, they are not formed either: for a tall matrix `D = S^-1 V^T (W^T dW) V`,
one long product in place of three. For weights of at most float32 and not too small a matrix these are float32
products, except for the components below s[0] / DIVISIBLE, where the division by s would show: their long vectors are
formed, in float64. Where they are many, or D is all but diagonal, everything is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import isfinite

import torch

from rotoscale.change import MatrixChange, matrix_change, stretches
from rotoscale.decomposition import Decomposition, tall
from rotoscale.errors import MatrixError
from rotoscale.linalg import EPSILON, as_matrix, product

DIVISIBLE = 300.0
"""Singular values down to s[0] / DIVISIBLE are divided by in float32."""

SINGLE_PRECISION_RANK = 256
"""Errors of single components reach tau divided by the rank; below this rank all is done in float64, at little cost."""

SINGLE_PRECISION_SHARE = 1e-3
"""Off-diagonal share of the change (its scale taken out) below which D is computed in float64."""

_ARITHMETIC = 16
_SMALL_NORM = 1e-12


@dataclass(frozen=True)
class ChangeInBase:
    """A change dW of a matrix (m x n) in its base's vectors, over the numerical rank r.

    D: `U^T dW V` (r x r, float64). off_diagonal: the sum of D_ij^2 over i != j. singular_values: the base's (r,).
    moved: what of the change needs no vectors; norm: |dW|_F.
    T, rest: base and `dW - scale W_base` in the tall orientation, in the precision in which D was computed.
    only_scale: whether nothing but rounding is left beside a uniform scale.
    """

    base: Decomposition
    D: torch.Tensor
    off_diagonal: float
    singular_values: torch.Tensor
    moved: MatrixChange
    scale: float
    T: torch.Tensor
    rest: torch.Tensor
    only_scale: bool

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n) of the matrix."""
        return self.base.shape

    @property
    def rank(self) -> int:
        """Numerical rank r of the base."""
        return self.D.shape[0]

    @property
    def norm(self) -> float:
        """|dW|_F."""
        return self.moved.whole.norm

    @cached_property
    def crossed(self) -> torch.Tensor:
        """`D_ij D_ji` off the diagonal, which is empty (r x r): its sum over that of D_ij^2 is tau."""
        return crossed(self.D)

    def gram(self) -> torch.Tensor:
        """`dT^T dT` (min(m, n) squared) of the change in the tall orientation, in the precision of the change."""
        dT = self.rest.add(self.T, alpha=self.scale)
        return product(dT.T, dT)


def change_in_base(
    base: Decomposition,
    W_base: torch.Tensor,
    W_post: torch.Tensor,
    dtype: torch.dtype | None = None,
    *,
    exact: bool = False,
) -> ChangeInBase:
    """`D = U^T (W_post - W_base) V` and what goes with it; `base` is the decomposition of W_base (m x n).

    `dtype` is the format in which the post model is stored, that of W_post unless given: a change that rounding to it
    explains, element by element, counts as a pure change of scale. `exact` asks for float64 throughout.

    Raises MatrixError when the shapes differ or an entry is not finite.
    """
    if W_base.shape != W_post.shape or tuple(W_base.shape) != base.shape:
        raise MatrixError(
            f"shapes {base.shape}, {tuple(W_base.shape)} and {tuple(W_post.shape)} differ; pass a decomposition of the "
            "base, the base and the post matrix"
        )
    device = base.short.device
    W_base, W_post = (W.detach().to(device) for W in (W_base, W_post))
    dtype = dtype or W_post.dtype
    moved = matrix_change(W_base, W_post)
    norm, base_norm = moved.whole.norm, moved.whole.base_norm
    if not isfinite(norm):
        as_matrix(W_base), as_matrix(W_post)  # one of them says what is wrong
    scale = moved.along_base / base_norm**2 if base_norm else 0.0
    ordinary = norm > _SMALL_NORM and base_norm < 1 / _SMALL_NORM  # products neither under- nor overflow in float32
    large = base.numerical_rank >= SINGLE_PRECISION_RANK and _trailing(base) <= base.numerical_rank // 4
    single = ordinary and large and W_base.dtype != torch.float64 and not exact
    for work in (torch.float32, torch.float64) if single else (torch.float64,):
        rest, rest_norm, rounded = _rest(W_base, W_post, scale, work, dtype)
        T, rest = tall(W_base.to(work)), tall(rest)
        D = in_base(base, T, rest).double() if rest_norm else base.short.new_zeros((base.numerical_rank,) * 2)
        off_diagonal = off_diagonal_energy(D)
        if rounded or off_diagonal > SINGLE_PRECISION_SHARE * rest_norm**2:
            break
    s = base.singular_values[: D.shape[0]]
    D.diagonal().add_(s, alpha=scale)
    floor = rounding_floor(base, base_norm, moved.post_norm, dtype)
    return ChangeInBase(base, D, off_diagonal, s, moved, scale, T, rest, rounded or off_diagonal <= floor**2)


def in_base(base: Decomposition, T: torch.Tensor, X: torch.Tensor) -> torch.Tensor:
    """`U^T X V` (r x r) of a change X; T, X: base and change in the tall orientation, of one dtype."""
    r = base.numerical_rank
    s, short = base.singular_values[:r], base.short[:, :r].to(T.dtype)
    if base.long is not None:
        D = product(base.long[:, :r].to(T.dtype).T, product(X, short))
    else:
        over_s = (base.short[:, :r] / s).to(T.dtype)  # rounded once
        D = product(over_s.T, product(product(T.T, X), short))
        kept = r - _trailing(base) if T.dtype == torch.float32 else r
        if kept < r:
            long = product(T.double(), base.short[:, kept:r].contiguous()).div_(s[kept:]).float()
            D[kept:] = product(product(long.T, X), short)
    return D.T.contiguous() if base.wide else D


def _trailing(base: Decomposition) -> int:
    """How many components are too small to be divided by in float32; none where the long vectors are kept."""
    s = base.singular_values[: base.numerical_rank]
    return 0 if base.long is not None else int((s * DIVISIBLE < s[:1]).sum())


def long_rows(change: ChangeInBase, rows: torch.Tensor) -> torch.Tensor:
    """The given rows (k,) of the long side's vectors (k x r)."""
    base, r = change.base, change.rank
    if base.long is not None:
        return base.long[rows, :r].to(change.T.dtype)
    s = change.singular_values.to(change.T.dtype)
    return product(change.T[rows], base.short[:, :r].to(change.T.dtype) / s)


def off_diagonal_energy(D: torch.Tensor) -> float:
    """Sum of D_ij^2 over i != j."""
    X = D.clone()  # the diagonal may be far larger: it must not be subtracted from a sum that it rules
    X.fill_diagonal_(0)
    return float(X.square_().sum())


def crossed(D: torch.Tensor) -> torch.Tensor:
    """`D_ij D_ji` (r x r) off the diagonal, which is empty."""
    return (D * D.T).fill_diagonal_(0)


def rounding_floor(base: Decomposition, base_norm: float, post_norm: float, dtype: torch.dtype) -> float:
    """Off-diagonal norm of D that rounding alone can give, at most.

    Storing W_post with unit roundoff u (half the dtype's eps; float32's for narrower ones) moves no element by more
    than `u |w|`, so the change by no more than `u |W_post|`. Computing D in float64 adds at most a small multiple of
    `eps c (|W_base| + |W_post|)`, c the base's condition where its long vectors are divided by s, else 1. Narrower
    formats are looked at element by element (`_rest`), because training with them makes real changes that are smaller
    than their rounding.
    """
    unit = min(torch.finfo(dtype).eps, torch.finfo(torch.float32).eps) / 2
    condition = base.condition if base.numerical_rank and base.long is None else 1.0
    return max(unit * post_norm, _ARITHMETIC * EPSILON * condition * (base_norm + post_norm))


def _rest(
    W_base: torch.Tensor, W_post: torch.Tensor, scale: float, work: torch.dtype, dtype: torch.dtype
) -> tuple[torch.Tensor, float, bool]:
    """`dW - scale W_base` in the dtype `work`, its norm, and whether rounding W_post to `dtype` explains all of it."""
    rest = torch.empty(W_base.shape, dtype=work, device=W_base.device)
    unit = torch.finfo(dtype).eps / 2 * (1 + min(0.5, 4 / W_base.numel() ** 0.5))  # more, for the error of the scale
    tiny = torch.finfo(dtype).smallest_normal * unit
    total, rounded, flat, at = 0.0, True, rest.view(-1), 0
    for b, p in stretches(W_base, W_post):
        b, p = b.double(), p.double()
        d = (p - b).sub_(b, alpha=scale)
        flat[at : at + len(d)] = d
        at += len(d)
        total += float(torch.dot(d, d))
        rounded = rounded and bool((d.abs() <= p.abs().mul_(unit).add_(tiny)).all())
    return rest, total**0.5, rounded
