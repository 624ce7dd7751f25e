"""Thin singular value decomposition of one weight matrix, by the fastest route that is accurate enough.

The tall orientation `T` (the matrix, or its transpose when it is wide) is decomposed through its Gram matrix:
`T^T T = V diag(s^2) V^T` in float64, which costs one product and one small symmetric eigenproblem. The long side's
vectors are then `T V / s`, a single product away, so they are not computed or stored until someone needs them.

The Gram matrix squares the condition number: a singular value at `c` times the largest carries a relative error of
about `eps / c^2`, and it shows as a loss of orthogonality among the long side's last vectors. That loss is measured
on the last vectors of every matrix; beyond ORTHOGONALITY_TOLERANCE the matrix is decomposed again by a full float64
SVD, whose long-side vectors are then kept. The route taken is recorded in `kernel`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from rotoscale.linalg import (
    EPSILON,
    as_matrix,
    eigenvalues,
    full_svd,
    product,
    singular_values_of,
    symmetric_eigen,
    working_device,
)

ORTHOGONALITY_TOLERANCE = 1e-6
"""Largest entry of `U^T U - I` accepted from the fast route (an NF error of at most about the same size)."""

_CHECKED_TAIL = 32
_PROBES = 16


@dataclass(frozen=True)
class Decomposition:
    """Factors of one matrix W (m x n), r = min(m, n), in float64.

    short: vectors of the shorter side (r x r, columns): V for tall and square W, U for wide W.
    long: vectors of the longer side (max(m, n) x r), or None when they are to be had as `T short / s`.
    """

    shape: tuple[int, int]
    singular_values: torch.Tensor
    short: torch.Tensor
    long: torch.Tensor | None
    kernel: str
    residual: float
    orthogonality_error: float

    @property
    def wide(self) -> bool:
        """Whether W has more columns than rows, so that `short` holds left singular vectors."""
        return self.shape[0] < self.shape[1]

    @property
    def numerical_rank(self) -> int:
        """Components with `s > max(m, n) eps s[0]`; the others have no vectors (docs/methods.md, section 2)."""
        return numerical_rank(self.singular_values, self.shape)

    @property
    def condition(self) -> float:
        """s[0] over the smallest singular value within the numerical rank; infinite for a zero matrix."""
        rank = self.numerical_rank
        return float(self.singular_values[0] / self.singular_values[rank - 1]) if rank else float("inf")

    def to(self, device: torch.device | str) -> Decomposition:
        """The same factors on the working device of `device`."""
        device = working_device(device)
        return replace(
            self,
            singular_values=self.singular_values.to(device),
            short=self.short.to(device),
            long=None if self.long is None else self.long.to(device),
        )

    def long_vectors(self, W: torch.Tensor) -> torch.Tensor:
        """Vectors of the longer side (max(m, n) x r); `W` is the decomposed matrix. Zero where s is zero."""
        if self.long is not None:
            return self.long
        T = tall(as_matrix(W, self.short.device))
        s = self.singular_values
        return product(T, self.short).mul_(torch.where(s > 0, 1 / s, 0.0))

    def left(self, W: torch.Tensor) -> torch.Tensor:
        """Left singular vectors U (m x r, columns)."""
        return self.short if self.wide else self.long_vectors(W)

    def right(self, W: torch.Tensor) -> torch.Tensor:
        """Right singular vectors V (n x r, columns)."""
        return self.long_vectors(W) if self.wide else self.short


@dataclass(frozen=True)
class OnlyValues:
    """Singular values (r,) of one matrix (m x n), descending, in float64, where nobody needs its vectors."""

    shape: tuple[int, int]
    singular_values: torch.Tensor
    kernel: str

    @property
    def numerical_rank(self) -> int:
        """As that of `Decomposition`."""
        return numerical_rank(self.singular_values, self.shape)

    def to(self, device: torch.device | str) -> OnlyValues:
        """The same values on the working device of `device`."""
        return replace(self, singular_values=self.singular_values.to(working_device(device)))


def numerical_rank(s: torch.Tensor, shape: tuple[int, int]) -> int:
    """How many singular values s (r,) of an m x n matrix are above `max(m, n) eps s[0]`."""
    return int((s > max(shape) * EPSILON * s[0]).sum())


def tall(W: torch.Tensor) -> torch.Tensor:
    """`W`, or its transpose when it is wide: the orientation in which the Gram matrix is the smaller one."""
    return W.T if W.shape[0] < W.shape[1] else W


def decompose(W: torch.Tensor, device: torch.device | str = "cpu") -> Decomposition:
    """Thin SVD of a weight matrix `W` (m x n, any floating dtype), computed in float64.

    Singular values agree with a float64 reference to 1e-6 relative above 1e-3 of the largest, for ordinary,
    rank-deficient, degenerate, tiny-norm and badly conditioned matrices alike.

    Raises MatrixError when W is not a finite, non-empty matrix.
    """
    W = as_matrix(W, device)
    T = tall(W)
    shape = (W.shape[0], W.shape[1])
    return _by_gram(T, shape) or _by_full_svd(T, shape)


def only_values(W: torch.Tensor, device: torch.device | str = "cpu") -> OnlyValues:
    """Singular values of `W` (m x n, any floating dtype) to the accuracy of `decompose`, at about half its cost.

    The Gram matrix gives them where it has not lost the smallest ones, a bidiagonal reduction of W elsewhere.

    Raises MatrixError when W is not a finite, non-empty matrix.
    """
    W = as_matrix(W, device)
    T = tall(W)
    shape = (W.shape[0], W.shape[1])
    values = eigenvalues(product(T.T, T)).flip(0)
    if float(values[-1]) > EPSILON / ORTHOGONALITY_TOLERANCE * float(values[0]):
        return OnlyValues(shape, values.sqrt(), "gram-values")
    return OnlyValues(shape, singular_values_of(T), "svd-values")


def _by_gram(T: torch.Tensor, shape: tuple[int, int]) -> Decomposition | None:
    """The fast route, or None when T is too badly conditioned for it."""
    values, vectors = symmetric_eigen(product(T.T, T))
    values, vectors = values.flip(0), vectors.flip(1).contiguous()
    # A first, free test: below this the Gram matrix has lost the smallest singular values altogether.
    if float(values[-1]) <= EPSILON / ORTHOGONALITY_TOLERANCE * float(values[0]):
        return None
    s = values.sqrt()
    tail = product(T, vectors[:, -_CHECKED_TAIL:].contiguous()) / s[-_CHECKED_TAIL:]
    gram = product(tail.T, tail)
    error = max(
        float(gram.sub_(torch.eye(len(gram), dtype=gram.dtype, device=gram.device)).abs().max()),
        _orthogonality_error(vectors),
    )
    if error > ORTHOGONALITY_TOLERANCE:
        return None
    return Decomposition(shape, s, vectors, None, "gram-eigh", _residual(T, s, vectors, None), error)


def _by_full_svd(T: torch.Tensor, shape: tuple[int, int]) -> Decomposition:
    long, s, short = full_svd(T)
    rank = max(1, int((s > max(shape) * EPSILON * s[0]).sum()))
    error = max(_orthogonality_error(long[:, :rank].contiguous()), _orthogonality_error(short))
    return Decomposition(shape, s, short, long, "full-svd", _residual(T, s, short, long), error)


def _orthogonality_error(X: torch.Tensor) -> float:
    """Largest entry of `|(X^T X - I) x|` over Gaussian probes x: a bound on the entries of `X^T X - I`.

    Each entry is Gaussian with the norm of a row of `X^T X - I` as its deviation; of 16 the largest is above it.
    """
    x = _probes(X.shape[1], X.device)
    return float((product(X.T, product(X, x)) - x).abs().max())


def _probes(size: int, device: torch.device) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(size, _PROBES, generator=generator, dtype=torch.float64).to(device)


def _residual(T: torch.Tensor, s: torch.Tensor, short: torch.Tensor, long: torch.Tensor | None) -> float:
    """Relative reconstruction error `|T - L diag(s) S^T|_F / |T|_F`, estimated with Gaussian probes.

    For `x` standard normal, E|R x|^2 = |R|_F^2; with 16 probes the estimate is good to about 20 %, at a small
    fraction of the cost of forming the reconstruction.
    """
    norm = float(torch.linalg.vector_norm(T))
    if norm == 0:
        return 0.0
    x = _probes(T.shape[1], T.device)
    inner = product(short.T, x)
    # The fast route's long side is T short / s by definition, so there L diag(s) is T short itself.
    rebuilt = product(T, product(short, inner)) if long is None else product(long, s[:, None] * inner)
    difference = product(T, x) - rebuilt
    return float(torch.linalg.vector_norm(difference)) / (_PROBES**0.5 * norm)
