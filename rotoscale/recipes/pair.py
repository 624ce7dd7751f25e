"""One matrix in two models, with everything a recipe may ask of the pair, worked out on first use."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import torch

from rotoscale.decomposition import Decomposition, tall
from rotoscale.errors import MatrixError
from rotoscale.linalg import as_matrix, product


def row_blocks(*matrices: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    """The same 64 rows of several matrices at a time, for sums and the like.

    Passed through in one piece, a large matrix costs most of its time in fresh memory for what comes in between.
    """
    return zip(*(X.split(64) for X in matrices), strict=True)


class Factors(NamedTuple):
    """The compared components of one matrix: U (m x r), s (r,), V (n x r), float64."""

    U: torch.Tensor
    s: torch.Tensor
    V: torch.Tensor


class MatrixPair:
    """`base` and `post` (both m x n), in float64 on the device of the factors once asked for; `given` as they came.

    r is the smaller numerical rank of the two: components beyond it have no defined vectors (METHODS 2). A recipe
    replaces the first r components; what is left of its own model's matrix, `rest_of_base` or `rest_of_post`, stays.
    Recipes that use no factors may be given a pair without any.
    """

    def __init__(
        self,
        base: torch.Tensor,
        post: torch.Tensor,
        base_factors: Decomposition | None = None,
        post_factors: Decomposition | None = None,
    ) -> None:
        if base.shape != post.shape:
            raise MatrixError(f"shapes {tuple(base.shape)} and {tuple(post.shape)} differ; a recipe needs equal ones")
        self.given = (base, post)
        self._base_factors = base_factors
        self._post_factors = post_factors

    @cached_property
    def base(self) -> torch.Tensor:
        """The base's matrix (m x n) in float64."""
        return as_matrix(self.given[0], self._device)

    @cached_property
    def post(self) -> torch.Tensor:
        """The post model's matrix (m x n) in float64."""
        return as_matrix(self.given[1], self._device)

    @property
    def _device(self) -> torch.device:
        return self.given[0].device if self._base_factors is None else self._base_factors.short.device

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n)."""
        return (self.given[0].shape[0], self.given[0].shape[1])

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
    def spectra(self) -> tuple[torch.Tensor, torch.Tensor]:
        """All singular values of base and post, descending, also those without defined vectors."""
        base, post = self._decompositions
        return base.singular_values, post.singular_values

    @property
    def rank(self) -> int:
        """r, the number of components that have vectors on both sides."""
        return min(factors.numerical_rank for factors in self._decompositions)

    @cached_property
    def A(self) -> torch.Tensor:  # noqa: N802 (the field's name for it)
        """U_b^T U_p (r x r)."""
        base, _ = self._decompositions
        return self._short_overlap() if base.wide else self._long_overlap()

    @cached_property
    def B(self) -> torch.Tensor:  # noqa: N802
        """V_b^T V_p (r x r)."""
        base, _ = self._decompositions
        return self._long_overlap() if base.wide else self._short_overlap()

    @cached_property
    def of_base(self) -> Factors:
        """The base's compared components."""
        return self._factors(self.base, self._decompositions[0])

    @cached_property
    def of_post(self) -> Factors:
        """The post model's compared components."""
        return self._factors(self.post, self._decompositions[1])

    @property
    def rest_of_base(self) -> torch.Tensor | None:
        """The base's matrix without its compared components (m x n); None when nothing is left."""
        return self._rest(self.base, self.of_base)

    @property
    def rest_of_post(self) -> torch.Tensor | None:
        """The post model's matrix without its compared components (m x n); None when nothing is left."""
        return self._rest(self.post, self.of_post)

    @property
    def _decompositions(self) -> tuple[Decomposition, Decomposition]:
        if self._base_factors is None or self._post_factors is None:
            raise MatrixError("this recipe needs the factors of both matrices; pass their decompositions")
        return self._base_factors, self._post_factors

    def _short_overlap(self) -> torch.Tensor:
        base, post = self._decompositions
        if self._is_unchanged:
            return torch.eye(self.rank, dtype=torch.float64, device=base.short.device)
        return product(base.short[:, : self.rank].T, post.short[:, : self.rank])

    def _long_overlap(self) -> torch.Tensor:
        """Overlap of the longer side's vectors, from those of one model only: the other's are `T short / s`.

        With T the tall orientation, `L_b^T L_p = diag(1/s_b) S_b^T (T_b^T L_p) = (L_b^T T_p) S_p diag(1/s_p)`; the
        recipe has one of the two long sides at hand, or will need it.
        """
        base, post = self._decompositions
        r = self.rank
        if self._is_unchanged:
            return torch.eye(r, dtype=torch.float64, device=base.short.device)
        if "of_post" in self.__dict__:
            long = self.of_post.V if base.wide else self.of_post.U
            inner = product(tall(self.base).T, long)
            return product(base.short[:, :r].T, inner) / base.singular_values[:r, None]
        long = self.of_base.V if base.wide else self.of_base.U
        return product(product(long.T, tall(self.post)), post.short[:, :r]) / post.singular_values[:r]

    @cached_property
    def _is_unchanged(self) -> bool:
        """Whether both are the same matrix: then the overlaps are the identity exactly, whatever the arithmetic."""
        return torch.equal(self.base, self.post)

    def _factors(self, W: torch.Tensor, factors: Decomposition) -> Factors:
        r = self.rank
        long = factors.long_vectors(W)[:, :r].contiguous()
        short = factors.short[:, :r].contiguous()
        U, V = (short, long) if factors.wide else (long, short)
        return Factors(U, factors.singular_values[:r], V)

    def _rest(self, W: torch.Tensor, factors: Factors) -> torch.Tensor | None:
        return None if self.rank == min(self.shape) else W - compose(*factors)


def compose(U: torch.Tensor, s: torch.Tensor, V: torch.Tensor, rest: torch.Tensor | None = None) -> torch.Tensor:
    """`U diag(s) V^T + rest` (m x n) of U (m x r), s (r,) and V (n x r)."""
    W = product(U * s, V.T) if U.shape[0] <= V.shape[0] else product(U, (V * s).T)
    return W if rest is None else W.add_(rest)
