"""Scale factors and tensor changes against hand-made cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from rotoscale import MatrixError, row_change, scale_statistics, spectrum, tensor_change


def test_a_uniform_factor_is_found_by_all_four_estimators_and_leaves_nothing_unexplained() -> None:
    s = torch.linspace(5, 1, 40, dtype=torch.float64)
    got = scale_statistics(s, 1.25 * s)
    for alpha in (got.alpha_median, got.alpha_mean, got.alpha_least_squares, got.alpha_frobenius, got.alpha_bottom):
        assert alpha == pytest.approx(1.25)
    assert got.ratio_cv == pytest.approx(0, abs=1e-12)
    assert got.unexplained == pytest.approx(0, abs=1e-12)


def test_estimators_differ_where_scaling_is_not_uniform_and_agree_with_numpy() -> None:
    b = np.linspace(5, 1, 50)
    p = b * np.linspace(1.5, 1.0, 50)
    got = scale_statistics(torch.from_numpy(b), torch.from_numpy(p))
    ratio = p / b
    assert got.alpha_median == pytest.approx(np.median(ratio))
    assert got.alpha_mean == pytest.approx(ratio.mean())
    assert got.alpha_least_squares == pytest.approx((b @ p) / (b @ b))
    assert got.alpha_frobenius == pytest.approx(np.linalg.norm(p) / np.linalg.norm(b))
    assert got.ratio_cv == pytest.approx(ratio.std() / ratio.mean())
    assert (got.ratio_p05, got.ratio_p95) == pytest.approx((np.quantile(ratio, 0.05), np.quantile(ratio, 0.95)))
    assert got.unexplained == pytest.approx(np.linalg.norm(p - got.alpha_least_squares * b) / np.linalg.norm(p))
    assert got.alpha_top == pytest.approx(np.median(ratio[:5]))
    assert got.alpha_bottom == pytest.approx(np.median(ratio[-5:]))
    assert got.alpha_top > got.alpha_middle > got.alpha_bottom


def test_negligible_components_stay_in_the_ratio_and_out_of_the_summaries() -> None:
    b = torch.tensor([10.0, 5.0, 1e-4], dtype=torch.float64)
    got = scale_statistics(b, torch.tensor([10.0, 5.0, 1.0], dtype=torch.float64))
    assert got.alpha_mean == 1.0
    assert got.ratio[2] == pytest.approx(1e4)


def test_equal_spectra_have_scale_exactly_one() -> None:
    s = torch.rand(100, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).sort(descending=True).values
    got = scale_statistics(s, s)
    assert (got.alpha_median, got.alpha_mean, got.alpha_least_squares, got.alpha_frobenius) == (1, 1, 1, 1)
    assert got.unexplained == 0


def test_a_zero_base_has_no_scale() -> None:
    got = scale_statistics(torch.zeros(3), torch.ones(3))
    assert got.alpha_median is None
    assert got.ratio == [None, None, None]
    with pytest.raises(MatrixError):
        scale_statistics(torch.ones(3), torch.ones(4))


def test_a_tensor_has_cosine_one_with_itself_in_float64() -> None:
    W = torch.randn(300, 70, generator=torch.Generator().manual_seed(0))
    got = tensor_change(W, W)
    assert got.cosine == pytest.approx(1, abs=1e-15)
    assert (got.relative_change, got.identical_share, got.largest_change) == (0, 1, 0)


def test_rounding_alone_counts_as_identical_elements() -> None:
    W = torch.randn(50, 50, generator=torch.Generator().manual_seed(0))
    assert tensor_change(W, W.to(torch.bfloat16)).identical_share == 1
    assert tensor_change(W, W.to(torch.bfloat16)).relative_change == pytest.approx(0.0017, rel=0.2)


def test_changes_agree_with_numpy() -> None:
    generator = torch.Generator().manual_seed(1)
    b, p = torch.randn(6, 9, generator=generator), torch.randn(6, 9, generator=generator)
    got, x, y = tensor_change(b, p), b.double().numpy(), p.double().numpy()
    assert got.relative_change == pytest.approx(np.linalg.norm(y - x) / np.linalg.norm(x))
    assert got.cosine == pytest.approx((x * y).sum() / np.linalg.norm(x) / np.linalg.norm(y))
    assert got.largest_change == pytest.approx(np.abs(y - x).max())
    rows = row_change(b, p)
    nx, ny = np.linalg.norm(x, axis=1), np.linalg.norm(y, axis=1)
    assert rows.row_norm_ratio == pytest.approx((ny / nx).mean())
    assert rows.row_cosine == pytest.approx(((x * y).sum(1) / nx / ny).mean())
    assert tensor_change(torch.zeros(3), torch.ones(3)).relative_change is None


def test_a_tensor_with_nan_has_no_largest_change_to_speak_of() -> None:
    b, p = torch.ones(2**20), torch.ones(2**20)
    p[0], p[-1] = torch.nan, 3.0
    assert math.isnan(tensor_change(b, p).largest_change)
    assert math.isnan(tensor_change(p, p).largest_change)
    assert tensor_change(p, p).identical_share == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64, torch.float8_e4m3fn, torch.int64])
def test_identical_means_the_same_bits(dtype: torch.dtype) -> None:
    p = torch.tensor([0.0, 1.0, 2.0, 3.0]).to(dtype)
    b = torch.tensor([-0.0, 1.0, 2.0, 3.0]).to(dtype)
    assert tensor_change(b, p).identical_share == (0.75 if dtype.is_floating_point else 1)
    assert tensor_change(b.float(), p).identical_share == (0.75 if dtype.is_floating_point else 1)
    assert tensor_change(b, p).largest_change == 0


def test_the_effective_rank_is_exact_to_double_precision() -> None:
    s = torch.linspace(3, 0.1, 37, dtype=torch.float64)
    share = s.numpy() / s.numpy().sum()
    expected = np.exp(-(share * np.log(share)).sum())
    assert spectrum(s).effective_rank == pytest.approx(expected, rel=1e-14)
    assert spectrum(torch.ones(1000)).effective_rank == pytest.approx(1000, rel=1e-13)
