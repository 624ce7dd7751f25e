"""How post-training scaled the singular values of one matrix (docs/methods.md, section 1, He and Cao).

Four estimators of the scale factor stand side by side because the source leaves the choice open; flatness says
whether one factor describes the spectrum at all. A uniform factor below one is also what plain weight decay leaves.
"""

from __future__ import annotations

import torch

from rotoscale.errors import MatrixError
from rotoscale.statistics import ScaleStatistics

NEGLIGIBLE = 1e-3
"""Components whose base value is below this share of the largest are left out of the ratio's summaries."""


def scale_statistics(s_base: torch.Tensor, s_post: torch.Tensor) -> ScaleStatistics:
    """Scale of singular values `s_post` (r,) against `s_base` (r,), both descending (docs/methods.md, section 1).

    `ratio` holds every component's s_post / s_base (None where the base's is zero). Median, mean, coefficient of
    variation (population form), percentiles and bands are taken over the components above NEGLIGIBLE; a band is the
    median ratio of the first, central or last tenth of those. Least squares, Frobenius and unexplained use all.

    Raises MatrixError when the two spectra differ in length.
    """
    if s_base.shape != s_post.shape:
        raise MatrixError(f"spectra of {s_base.numel()} and {s_post.numel()} values cannot be compared")
    b, p = s_base.to(torch.float64), s_post.to(torch.float64)
    ratio = p / b
    listed = [x if y > 0 else None for x, y in zip(ratio.tolist(), b.tolist(), strict=True)]
    if float(b[0]) == 0:
        return ScaleStatistics(ratio=listed)
    kept = ratio[b / b[0] >= NEGLIGIBLE]
    mean = float(kept.mean())
    # One division keeps equal spectra at exactly one, where <b, p> / <b, b> is rounded the same way twice.
    least_squares = float(torch.dot(b, p) / torch.dot(b, b))
    p_norm = float(torch.linalg.vector_norm(p))
    top, middle, bottom = tenths(kept.numel())
    return ScaleStatistics(
        alpha_median=float(kept.quantile(0.5)),
        alpha_mean=mean,
        alpha_least_squares=least_squares,
        alpha_frobenius=p_norm / float(torch.linalg.vector_norm(b)),
        ratio_cv=float(kept.std(correction=0)) / mean if mean else None,
        ratio_p05=float(kept.quantile(0.05)),
        ratio_p95=float(kept.quantile(0.95)),
        unexplained=float(torch.linalg.vector_norm(p - least_squares * b)) / p_norm if p_norm else None,
        alpha_top=float(kept[top].quantile(0.5)),
        alpha_middle=float(kept[middle].quantile(0.5)),
        alpha_bottom=float(kept[bottom].quantile(0.5)),
        ratio=listed,
    )


def tenths(n: int) -> tuple[slice, slice, slice]:
    """The first, central and last tenth (at least one entry) of `n` ordered components."""
    return band_slices(n, max(1, n // 10))


def band_slices(n: int, k: int) -> tuple[slice, slice, slice]:
    """Head, centre and tail of `n` ordered components, `k` entries each."""
    k = min(k, n)
    start = (n - k) // 2
    return slice(0, k), slice(start, start + k), slice(n - k, n)
