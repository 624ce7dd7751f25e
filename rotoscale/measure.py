"""Everything that is measured of one pair of matrices, in one call: change, scale, rotation and nulls."""

from __future__ import annotations

import math
import statistics
from dataclasses import asdict, dataclass, replace

import torch

from rotoscale.change import row_change, tensor_change
from rotoscale.decomposition import Decomposition, decompose
from rotoscale.null import gaussian_perturbation, null_draws, null_nf
from rotoscale.pair import MatrixPair
from rotoscale.rotation import nf_of, rotation_statistics
from rotoscale.scale import scale_statistics
from rotoscale.statistics import RotationStatistics, ScaleStatistics, TensorChange


@dataclass(frozen=True, kw_only=True)
class PairStatistics:
    """What is known of one pair of matrices."""

    scale: ScaleStatistics
    rotation: RotationStatistics
    change: TensorChange


def pair_statistics(
    base: torch.Tensor,
    post: torch.Tensor,
    base_factors: Decomposition,
    post_factors: Decomposition,
    *,
    null_seed: int | None = None,
) -> PairStatistics:
    """Statistics of `base` and `post` (both m x n) with their decompositions (docs/methods.md, sections 1, 2 and 6).

    With `null_seed` NF's null is simulated too: the same statistic of the base with Gaussian noise of the change's norm
    added to it, drawn from that seed and the ones after it. It costs a decomposition for each draw.

    Raises MatrixError when the shapes differ.
    """
    change = tensor_change(base, post)
    scale = scale_statistics(base_factors.singular_values, post_factors.singular_values)
    pair = MatrixPair(base, post, base_factors, post_factors)
    unchanged = pair.is_unchanged
    post_norm = float(post_factors.singular_values.norm())
    rotation = replace(
        rotation_statistics(pair, scale.alpha_least_squares),
        base_error=0.0 if unchanged else change.norm / post_norm if post_norm else None,
        relative_change=0.0 if unchanged else change.relative_change,
        **asdict(row_change(base, post)),
    )
    del pair, post  # as little as possible beside the simulated null's own matrices
    if unchanged:
        rotation = replace(rotation, nf_null=0.0)
    else:
        rotation = _with_null(rotation, base, base_factors, change.norm, null_seed)
    return PairStatistics(scale=scale, rotation=rotation, change=change)


def _with_null(
    rotation: RotationStatistics, base: torch.Tensor, factors: Decomposition, norm: float, seed: int | None
) -> RotationStatistics:
    """The same beside what noise of this norm would have shown, by formula and, with a seed, by simulation."""
    null = null_nf(factors.singular_values[: factors.numerical_rank], norm, factors.shape)
    rotation = replace(rotation, nf_null=null)
    if seed is not None and factors.numerical_rank > 0:
        draws = null_draws(factors.shape)
        cap = math.inf if rotation.nf_unrelated is None else rotation.nf_unrelated
        simulated = [min(_nf_of_noise(base, factors, norm, seed + draw), cap) for draw in range(draws)]
        rotation = replace(
            rotation,
            nf_null_simulated=statistics.median(simulated),
            nf_null_low=min(simulated) if draws > 1 else None,
            nf_null_high=max(simulated) if draws > 1 else None,
            null_draws=draws,
            null_seed=seed,
        )
    null = rotation.nf_null_simulated or null
    return replace(rotation, nf_over_null=rotation.nf / null if null and rotation.nf is not None else None)


def _nf_of_noise(base: torch.Tensor, factors: Decomposition, norm: float, seed: int) -> float:
    noisy = gaussian_perturbation(base, norm, seed)
    return nf_of(MatrixPair(base, noisy, factors, decompose(noisy, factors.short.device)))
