"""How far a tensor moved, without any decomposition: norms, cosines, and what was left untouched.

All sums are taken in float64, so that the cosine of a tensor with itself is one to double precision, and all in one
pass over stretches that stay in a processor's cache: read for one sum after the other, a large matrix costs most of
its time in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch

from rotoscale.errors import MatrixError
from rotoscale.statistics import RowChange, TensorChange

_IN_CACHE, _ON_DEVICE = 1 << 16, 1 << 26
"""Elements converted to float64 at a time, on the CPU and on an accelerator."""

_OF_SIZE = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@dataclass(frozen=True)
class MatrixChange:
    """A matrix's change as a whole and row by row, with |W_post| and <W_post - W_base, W_base>."""

    whole: TensorChange
    rows: RowChange
    post_norm: float
    along_base: float


def tensor_change(base: torch.Tensor, post: torch.Tensor) -> TensorChange:
    """Change of a tensor of any shape; the two may differ in dtype, not in shape.

    A tensor that holds NaN has a change that is not a number either.

    Raises MatrixError when the shapes differ.
    """
    _refuse_different_shapes(base, post)
    return _Sums(((b[None], p[None]) for b, p in stretches(base, post))).change(base.numel())


def matrix_change(base: torch.Tensor, post: torch.Tensor) -> MatrixChange:
    """Change of a matrix (m x n), as `tensor_change`, with that of its rows."""
    _refuse_different_shapes(base, post)
    rows = max(1, stretch(base.device) // max(1, base.shape[1]))
    sums = _Sums(zip(base.split(rows), post.split(rows), strict=True))
    return MatrixChange(sums.change(base.numel()), sums.row_change(), float(sums.pp.sum()) ** 0.5, sums.db)


def row_change(base: torch.Tensor, post: torch.Tensor) -> RowChange:
    """Mean ratio of row norms and mean cosine between matching rows of two matrices (m x n)."""
    return matrix_change(base, post).rows


def stretches(base: torch.Tensor, post: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Matching stretches of both tensors, flat and as they are."""
    size = stretch(base.device)
    return zip(base.reshape(-1).split(size), post.reshape(-1).split(size), strict=True)


def stretch(device: torch.device) -> int:
    """How many elements are looked at together."""
    return _IN_CACHE if device.type == "cpu" else _ON_DEVICE


class _Sums:
    """Sums over pairs of blocks (k x n each) of base and post: by rows `bb`, `pp` and `bp`, in all `dd` and `db`.

    b, p and d stand for base, post and their difference. What is found stays on the device until the end, so that it
    need not wait after each block.
    """

    def __init__(self, blocks: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> None:
        by_row, whole = [], []
        for b, p in blocks:
            identical = (_bits(b.to(p.dtype)) == _bits(p)).sum()
            b, p = b.to(torch.float64), p.to(torch.float64)
            d = p - b
            by_row.append(torch.stack([torch.linalg.vecdot(x, y) for x, y in ((b, b), (p, p), (b, p))]))
            flat_b, flat_d = b.reshape(-1), d.reshape(-1)
            largest = torch.linalg.vector_norm(d, float("inf")) if d.numel() else identical
            sums = (torch.dot(flat_d, flat_d), torch.dot(flat_d, flat_b), largest, identical)
            whole.append(torch.stack([x.to(torch.float64) for x in sums]))
        self.bb, self.pp, self.bp = torch.cat(by_row, 1) if by_row else torch.zeros(3, 0, dtype=torch.float64)
        dd, db, largest, identical = torch.stack(whole, 1) if whole else torch.zeros(4, 1, dtype=torch.float64)
        self.dd, self.db, self.identical = float(dd.sum()), float(db.sum()), int(identical.sum())
        self.largest = float(largest.max())  # not a number if any is not

    def change(self, elements: int) -> TensorChange:
        """The change as a whole, of so many elements."""
        bb, pp, bp = (float(x.sum()) for x in (self.bb, self.pp, self.bp))
        return TensorChange(
            relative_change=(self.dd / bb) ** 0.5 if bb else None,
            cosine=bp / (bb * pp) ** 0.5 if bb and pp else None,
            identical_share=self.identical / elements if elements else 1.0,
            largest_change=self.largest,
            base_norm=bb**0.5,
            norm=self.dd**0.5,
        )

    def row_change(self) -> RowChange:
        """Means over the rows that are not zero in either."""
        there = (self.bb > 0) & (self.pp > 0)
        bb, pp, bp = self.bb[there], self.pp[there], self.bp[there]
        if not len(bb):
            return RowChange()
        return RowChange(
            row_norm_ratio=float((pp / bb).sqrt().mean()), row_cosine=float((bp / (bb * pp).sqrt()).mean())
        )


def _refuse_different_shapes(base: torch.Tensor, post: torch.Tensor) -> None:
    if base.shape != post.shape:
        raise MatrixError(f"shapes {tuple(base.shape)} and {tuple(post.shape)} differ; compare the common rows")


def _bits(X: torch.Tensor) -> torch.Tensor:
    """The bits of real numbers as integers: 0.0 and -0.0 differ, and a NaN is itself."""
    return X.view(_OF_SIZE[X.element_size()])
