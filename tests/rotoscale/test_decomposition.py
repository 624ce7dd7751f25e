"""Decompositions agree with an independent float64 SVD, whatever the matrix is like."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rotoscale import MatrixError, decompose, spectrum


def matrix_with(s: np.ndarray, m: int, n: int, seed: int) -> torch.Tensor:
    """A float64 matrix (m x n) with chosen singular values and random vectors."""
    rng = np.random.default_rng(seed)
    r = len(s)
    U, _ = np.linalg.qr(rng.standard_normal((m, r)))
    V, _ = np.linalg.qr(rng.standard_normal((n, r)))
    return torch.from_numpy((U * s) @ V.T)


SHAPES = [(48, 48), (96, 40), (40, 96), (1, 7), (7, 1), (5, 3)]
SPECTRA = {
    "ordinary": lambda r: np.linspace(3, 0.5, r),
    "degenerate": lambda r: np.repeat([2.0, 1.0], [r // 2, r - r // 2]),
    "all equal": lambda r: np.full(r, 1.5),
    "badly conditioned": lambda r: np.geomspace(1, 1e-9, r),
    "rank deficient": lambda r: np.concatenate([np.linspace(2, 1, r - r // 3), np.zeros(r // 3)]),
    "tiny norm": lambda r: 1e-30 * np.linspace(3, 1, r),
    "huge norm": lambda r: 1e30 * np.linspace(3, 1, r),
}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", SPECTRA)
def test_factors_rebuild_the_matrix_with_orthonormal_vectors(kind: str, shape: tuple[int, int]) -> None:
    m, n = shape
    W = matrix_with(SPECTRA[kind](min(m, n)), m, n, seed=m * n)
    found = decompose(W)
    U, s, V = found.left(W), found.singular_values, found.right(W)
    reference = np.linalg.svd(W.numpy(), compute_uv=False)
    large = reference > 1e-3 * reference[0]
    np.testing.assert_allclose(s.numpy()[large], reference[large], rtol=1e-9)
    assert np.linalg.norm((U * s) @ V.T - W) <= 1e-9 * np.linalg.norm(W)
    k = found.numerical_rank
    for X in (U[:, :k], V[:, :k]):
        np.testing.assert_allclose(X.T @ X, np.eye(k), atol=2e-6)
    assert found.orthogonality_error <= 2e-6
    assert found.residual <= 1e-9


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_stored_precision_does_not_matter(dtype: torch.dtype) -> None:
    W = torch.randn(60, 30, generator=torch.Generator().manual_seed(0)).to(dtype)
    reference = np.linalg.svd(W.double().numpy(), compute_uv=False)
    np.testing.assert_allclose(decompose(W).singular_values, reference, rtol=1e-10)


def test_the_fast_route_is_taken_where_it_is_accurate_and_only_there() -> None:
    good = matrix_with(np.geomspace(1, 1e-3, 40), 80, 40, seed=0)
    bad = matrix_with(np.geomspace(1, 1e-9, 40), 80, 40, seed=0)
    assert decompose(good).kernel == "gram-eigh"
    assert decompose(bad).kernel == "full-svd"


def test_numerical_rank_counts_defined_components() -> None:
    W = matrix_with(np.array([3.0, 2.0, 1.0]), 20, 10, seed=1)
    assert decompose(W).numerical_rank == 3
    assert decompose(torch.zeros(4, 6)).numerical_rank == 0
    assert decompose(torch.eye(5)).numerical_rank == 5


def test_residual_probe_sees_a_wrong_factor() -> None:
    """The stored residual is an estimate; it must be right within its own error when something is really wrong."""
    from rotoscale.decomposition import _residual

    W = matrix_with(np.linspace(2, 1, 30), 50, 30, seed=2)
    found = decompose(W)
    L = found.long_vectors(W)
    wrong = L.clone()
    wrong[:, 5] *= -1  # flips one component: the true relative error is 2 s_5 / |W|
    s = found.singular_values
    true = float(2 * s[5] / torch.linalg.vector_norm(W))
    assert _residual(W, s, found.short, L) < 1e-12
    assert _residual(W, s, found.short, wrong) == pytest.approx(true, rel=0.6)


@pytest.mark.parametrize(
    "bad", [torch.tensor([[1.0, float("nan")]]), torch.tensor([[float("inf"), 1.0]]), torch.ones(3), torch.ones(0, 3)]
)
def test_what_is_no_finite_matrix_is_refused(bad: torch.Tensor) -> None:
    with pytest.raises(MatrixError):
        decompose(bad)


def test_spectrum_of_known_matrices() -> None:
    flat = spectrum(torch.full((8,), 2.0))
    assert flat.stable_rank == pytest.approx(8)
    assert flat.effective_rank == pytest.approx(8)
    assert flat.nuclear_norm == pytest.approx(16)
    single = spectrum(torch.tensor([5.0, 0.0, 0.0]))
    assert single.stable_rank == pytest.approx(1)
    assert single.effective_rank == pytest.approx(1)
    assert single.frobenius_norm == pytest.approx(5)
    assert spectrum(torch.zeros(3)).stable_rank is None
