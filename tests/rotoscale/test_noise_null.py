"""Noise simulated in the base's basis: the same numbers as the full matrix's, and the same law."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp

from rotoscale.decomposition import decompose
from rotoscale.noise_null import (
    nf_in_base,
    noise_in_base,
    noise_nf,
    noise_singular_values,
    scale_under_noise,
)
from rotoscale.scale import scale_statistics

SHAPES = [(40, 40), (50, 40), (90, 40), (40, 90)]


def matrix(shape: tuple[int, int], seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def noisy(W: torch.Tensor, size: float, seed: int) -> torch.Tensor:
    G = matrix((W.shape[0], W.shape[1]), seed)
    return W + G * (size * W.norm() / G.norm())


def nf_by_the_book(W: torch.Tensor, X: torch.Tensor) -> float:
    U, s, Vh = np.linalg.svd(W.numpy(), full_matrices=False)
    U2, _, Vh2 = np.linalg.svd(X.numpy(), full_matrices=False)
    return float(np.linalg.norm((U.T @ U2).T @ (Vh @ Vh2.T) - np.eye(len(s))) / len(s) ** 0.5)


@pytest.mark.parametrize("shape", SHAPES[:3], ids=str)
def test_a_given_noise_has_the_same_nf_in_the_base_s_basis(shape: tuple[int, int]) -> None:
    W = matrix(shape)
    X = noisy(W, 0.05, 1)
    U, s, Vh = np.linalg.svd(W.numpy())
    seen = U.T @ X.numpy() @ Vh.T  # the whole matrix in the base's vectors, those outside its space included
    inside = torch.from_numpy(seen[: len(s)].copy())
    outside = torch.from_numpy(np.linalg.qr(seen[len(s) :])[1]) if shape[0] > len(s) else torch.zeros(0, len(s))
    assert nf_in_base(inside, outside.double()) == pytest.approx(nf_by_the_book(W, X), rel=1e-7)


@pytest.mark.parametrize("shape", SHAPES[1:], ids=str)
def test_the_law_is_that_of_the_full_simulation(shape: tuple[int, int]) -> None:
    W = matrix(shape)
    base, norm = decompose(W), 0.03 * float(W.norm())
    reduced = [noise_nf(base, norm, seed, W) for seed in range(300)]
    full = [nf_by_the_book(W, noisy(W, 0.03, seed)) for seed in range(1000, 1300)]
    assert ks_2samp(reduced, full).pvalue > 0.01
    assert np.mean(reduced) == pytest.approx(np.mean(full), rel=0.01)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_ratio_spectrum_has_the_law_of_the_full_simulation(shape: tuple[int, int]) -> None:
    W = matrix(shape)
    base, norm = decompose(W), 0.03 * float(W.norm())
    reduced = [scale_under_noise(base, norm, seed, W) for seed in range(150)]
    full = [
        scale_statistics(base.singular_values, torch.linalg.svdvals(noisy(W, 0.03, seed))) for seed in range(1000, 1150)
    ]
    for name in ("ratio_cv", "unexplained", "alpha_top", "alpha_middle", "alpha_bottom"):
        ours, theirs = ([getattr(one, name) for one in found] for found in (reduced, full))
        assert ks_2samp(ours, theirs).pvalue > 0.005, name


def test_the_noise_has_exactly_the_change_s_norm() -> None:
    W = matrix((70, 30))
    inside, outside = noise_in_base(decompose(W), 2.5, 0)
    inside.diagonal().sub_(decompose(W).singular_values)
    assert float(inside.square().sum() + outside.square().sum()) == pytest.approx(2.5**2)


def test_wide_and_tall_draws_are_the_same() -> None:
    W = matrix((70, 30))
    assert noise_nf(decompose(W), 1.0, 3, W) == pytest.approx(noise_nf(decompose(W.T), 1.0, 3, W.T), rel=1e-6)


def test_a_deficient_base_gets_the_full_simulation() -> None:
    W = matrix((40, 6)) @ matrix((6, 30), 1)
    base = decompose(W)
    nf = noise_nf(base, 0.01 * float(W.norm()), 0, W)
    assert base.numerical_rank == 6
    assert 0 < nf < 0.5
    values = noise_singular_values(base, 0.01 * float(W.norm()), 0, W)
    assert len(values) == 30
    assert float(values[6]) < 0.1 * float(values[5])
    zero = torch.zeros(5, 4, dtype=torch.float64)
    assert noise_nf(decompose(zero), 1.0, 0, zero) is None
