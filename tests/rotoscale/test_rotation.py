"""NF and its companions against independent numpy formulas, against their properties, and against their nulls."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rotoscale import (
    MatrixError,
    MatrixPair,
    decompose,
    gaussian_perturbation,
    nf_without_svd,
    null_nf,
    polar_factor,
    rotation_statistics,
    unrelated_nf,
)
from rotoscale.rotation import nf_of, reduced_picture
from tests.rotoscale.test_decomposition import SPECTRA, matrix_with

SHAPES = [(40, 40), (80, 30), (30, 80)]


def pair(shape: tuple[int, int], change: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    W = torch.randn(shape, generator=generator, dtype=torch.float64)
    G = torch.randn(shape, generator=generator, dtype=torch.float64)
    return W, W + change * G * (W.norm() / G.norm())


def statistics(W: torch.Tensor, X: torch.Tensor, alpha: float | None = 1.0):  # type: ignore[no-untyped-def]
    return rotation_statistics(MatrixPair(W, X, decompose(W), decompose(X)), alpha)


def numpy_overlaps(W: torch.Tensor, X: torch.Tensor, rank: int | None = None):  # type: ignore[no-untyped-def]
    U, s, Vh = np.linalg.svd(W.numpy(), full_matrices=False)
    U2, s2, Vh2 = np.linalg.svd(X.numpy(), full_matrices=False)
    k = rank or len(s)
    return (U[:, :k].T @ U2[:, :k]), (Vh[:k] @ Vh2[:k].T), s[:k], s2[:k]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_agrees_with_an_independent_numpy_computation(shape: tuple[int, int]) -> None:
    # Well conditioned, so that no component changes its relative sign and the formula's Q is unique.
    W = matrix_with(np.linspace(2, 0.5, min(shape)), *shape, seed=0)
    X = gaussian_perturbation(W, 0.1 * float(W.norm()), seed=1)
    A, B, s, _ = numpy_overlaps(W, X)
    r = len(s)
    got = statistics(W, X, alpha=0.97)
    assert got.nf == pytest.approx(np.linalg.norm(A.T @ B - np.eye(r)) / np.sqrt(r), abs=1e-9)
    np.testing.assert_allclose(got.left_diagonal, np.abs(np.diag(A)), atol=1e-8)
    np.testing.assert_allclose(got.right_diagonal, np.abs(np.diag(B)), atol=1e-8)
    leak = {True: 1 - np.sum(B**2) / r, False: 1 - np.sum(A**2) / r}[shape[0] < shape[1]]
    assert got.leak == pytest.approx(0 if shape[0] == shape[1] else leak, abs=1e-9)
    k = max(8, r // 10)
    block = (A.T @ B)[:k, :k] - np.eye(k)
    assert got.nf_top == pytest.approx(np.linalg.norm(block) / np.sqrt(k), abs=1e-9)
    P, _, Qh = np.linalg.svd(A + B)
    Q = P @ Qh
    U, _, Vh = np.linalg.svd(W.numpy(), full_matrices=False)
    rebuilt = (U @ Q) @ np.diag(0.97 * s) @ (Vh.T @ Q).T
    error = np.linalg.norm(rebuilt - X.numpy()) / np.linalg.norm(X.numpy())
    assert got.formula_error == pytest.approx(error, rel=1e-6)


@pytest.mark.parametrize("change", [1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize("shape", [(90, 60), (60, 240)], ids=str)
def test_small_changes_are_not_lost_beside_the_matrix(shape: tuple[int, int], change: float) -> None:
    """Leak and formula error to 1e-3 of themselves."""
    W = matrix_with(np.linspace(2, 0.5, min(shape)), *shape, seed=0)
    X = gaussian_perturbation(W, change * float(W.norm()), seed=1)
    got = rotation_statistics(MatrixPair(W, X, decompose(W), decompose(X)), 1.0)
    A, B, s, _ = numpy_overlaps(W, X)
    U, _, Vh = np.linalg.svd(W.numpy(), full_matrices=False)
    U2, _, Vh2 = np.linalg.svd(X.numpy(), full_matrices=False)
    outside = U2 - U @ A if shape[0] > shape[1] else Vh2.T - Vh.T @ B
    assert got.leak == pytest.approx(np.sum(outside**2) / len(s), rel=1e-3)
    P, _, Qh = np.linalg.svd(A + B)
    rebuilt = (U @ P @ Qh) @ np.diag(s) @ (Vh.T @ P @ Qh).T
    error = np.linalg.norm(rebuilt - X.numpy()) / np.linalg.norm(X.numpy())
    assert got.formula_error == pytest.approx(error, rel=1e-3)


def test_what_only_scales_leaks_nothing() -> None:
    W = matrix_with(np.linspace(2, 0.5, 60), 60, 240, seed=0)
    X = 0.95 * W
    assert 0 <= rotation_statistics(MatrixPair(W, X, decompose(W), decompose(X)), 0.95).leak < 1e-8


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", [k for k in SPECTRA if k != "all equal"])
def test_nf_is_right_for_difficult_spectra(kind: str, shape: tuple[int, int]) -> None:
    """NF to 1e-4 absolute against numpy, also where vectors are not unique but their pairing is."""
    W = matrix_with(SPECTRA[kind](min(shape)), *shape, seed=5)
    generator = torch.Generator().manual_seed(6)
    # A change within the row and column spaces, so that a rank-deficient base stays rank-deficient.
    L = torch.randn(shape[0], shape[0], generator=generator, dtype=torch.float64) * 0.02 / shape[0] ** 0.5
    X = W + L @ W
    rank = min(decompose(W).numerical_rank, decompose(X).numerical_rank)
    A, B, _, _ = numpy_overlaps(W, X, rank)
    expected = np.linalg.norm(A.T @ B - np.eye(rank)) / np.sqrt(rank)
    got = statistics(W, X)
    assert got.numerical_rank == rank
    assert got.nf == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_shared_rotation_has_nf_zero_and_a_one_sided_one_has_not(shape: tuple[int, int]) -> None:
    W, _ = pair(shape, 0)
    U, s, Vh = np.linalg.svd(W.numpy(), full_matrices=False)
    Q, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((len(s), len(s))))
    shared = torch.from_numpy((U @ Q) @ np.diag(s) @ (Vh.T @ Q).T)
    one_sided = torch.from_numpy((U @ Q) @ np.diag(s) @ Vh)
    assert statistics(W, shared).nf == pytest.approx(0, abs=1e-9)
    assert statistics(W, shared).formula_error == pytest.approx(0, abs=1e-7)
    assert statistics(W, one_sided).nf > 1


def test_joint_sign_flips_and_a_common_scale_do_not_change_nf() -> None:
    W, X = pair((30, 30), 0.05)
    assert statistics(W, 3.7 * X).nf == pytest.approx(statistics(W, X).nf, abs=1e-9)
    assert statistics(-W, -X).nf == pytest.approx(statistics(W, X).nf, abs=1e-9)
    assert statistics(W.T.contiguous(), X.T.contiguous()).nf == pytest.approx(statistics(W, X).nf, abs=1e-9)


def test_identical_weights_give_exactly_zero() -> None:
    for kind in SPECTRA:
        W = matrix_with(SPECTRA[kind](20), 20, 33, seed=9)
        got = statistics(W, W.clone())
        assert got.nf == 0.0
        assert got.leak == 0.0
        assert got.intruders == 0
        assert got.formula_error == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("shape", [(200, 200), (300, 150), (400, 100)], ids=str)
def test_unrelated_matrices_sit_at_the_unrelated_level(shape: tuple[int, int]) -> None:
    W, _ = pair(shape, 0, seed=1)
    X, _ = pair(shape, 0, seed=2)
    assert statistics(W, X).nf == pytest.approx(unrelated_nf(shape, min(shape)), rel=0.02)


def test_a_row_permuted_copy_looks_unrelated() -> None:
    W, _ = pair((150, 150), 0)
    shuffled = W[torch.randperm(150, generator=torch.Generator().manual_seed(0))]
    assert statistics(W, shuffled).nf == pytest.approx(1.414, rel=0.03)


@pytest.mark.parametrize("change", [0.005, 0.02, 0.1])
@pytest.mark.parametrize("shape", [(120, 120), (60, 240), (240, 60)], ids=str)
def test_the_analytic_null_matches_simulation_for_well_conditioned_matrices(
    shape: tuple[int, int], change: float
) -> None:
    W = matrix_with(np.linspace(1, 0.2, min(shape)), *shape, seed=3)
    norm = float(change * W.norm())
    noisy = gaussian_perturbation(W, norm, seed=4)
    assert float((noisy - W).norm()) == pytest.approx(norm)
    simulated = nf_of(MatrixPair(W, noisy, decompose(W), decompose(noisy)))
    assert null_nf(decompose(W).singular_values, norm, shape) == pytest.approx(simulated, rel=0.25)
    if shape[0] == shape[1]:
        assert null_nf(decompose(W).singular_values, norm, shape) == pytest.approx(simulated, rel=0.05)


def test_nulls_are_capped_at_the_unrelated_level_and_zero_without_a_change() -> None:
    s = torch.linspace(1, 1e-6, 50)
    assert null_nf(s, 10.0, (50, 50)) == unrelated_nf((50, 50), 50)
    assert null_nf(s, 0.0, (50, 50)) == 0.0


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e160])
def test_the_analytic_null_knows_no_units(scale: float) -> None:
    s = torch.linspace(2, 0.5, 40, dtype=torch.float64)
    assert null_nf(scale * s, scale * 0.1, (40, 60)) == pytest.approx(null_nf(s, 0.1, (40, 60)), rel=1e-12)


def test_the_analytic_null_of_a_nearly_singular_matrix_is_its_sum_over_unequal_pairs() -> None:
    s = torch.tensor([1.0, 1e-9], dtype=torch.float64)
    expected = (2 * 1e-6 / (2 * 4) * 2 / (1 + 1e-9) ** 2) ** 0.5
    assert null_nf(s, 1e-3, (2, 2)) == pytest.approx(expected, rel=1e-9)
    assert null_nf(torch.zeros(3, dtype=torch.float64), 1.0, (3, 3)) == unrelated_nf((3, 3), 3)


def test_the_unrelated_level_of_rank_deficient_matrices() -> None:
    """Mean of NF^2 over unrelated pairs of rank r is 1 + r^2 / (m n)."""
    shape, rank = (120, 80), 24
    found = []
    for seed in range(6):
        pairs = [matrix_with(np.linspace(2, 1, rank), *shape, seed=2 * seed + i) for i in (0, 1)]
        found.append(statistics(*pairs).nf)
    assert float(np.sqrt(np.mean(np.square(found)))) == pytest.approx(unrelated_nf(shape, rank), rel=0.01)
    assert unrelated_nf((80, 80), 80) == pytest.approx(2**0.5)
    assert unrelated_nf((160, 80), 80) == pytest.approx(1.5**0.5)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_nf_without_svd_agrees_with_the_svd_route(shape: tuple[int, int]) -> None:
    W, X = pair(shape, 0.1)
    assert nf_without_svd(W, X) == pytest.approx(statistics(W, X).nf, abs=1e-9)
    U, _, Vh = np.linalg.svd(W.numpy(), full_matrices=False)
    np.testing.assert_allclose(polar_factor(W), U @ Vh, atol=1e-10)
    np.testing.assert_allclose(float((polar_factor(W) * W).sum()), np.linalg.norm(W.numpy(), "nuc"), rtol=1e-10)


def test_a_rank_deficient_matrix_has_no_polar_factor() -> None:
    with pytest.raises(MatrixError, match="rank-deficient"):
        polar_factor(matrix_with(np.array([1.0, 0.5]), 8, 6, seed=0))


def test_intruders_are_counted_among_the_leading_vectors() -> None:
    W = matrix_with(np.linspace(2, 1, 60), 200, 60, seed=7)
    u, v = torch.randn(200, 1, dtype=torch.float64), torch.randn(60, 1, dtype=torch.float64)
    u -= decompose(W).left(W) @ (decompose(W).left(W).T @ u)  # a direction that the base does not have
    spiked = W + 20 * (u / u.norm()) @ (v / v.norm()).T
    assert statistics(W, spiked).intruders == 1
    assert statistics(W, W + 1e-3 * torch.randn(200, 60, dtype=torch.float64)).intruders == 0


def test_a_zero_matrix_has_no_rotation() -> None:
    Z = torch.zeros(6, 4, dtype=torch.float64)
    got = statistics(Z, torch.ones(6, 4, dtype=torch.float64), None)
    assert got.numerical_rank == 0
    assert got.nf is None
    assert got.formula_error is None


def test_different_shapes_are_refused() -> None:
    W, X = torch.randn(4, 4), torch.randn(4, 5)
    with pytest.raises(MatrixError, match=r"\(4, 4\) and \(4, 5\)"):
        MatrixPair(W, X)


@pytest.mark.parametrize("r", [5, 64, 100, 257])
def test_the_picture_keeps_the_identity_and_the_energy(r: int) -> None:
    size = min(r, 64)
    np.testing.assert_allclose(reduced_picture(torch.eye(r, dtype=torch.float64)), np.eye(size), atol=1e-12)
    X = torch.randn(r, r, dtype=torch.float64, generator=torch.Generator().manual_seed(r))
    if r <= 64:
        np.testing.assert_allclose(reduced_picture(X), X.abs())
