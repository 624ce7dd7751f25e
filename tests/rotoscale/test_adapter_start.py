"""The start of an adapter, by plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rotoscale.adapter_start import STARTS, adapter_start
from rotoscale.decomposition import decompose
from rotoscale.errors import MatrixError


@pytest.mark.parametrize("shape", [(24, 24), (40, 16), (16, 40)])
@pytest.mark.parametrize("band", STARTS)
def test_the_band_is_taken_out_and_the_sum_stays(shape: tuple[int, int], band: str) -> None:
    W = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    made = adapter_start(W, decompose(W), band, 4, seed=3)
    U, s, Vt = np.linalg.svd(W.numpy(), full_matrices=False)
    r = min(shape)
    taken = {"top": range(4), "middle": range((r - 4) // 2, (r + 4) // 2), "bottom": range(r - 4, r)}.get(band)
    product = (made.B @ made.A).numpy()
    if taken is not None:
        K = list(taken)
        np.testing.assert_allclose(product, U[:, K] @ np.diag(s[K]) @ Vt[K], atol=1e-10)
    found = np.linalg.svd(product, compute_uv=False)
    assert (found[:4] > 1e-8).all()
    assert all(np.abs(s - value).min() < 1e-10 for value in found[:4])  # components of W, whichever
    assert found[4:].max() < 1e-10
    np.testing.assert_allclose((made.residual + made.B @ made.A).numpy(), W.numpy(), atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(made.A, axis=1), np.linalg.norm(made.B, axis=0), atol=1e-10)  # balanced


def test_the_random_band_is_another_with_another_seed_and_a_wide_one_is_refused() -> None:
    W = torch.randn(24, 24, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    factors = decompose(W)
    first, again, other = (adapter_start(W, factors, "random", 4, seed).residual for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)
    with pytest.raises(MatrixError, match="rank 25 is wider than the matrix's rank 24"):
        adapter_start(W, factors, "top", 25, 0)
