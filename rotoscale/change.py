"""How far a tensor moved, without any decomposition: norms, cosines, and what was left untouched.

All sums are taken in float64, so that the cosine of a tensor with itself is one to double precision.
"""

from __future__ import annotations

import math

import torch

from rotoscale.errors import MatrixError
from rotoscale.statistics import RowChange, TensorChange

_CHUNK = 1 << 19
"""Elements converted to float64 at a time: an embedding of a large vocabulary never exists in double as a whole."""


def tensor_change(base: torch.Tensor, post: torch.Tensor) -> TensorChange:
    """Change of a tensor of any shape; the two may differ in dtype, not in shape.

    A tensor that holds NaN has a change that is not a number either.

    Raises MatrixError when the shapes differ.
    """
    if base.shape != post.shape:
        raise MatrixError(f"shapes {tuple(base.shape)} and {tuple(post.shape)} differ; compare the common rows")
    identical = 0
    bb = pp = bp = dd = largest = 0.0
    for b, p in zip(base.flatten().split(_CHUNK), post.flatten().split(_CHUNK), strict=True):
        identical += int(torch.count_nonzero(_bits(b.to(p.dtype)) == _bits(p)))
        b, p = b.to(torch.float64), p.to(torch.float64)
        d = p - b
        bb += float(torch.dot(b, b))
        pp += float(torch.dot(p, p))
        bp += float(torch.dot(b, p))
        dd += float(torch.dot(d, d))
        found = float(d.abs().max()) if d.numel() else 0.0
        largest = found if found > largest or math.isnan(found) else largest  # once not a number, it stays so
    return TensorChange(
        relative_change=(dd / bb) ** 0.5 if bb else None,
        cosine=bp / (bb * pp) ** 0.5 if bb and pp else None,
        identical_share=identical / base.numel() if base.numel() else 1.0,
        largest_change=largest,
        base_norm=bb**0.5,
        norm=dd**0.5,
    )


_OF_SIZE = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def _bits(X: torch.Tensor) -> torch.Tensor:
    """The bits of real numbers as integers: 0.0 and -0.0 differ, and a NaN is itself."""
    return X.view(_OF_SIZE[X.element_size()])


def row_change(base: torch.Tensor, post: torch.Tensor) -> RowChange:
    """Mean ratio of row norms and mean cosine between matching rows of two matrices (m x n)."""
    ratio = cosine = 0.0
    kept = 0
    rows = max(1, _CHUNK // max(1, base.shape[1]))
    for b, p in zip(base.split(rows), post.split(rows), strict=True):
        b, p = b.to(torch.float64), p.to(torch.float64)
        bb, pp, bp = (torch.linalg.vecdot(x, y) for x, y in ((b, b), (p, p), (b, p)))
        there = (bb > 0) & (pp > 0)
        kept += int(there.sum())
        ratio += float((pp[there] / bb[there]).sqrt().sum())
        cosine += float((bp[there] / (bb[there] * pp[there]).sqrt()).sum())
    return RowChange(row_norm_ratio=ratio / kept, row_cosine=cosine / kept) if kept else RowChange()
