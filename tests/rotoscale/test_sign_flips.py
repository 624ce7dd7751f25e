"""The grouped sign flips against flips drawn one by one, against all of them, and as an exact test."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from rotoscale.sign_flips import flipped_sums, sign_flip_test


def terms(r: int, seed: int, symmetric: float = 0.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    D = torch.randn(r, r, generator=generator, dtype=torch.float64)
    D = D + symmetric * D.T
    C = D * D.T
    C.fill_diagonal_(0)
    return C


def test_every_flip_of_a_small_matrix_is_found() -> None:
    C = terms(4, 0)
    every = {round(float(np.array(e) @ C.numpy() @ np.array(e)), 9) for e in product((-1, 1), repeat=4)}
    assert {round(float(x), 9) for x in flipped_sums(C, 1, 2000)} == every


@pytest.mark.parametrize("r", [12, 33, 70])
def test_the_distribution_is_that_of_independent_flips(r: int) -> None:
    C = terms(r, 1)
    grouped = flipped_sums(C, 2, 20_000).numpy()
    e = np.random.default_rng(3).choice([-1.0, 1.0], size=(20_000, r))
    one_by_one = np.einsum("ki,ij,kj->k", e, C.numpy(), e, optimize=True)
    assert np.std(grouped) == pytest.approx(np.sqrt(2) * np.linalg.norm(C), rel=0.05)
    for q in (0.01, 0.05, 0.5, 0.95, 0.99):
        assert np.mean(grouped <= np.quantile(one_by_one, q)) == pytest.approx(q, abs=0.012)


def test_the_flips_depend_on_the_seed_alone() -> None:
    C = terms(20, 0)
    assert torch.equal(flipped_sums(C, 5, 100), flipped_sums(C, 5, 100))
    assert not torch.equal(flipped_sums(C, 5, 100), flipped_sums(C, 6, 100))


def test_p_is_uniform_under_the_null_and_at_its_floor_for_a_symmetric_matrix() -> None:
    p = np.array([sign_flip_test(terms(15, seed), 0, draws=199).p_together for seed in range(600)])
    for level in (0.05, 0.2, 0.5):
        assert np.mean(p <= level) == pytest.approx(level, abs=3.3 * (level * (1 - level) / 600) ** 0.5)
    test = sign_flip_test(terms(40, 0, symmetric=1.0), 0)
    assert (test.p_together, test.p_apart, test.draws) == (1e-5, 1.0, 99_999)


def test_ties_count_against_the_matrix() -> None:
    """With two components half of all flips change nothing: p can never be below one half."""
    C = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
    assert sign_flip_test(C, 0).p_together == pytest.approx(0.5, abs=0.01)


def test_a_centre_is_taken_off_on_its_own_side() -> None:
    C = terms(30, 4)
    size = float(C.norm())
    plain, held = sign_flip_test(C, 0), sign_flip_test(C, 0, centres=(size, 0.0))
    assert held.p_together > plain.p_together
    assert held.p_apart == plain.p_apart
