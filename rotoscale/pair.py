"""One matrix in two models, with everything that statistics and recipes ask of the pair, worked out on first use.

With T the tall orientation, L and S its long and short vectors (see `Decomposition`) and `T_p = T_b + dT`, the overlap
of the long side's vectors is

    L_b^T L_p = L_b^T T_p S_p / s_p = (diag(s_b) + L_b^T dT S_b) (S_b^T S_p) / s_p,

because S_b is a whole basis. `L_b^T dT S_b` is the change in the base's vectors (`change_in_base`), which agreement
needs as well: no vector of the long side is formed, and rounding is relative to the change.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import torch

from rotoscale.change_in_base import ChangeInBase, change_in_base
from rotoscale.decomposition import Decomposition
from rotoscale.errors import MatrixError
from rotoscale.linalg import as_matrix, product

_ROWS = 64

SINGLE_PRECISION_CONDITION = 1e3
"""Up to this condition, times the relative change, a change brought into the base's vectors in float32 costs the
overlaps less than 1e-4 in the last component and less than 1e-6 in NF."""


def row_blocks(*matrices: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    """The same few rows of several matrices at a time, for sums and the like.

    Passed through in one piece, a large matrix costs most of its time in fresh memory for what comes in between.
    """
    return zip(*(X.split(_ROWS) for X in matrices), strict=True)


class Factors(NamedTuple):
    """The compared components of one matrix: U (m x r), s (r,), V (n x r), float64."""

    U: torch.Tensor
    s: torch.Tensor
    V: torch.Tensor


class MatrixPair:
    """`base` and `post` (both m x n), in float64 on the device of the factors once asked for; `given` as they came.

    r is the smaller numerical rank of the two: components beyond it have no defined vectors (docs/methods.md, section
    2). A recipe replaces the first r components; what is left of its own model's matrix, `rest_of_base` or
    `rest_of_post`, stays. A pair may be made without factors for what needs none, and with the `change` in the base's
    vectors where it is known already.

    Raises MatrixError when the two shapes differ.
    """

    def __init__(
        self,
        base: torch.Tensor,
        post: torch.Tensor,
        base_factors: Decomposition | None = None,
        post_factors: Decomposition | None = None,
        change: ChangeInBase | None = None,
    ) -> None:
        if base.shape != post.shape:
            raise MatrixError(
                f"shapes {tuple(base.shape)} and {tuple(post.shape)} differ; only matrices of equal shape make a pair"
            )
        self.given = (base, post)
        self._base_factors = base_factors
        self._post_factors = post_factors
        self._known_change = change

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n)."""
        return (self.given[0].shape[0], self.given[0].shape[1])

    @cached_property
    def base(self) -> torch.Tensor:
        """The base's matrix (m x n) in float64."""
        return as_matrix(self.given[0], self._device)

    @cached_property
    def post(self) -> torch.Tensor:
        """The post model's matrix (m x n) in float64."""
        return as_matrix(self.given[1], self._device)

    @cached_property
    def is_unchanged(self) -> bool:
        """Whether both are the same matrix: then the overlaps are the identity exactly, whatever the arithmetic."""
        base, post = self.given
        return torch.equal(base, post) if base.dtype == post.dtype else torch.equal(base.double(), post.double())

    @cached_property
    def change_norm(self) -> float:
        """|W_p - W_b|_F."""
        norms = [(post.double() - base.double()).norm() for base, post in row_blocks(*self.given)]
        return float(torch.stack(norms).norm())

    @property
    def base_factors(self) -> Decomposition:
        """The base's decomposition; MatrixError when the pair was made without."""
        return self._decompositions[0]

    @property
    def post_factors(self) -> Decomposition:
        """The post model's decomposition; MatrixError when the pair was made without."""
        return self._decompositions[1]

    @property
    def spectra(self) -> tuple[torch.Tensor, torch.Tensor]:
        """All singular values of base and post, descending, also those without defined vectors."""
        base, post = self._decompositions
        return base.singular_values, post.singular_values

    @cached_property
    def rank(self) -> int:
        """r, the number of components that have vectors on both sides."""
        return min(factors.numerical_rank for factors in self._decompositions)

    @property
    def s_base(self) -> torch.Tensor:
        """The base's compared singular values (r,)."""
        return self.spectra[0][: self.rank]

    @property
    def s_post(self) -> torch.Tensor:
        """The post model's compared singular values (r,)."""
        return self.spectra[1][: self.rank]

    @property
    def A(self) -> torch.Tensor:  # noqa: N802 (the field's name for it)
        """U_b^T U_p (r x r): left vectors of the base (rows) against those of the post model (columns)."""
        return self.short_overlap if self.base_factors.wide else self.long_overlap

    @property
    def B(self) -> torch.Tensor:  # noqa: N802
        """V_b^T V_p (r x r): the same for right vectors."""
        return self.long_overlap if self.base_factors.wide else self.short_overlap

    @cached_property
    def short_overlap(self) -> torch.Tensor:
        """S_b^T S_p (r x r), of the vectors of the shorter side."""
        if self.is_unchanged:
            return self._identity()
        base, post = self._decompositions
        return product(base.short[:, : self.rank].T, post.short[:, : self.rank])

    @cached_property
    def long_overlap(self) -> torch.Tensor:
        """L_b^T L_p (r x r), of the vectors of the longer side.

        Where the post model's are kept, which is where it is too badly conditioned for products with `S_p / s_p`, or
        where a component has no vectors, those of both sides are formed.
        """
        if self.is_unchanged:
            return self._identity()
        if self._spans:
            return (self.s_base[:, None] * self.short_overlap + self.change_between) / self.s_post
        long = self.post_factors.long_vectors(self.post)[:, : self.rank].double()
        return product(self._base_long.T, long)

    @property
    def _spans(self) -> bool:
        """Whether both sides' short vectors are a whole basis, and the post model's long ones are `T_p S_p / s_p`."""
        return self.rank == min(self.shape) and self.post_factors.long is None

    @cached_property
    def is_small_change(self) -> bool:
        """Whether the change is small beside even the smallest singular value of a pair of full numerical rank.

        Then leak and the formula's error are sums over the change, not differences of numbers near one.
        """
        return self._spans and self.change_norm <= float(self.s_post[-1]) * self.rank**0.5

    @cached_property
    def change_between(self) -> torch.Tensor:
        """L_b^T dT S_p (r x r, float64): the change between the base's long and the post's short vectors."""
        D = self.change.D.T if self.base_factors.wide else self.change.D
        return product(D.contiguous(), self.short_overlap)

    @property
    def post_in_base(self) -> torch.Tensor:
        """`A S_p B^T` (r x r), the post model's matrix between the base's vectors: `diag(s_b) + D` of whole bases."""
        if not self._spans or self.is_unchanged:
            return product(self.A * self.s_post, self.B.T)
        Y = self.change.D.clone()
        Y.diagonal().add_(self.s_base)
        return Y

    @cached_property
    def change(self) -> ChangeInBase:
        """The change in the base's vectors; in float64 where the singular values it is divided by are small."""
        base, post = self._decompositions
        known = self._known_change
        norm = float(torch.linalg.vector_norm(self.spectra[0]))
        exact = max(base.condition, post.condition) * self.change_norm > SINGLE_PRECISION_CONDITION * norm
        if known is not None and not (exact and known.T.dtype != torch.float64):
            return known
        return change_in_base(base, *self.given, exact=exact)

    @cached_property
    def change_gram(self) -> torch.Tensor:
        """`dT^T dT` (min(m, n) squared), in the precision of the change."""
        return self.change.gram()

    def left_behind(self, k: int) -> torch.Tensor:
        """`X^T X` (k x k), X what of the post model's first k long vectors lies outside the base's space.

        It is a part of the change alone, so that rounding is relative to that.
        """
        if self._spans:
            short, s = self.post_factors.short[:, :k].contiguous(), self.s_post[:k]
            inside = self.change_between[:, :k].contiguous()
            whole = product(short.T, product(self.change_gram.double(), short))
            return (whole - product(inside.T, inside)) / (s[:, None] * s)
        outside = self.post_factors.long_vectors(self.post)[:, :k] - product(self._base_long, self.long_overlap[:, :k])
        return product(outside.T, outside)

    @cached_property
    def of_base(self) -> Factors:
        """The base's compared components."""
        return self._factors(self.base_factors, self._base_long)

    @cached_property
    def of_post(self) -> Factors:
        """The post model's compared components."""
        long = self.post_factors.long_vectors(self.post)[:, : self.rank]
        return self._factors(self.post_factors, long)

    @property
    def rest_of_base(self) -> torch.Tensor | None:
        """The base's matrix without its compared components (m x n); None when nothing is left."""
        return self._rest(self.base, self.of_base)

    @property
    def rest_of_post(self) -> torch.Tensor | None:
        """The post model's matrix without its compared components (m x n); None when nothing is left."""
        return self._rest(self.post, self.of_post)

    @staticmethod
    def composed(U: torch.Tensor, s: torch.Tensor, V: torch.Tensor, rest: torch.Tensor | None = None) -> torch.Tensor:
        """`U diag(s) V^T + rest` (m x n) of U (m x r), s (r,) and V (n x r)."""
        W = product(U * s, V.T) if U.shape[0] <= V.shape[0] else product(U, (V * s).T)
        return W if rest is None else W.add_(rest)

    @property
    def _device(self) -> torch.device:
        return self.given[0].device if self._base_factors is None else self._base_factors.short.device

    @property
    def _decompositions(self) -> tuple[Decomposition, Decomposition]:
        if self._base_factors is None or self._post_factors is None:
            raise MatrixError("this needs the factors of both matrices; pass their decompositions")
        return self._base_factors, self._post_factors

    @cached_property
    def _base_long(self) -> torch.Tensor:
        """The base's long vectors (max(m, n) x r) in float64."""
        return self.base_factors.long_vectors(self.base)[:, : self.rank].contiguous()

    def _identity(self) -> torch.Tensor:
        return torch.eye(self.rank, dtype=torch.float64, device=self._device)

    def _factors(self, factors: Decomposition, long: torch.Tensor) -> Factors:
        short, long = factors.short[:, : self.rank].contiguous(), long.contiguous()
        U, V = (short, long) if factors.wide else (long, short)
        return Factors(U, factors.singular_values[: self.rank], V)

    def _rest(self, W: torch.Tensor, factors: Factors) -> torch.Tensor | None:
        return None if self.rank == min(self.shape) else W - self.composed(*factors)
