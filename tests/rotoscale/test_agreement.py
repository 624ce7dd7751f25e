"""Left-right agreement and the energy budget: against plain float64, on changes of known truth, and calibrated."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from rotoscale.agreement import agreement, full_agreement, tau_of, white_noise_p
from rotoscale.agreement_statistics import AgreementStatistics
from rotoscale.change_in_base import change_in_base, in_base
from rotoscale.decomposition import decompose
from rotoscale.errors import MatrixError
from rotoscale.gains import best_gains, gains_tau, without_gains
from rotoscale.pair import MatrixPair
from rotoscale.statistic import described
from tests.rotoscale.known_changes import (
    NOISE,
    gaussian,
    orthogonal,
    rounding,
    shared,
    sized,
    small_rotation,
)
from tests.rotoscale.test_decomposition import SPECTRA, matrix_with

SHAPES = [(40, 40), (80, 30), (30, 80)]
SHARES = ("scale", "diagonal", "shared", "apart", "outside")


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def plain(W: torch.Tensor, X: torch.Tensor, rank: int | None = None) -> dict[str, float]:
    """Tau and shares by the book, from numpy's SVD."""
    W_base, dW = W.double().numpy(), X.double().numpy() - W.double().numpy()
    U, s, Vh = np.linalg.svd(W_base, full_matrices=False)
    r = rank or len(s)
    D = U[:, :r].T @ dW @ Vh[:r].T
    off = D - np.diag(np.diag(D))
    total = np.sum(dW**2)
    scale = np.sum(dW * W_base) ** 2 / np.sum(W_base**2)
    k = max(8, r // 10)
    return {
        "tau": np.sum(off * off.T) / np.sum(off**2),
        "z": np.sum(off * off.T) / (np.sqrt(2) * np.linalg.norm(off * off.T)),
        "share_scale": scale / total,
        "share_diagonal": (np.sum(np.diag(D) ** 2) - scale) / total,
        "share_shared": np.sum((off + off.T) ** 2) / 4 / total,
        "share_apart": np.sum((off - off.T) ** 2) / 4 / total,
        "share_outside": 1 - np.sum(D**2) / total,
        "principal_share": np.sum(D[:k, :k] ** 2) / total,
    }


def composed(W: torch.Tensor, left: torch.Tensor, right: torch.Tensor, alpha: float = 1.0) -> torch.Tensor:
    """`alpha (U left) S (V right)^T`."""
    base = decompose(W)
    return alpha * (base.left(W) @ left * base.singular_values) @ (base.right(W) @ right).T


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", [kind for kind in SPECTRA if "equal" not in kind and "degenerate" not in kind])
@pytest.mark.parametrize("size", [1e-2, 1e-5])
def test_agrees_with_plain_float64(kind: str, shape: tuple[int, int], size: float) -> None:
    W = matrix_with(SPECTRA[kind](min(shape)), *shape, seed=1)
    base = decompose(W)
    X = W + shared(0.2)(generator(2), W, decompose(matrix_with(np.linspace(2, 1, min(shape)), *shape, seed=1))) * size
    row = agreement(base, W, X, draws=99)
    for name, value in plain(W, X, base.numerical_rank).items():
        assert getattr(row, name) == pytest.approx(value, abs=1e-6), name


@pytest.mark.parametrize("shape", [(150, 60), (300, 256), (256, 256), (256, 300)], ids=str)
@pytest.mark.parametrize("condition", [10.0, 290.0, 1e3, 3e4])
@pytest.mark.parametrize("size", [1e-2, 1e-6])
def test_stored_float32_weights_and_vectors_lose_nothing(shape: tuple[int, int], condition: float, size: float) -> None:
    W = matrix_with(np.geomspace(1, 1 / condition, min(shape)), *shape, seed=3).float()
    base = decompose(W)
    X = W.double() + shared(0.1)(generator(4), W.double(), base) * (100 * size)
    stored = replace(base, long=base.long_vectors(W).float())
    expected = plain(W, X)
    for one in (base, stored):
        single = change_in_base(one, W, X).T.dtype == torch.float32
        assert single == (min(shape) >= 256 and (condition < 1e4 or one is stored))
        row = agreement(one, W, X, draws=99, dtype=torch.float64)
        for name in ("tau", *(f"share_{share}" for share in SHARES)):
            assert getattr(row, name) == pytest.approx(expected[name], abs=1e-6), name


@pytest.mark.parametrize("shape", [*SHAPES, (1, 30), (2, 2)], ids=str)
@pytest.mark.parametrize("rank", [None, 12])
def test_shares_sum_to_one_and_noise_has_the_expected_ones(shape: tuple[int, int], rank: int | None) -> None:
    found = []
    for seed in range(60):
        W = gaussian(generator(seed), *shape)
        if rank and rank < min(shape):
            W = gaussian(generator(seed), shape[0], rank) @ gaussian(generator(seed + 100), rank, shape[1])
        row = agreement(decompose(W), W, W + NOISE["white noise"](generator(seed + 50), W, decompose(W)), draws=9)
        found.append([getattr(row, f"share_{share}") for share in SHARES] + [row.principal_share])
        assert sum(found[-1][:5]) == pytest.approx(1, abs=1e-12)
        assert min(found[-1]) >= 0
    expected = [getattr(row, f"share_{share}_expected") for share in SHARES] + [row.principal_share_expected]
    assert sum(expected[:5]) == pytest.approx(1, abs=1e-12)
    mean, error = np.mean(found, 0), np.std(found, 0) / 60**0.5
    assert np.all(np.abs(mean - expected) <= 4 * error + 1e-12)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("alpha", [0.8, 1.0, 1.3])
@pytest.mark.parametrize("angle", [1e-6, 1e-3, 0.1, 1.0, None])
def test_an_exact_rotation_has_tau_one_at_any_angle_and_alpha(
    shape: tuple[int, int], alpha: float, angle: float | None
) -> None:
    W = gaussian(generator(0), *shape)
    Q = orthogonal(generator(1), 30) if angle is None else small_rotation(generator(1), min(shape), angle)
    Q = Q if len(Q) == min(shape) else orthogonal(generator(1), min(shape))
    row = agreement(decompose(W), W, composed(W, Q, Q, alpha), draws=999)
    assert row.tau == pytest.approx(1, abs=1e-6)
    assert row.p_together == 1e-3
    assert row.share_apart == pytest.approx(0, abs=1e-9)
    assert row.share_outside == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("spectrum", ["gaussian", "1/i"])
def test_small_rotations_that_differ_are_apart_by_the_formula(shape: tuple[int, int], spectrum: str) -> None:
    r = min(shape)
    W = (
        gaussian(generator(0), *shape)
        if spectrum == "gaussian"
        else matrix_with(1 / np.arange(1, r + 1), *shape, seed=0)
    )
    base = decompose(W)
    s = base.singular_values.numpy()
    pairs = np.outer(s, s)[~np.eye(r, dtype=bool)].mean()
    expected = -pairs / np.mean(s**2)  # -(mean s)^2 / mean(s^2), the diagonal left out
    one, both = [], []
    for seed in range(10):
        Q, R = small_rotation(generator(seed), r, 1e-4), small_rotation(generator(seed + 50), r, 1e-4)
        one.append(agreement(base, W, composed(W, Q, torch.eye(r, dtype=torch.float64)), draws=999))
        both.append(agreement(base, W, composed(W, Q, R), draws=999))
    for rows in (one, both):
        assert np.mean([row.tau for row in rows]) == pytest.approx(expected, abs=0.06)
        assert np.median([row.p_apart for row in rows]) < 0.01


@pytest.mark.parametrize("shape", [*SHAPES, (300, 20)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("alpha", [1.5, 0.95, 1.0001])
def test_a_pure_multiple_has_no_tau(shape: tuple[int, int], dtype: torch.dtype, alpha: float) -> None:
    W = gaussian(generator(0), *shape).to(dtype)
    X = (alpha * W.double()).to(dtype)
    row = agreement(decompose(W), W, X)
    assert (row.tau, row.z, row.p_together, row.p_apart, row.tau_rounding) == (None,) * 5
    if not torch.equal(W, X):
        assert sum(getattr(row, f"share_{share}") for share in SHARES) == pytest.approx(1, abs=1e-12)
        if alpha == 1.5:
            assert row.share_scale == pytest.approx(1, abs=1e-4)


def test_an_uneven_scale_stored_in_float32_has_no_tau() -> None:
    W = gaussian(generator(0), 60, 40).float()
    base = decompose(W)
    s = base.singular_values * torch.linspace(1.1, 0.9, 40, dtype=torch.float64)
    X = ((base.left(W) * s) @ base.right(W).T).float()
    row = agreement(base, W, X)
    assert row.tau is None
    assert row.share_diagonal > 0.3
    assert row.share_scale + row.share_diagonal == pytest.approx(1, abs=1e-9)


def test_a_small_change_in_bfloat16_is_not_taken_for_rounding() -> None:
    """Steps of one unit in the last place in a tenth of the weights: smaller than rounding in all, and real."""
    W = gaussian(generator(0), 64, 64).bfloat16()
    move = torch.rand(64, 64, generator=generator(1)) < 0.1
    X = torch.where(move, (W.view(torch.int16) + 1).view(torch.bfloat16), W)
    assert float((X.double() - W.double()).norm() / W.double().norm()) < 2e-3
    assert agreement(decompose(W), W, X).tau is not None


def test_scale_and_noise_have_the_tau_of_the_noise() -> None:
    W = gaussian(generator(0), 50, 50)
    base, G = decompose(W), sized(gaussian(generator(1), 50, 50), W, 0.01)
    alone, scaled = agreement(base, W, W + G), agreement(base, W, 0.95 * W + G)
    assert scaled.tau == pytest.approx(alone.tau, abs=1e-9)
    assert scaled.p_together == pytest.approx(alone.p_together, abs=0.01)
    assert scaled.share_scale == pytest.approx(0.05**2 / (0.05**2 + 0.01**2), abs=0.01)


@pytest.mark.parametrize("shape", [(60, 60), (90, 40)], ids=str)
def test_unrelated_matrices_have_tau_about_zero(shape: tuple[int, int]) -> None:
    rows = []
    for seed in range(60):
        W = gaussian(generator(seed), *shape)
        rows.append(agreement(decompose(W), W, gaussian(generator(seed + 100), *shape), draws=999))
    assert abs(np.mean([row.tau for row in rows])) < 0.02
    assert np.mean([row.p_together < 0.05 for row in rows]) <= 0.12


@pytest.mark.parametrize("shape", [(64, 64), (96, 48)], ids=str)
@pytest.mark.parametrize("noise", NOISE)
def test_noise_of_any_kind_is_not_called_together_or_apart(noise: str, shape: tuple[int, int]) -> None:
    """100 seeds at nominal 5 %: at most 12 % on either side (99.9 % of the binomial law)."""
    rows = []
    for seed in range(100):
        W = gaussian(generator(seed), *shape)
        base = decompose(W)
        rows.append(agreement(base, W, W + NOISE[noise](generator(seed + 1000), W, base), seed=seed, draws=999))
    assert np.mean([row.p_together < 0.05 for row in rows]) <= 0.12
    assert np.mean([row.p_apart < 0.05 for row in rows]) <= 0.12
    if noise == "rounding to bfloat16":
        assert np.mean([row.z > 1.645 for row in rows]) > 0.15  # which is what it is held against


@pytest.mark.parametrize(("share", "least"), [(0.10, 0.95), (0.03, 0.35)])
def test_power(share: float, least: float) -> None:
    found = []
    for seed in range(60):
        W = gaussian(generator(seed), 96, 96)
        base = decompose(W)
        row = agreement(base, W, W + shared(share)(generator(seed + 1000), W, base), draws=999, gains=False)
        found.append(row.p_together < 0.05)
    assert np.mean(found) >= least


@pytest.mark.parametrize("shape", [(50, 50), (120, 40), (40, 120)], ids=str)
def test_tau_rounding_is_the_mean_tau_of_simulated_rounding(shape: tuple[int, int]) -> None:
    W = gaussian(generator(0), *shape)
    base, scatter = decompose(W), []
    row = agreement(base, W, W + rounding(generator(0), W, base), draws=9)
    for seed in range(300):
        # Each element lies anywhere between its two neighbours in bfloat16.
        unit = torch.exp2(W.abs().log2().floor()) * torch.finfo(torch.bfloat16).eps
        error = (torch.rand(shape, generator=generator(seed), dtype=torch.float64) - 0.5) * unit
        scatter.append(tau_of(change_in_base(base, W, W + error).D))
    assert row.tau_rounding == pytest.approx(np.mean(scatter), abs=4 * np.std(scatter) / 300**0.5 + 0.003)


def test_tau_rounding_needs_a_few_rows_only() -> None:
    W = gaussian(generator(0), 3000, 40)
    base = decompose(W)
    change = change_in_base(base, W, W + rounding(generator(0), W, base))
    U, V = base.left(W), base.right(W)
    size = change.rest.double().square()
    same = U.square() @ V.square().T
    exact = (size * ((U @ V.T).square() - same)).sum()
    exact /= (size * (torch.outer(U.square().sum(1), V.square().sum(1)) - same)).sum()
    row = agreement(base, W, W + rounding(generator(0), W, base), draws=9)
    assert row.tau_rounding == pytest.approx(float(exact), rel=0.15)


@pytest.mark.parametrize("shape", [(60, 60), (120, 40), (40, 120)], ids=str)
def test_gains_of_rows_and_columns_are_recognised(shape: tuple[int, int]) -> None:
    W = gaussian(generator(0), *shape)
    a, b = gaussian(generator(1), shape[0]), gaussian(generator(2), shape[1])
    X = sized(a[:, None] * W + W * b, W, 0.02)
    row = agreement(decompose(W), W, W + X)
    assert 0.4 < row.tau < 0.97
    assert row.p_together < 1e-3
    assert row.tau_without_gains is None  # nothing is left
    assert row.gains_share == pytest.approx(1, abs=1e-9)
    noisy = agreement(decompose(W), W, W + X + sized(gaussian(generator(3), *shape), W, 0.01))
    assert noisy.tau > 0.2
    assert abs(noisy.tau_without_gains) < 0.12
    assert noisy.p_without_gains > 0.05


def test_a_rotation_is_still_there_without_gains() -> None:
    W = gaussian(generator(0), 60, 60)
    Q = small_rotation(generator(1), 60, 0.05)
    row = agreement(decompose(W), W, composed(W, Q, Q))
    assert row.tau_without_gains > 0.9
    assert row.p_without_gains == 1e-5


@pytest.mark.parametrize("shape", [(50, 70), (70, 50)], ids=str)
def test_gains_are_the_least_squares_ones(shape: tuple[int, int]) -> None:
    m, n = shape
    W, X = gaussian(generator(0), m, n), gaussian(generator(1), m, n)
    design = np.zeros((m * n, m + n))
    for i in range(m):
        for j in range(n):
            design[i * n + j, i] = design[i * n + j, m + j] = W[i, j]
    expected = design @ np.linalg.lstsq(design, X.numpy().ravel())[0]
    a, b = best_gains(W, X)
    np.testing.assert_allclose((a[:, None] * W + W * b).ravel(), expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(60, 60), (120, 40), (500, 30)], ids=str)
def test_noise_refitted_has_the_tau_without_gains_that_is_expected(shape: tuple[int, int]) -> None:
    W = gaussian(generator(0), *shape)
    base, shifts, scatter = decompose(W), [], []
    for seed in range(80):
        change = change_in_base(base, W, W + sized(gaussian(generator(seed + 1), *shape), W))
        scatter.append(tau_of(in_base(base, change.T, without_gains(change)).double()))
        shifts.append(scatter[-1] - tau_of(change.D))
    expected = gains_tau(change, 0)
    assert expected == pytest.approx(np.mean(shifts), abs=4 * np.std(shifts) / 80**0.5 + 0.002)
    rows = [
        agreement(base, W, W + sized(gaussian(generator(seed + 1), *shape), W), gains=True, draws=999)
        for seed in range(80)
    ]
    assert np.mean([row.p_without_gains < 0.05 for row in rows]) <= 0.13


def test_gains_are_taken_out_only_where_there_is_something_to_explain() -> None:
    W = gaussian(generator(0), 90, 90)
    base = decompose(W)
    X = W + NOISE["white noise"](generator(3), W, base)
    assert abs(agreement(base, W, X).tau) < 0.05
    assert agreement(base, W, X).tau_without_gains is None
    assert agreement(base, W, X, gains=True).tau_without_gains is not None


def test_a_change_in_the_leading_block_is_seen_there() -> None:
    W = gaussian(generator(0), 100, 60)
    base = decompose(W)
    row = agreement(base, W, W + NOISE["noise in the top 8 x 8 block"](generator(1), W, base))
    assert row.principal_k == 8
    assert row.principal_share == pytest.approx(1, abs=1e-9)
    assert row.p_principal < 1e-100


def test_the_leading_block_of_noise_is_calibrated() -> None:
    found = []
    for seed in range(200):
        W = gaussian(generator(seed), 30, 50)
        found.append(agreement(decompose(W), W, W + gaussian(generator(seed + 500), 30, 50), draws=9).p_principal)
    assert 0.01 <= np.mean(np.array(found) < 0.05) <= 0.12
    assert 0.4 < np.median(found) < 0.6


def test_the_closed_form_for_white_noise_and_the_flips_agree() -> None:
    W = gaussian(generator(0), 80, 80)
    base = decompose(W)
    rows = [agreement(base, W, W + gaussian(generator(seed), 80, 80)) for seed in range(1, 9)]
    for row in rows:
        flips = row.p_together if row.tau_rounding <= 0 else 1 - row.p_apart
        assert white_noise_p(row.tau, 80) == pytest.approx(flips, abs=0.03)


def test_an_identical_pair_and_a_zero_base() -> None:
    W = gaussian(generator(0), 20, 30)
    row = agreement(decompose(W), W, W.clone())
    empty = {one.name for one in fields(row) if getattr(row, one.name) is None}
    assert {"tau", "share_scale", "share_outside", "principal_share", "p_together"} <= empty
    zero = torch.zeros(20, 30, dtype=torch.float64)
    row = agreement(decompose(zero), zero, W)
    assert row.numerical_rank == 0
    assert row.share_outside == 1
    assert row.tau is None


@pytest.mark.parametrize("shape", [(70, 50), (50, 70), (50, 50)], ids=str)
@pytest.mark.parametrize("change", [0.3, 1e-5])
def test_full_depth_adds_the_angle_and_the_change_s_own_spectrum(shape: tuple[int, int], change: float) -> None:
    m, n = shape
    W = gaussian(generator(0), m, n)
    X = W + sized(gaussian(generator(1), m, 3) @ gaussian(generator(2), 3, n), W, change)
    base, post = decompose(W), decompose(X)
    row = full_agreement(agreement(base, W, X), MatrixPair(W, X, base, post))
    s = np.linalg.svd((X - W).numpy(), compute_uv=False)
    assert row.depth == "full"
    assert row.change_stable_rank == pytest.approx(np.sum(s**2) / s[0] ** 2)
    assert row.change_rank_90 == 1 + np.sum(np.cumsum(s**2) / np.sum(s**2) < 0.9)
    assert row.change_top_energy == pytest.approx(1)
    sines = []
    for x, y in ((base.left(W), post.left(X)), (base.right(W), post.right(X))):
        outside = y[:, :8] - x[:, :8] @ (x[:, :8].T @ y[:, :8])
        sines.append(np.linalg.norm(outside.numpy(), 2))
    assert row.principal_angle == pytest.approx(max(sines), rel=1e-6)
    same = full_agreement(agreement(base, W, W), MatrixPair(W, W, base, base))
    assert same.principal_angle == pytest.approx(0, abs=1e-7)
    assert same.change_stable_rank is None


def test_what_cannot_be_compared_is_refused() -> None:
    W = gaussian(generator(0), 6, 5)
    with pytest.raises(MatrixError, match=r"\(5, 6\)"):
        agreement(decompose(W), W, W.T)
    with pytest.raises(MatrixError, match="NaN"):
        agreement(decompose(W), W, W * float("nan"))


def test_the_columns_are_the_warehouse_s() -> None:
    contract = {
        *("depth", "numerical_rank", "tau", "z", "p_together", "p_apart", "q_together", "q_apart", "tau_rounding"),
        *("tau_without_gains", "share_scale", "share_diagonal", "share_shared", "share_apart", "share_outside"),
        *("principal_share", "principal_share_expected", "principal_k", "n_flips", "seed", "principal_angle"),
        *("change_stable_rank", "change_rank_90", "change_top_energy"),
    }
    columns = {name: kind for name, kind, _ in described(AgreementStatistics)}
    assert contract <= set(columns)
    assert (columns["depth"], columns["tau"], columns["seed"]) == ("VARCHAR", "DOUBLE", "BIGINT")
