"""Intruder dimensions shrunk, against a construction from LAPACK's own SVD."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rotoscale import MatrixPair, decompose
from rotoscale.recipes import find_recipe


def with_intruder(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A base, and a post whose strongest direction is far from every one of the base's."""
    random = np.random.default_rng(0)
    base = random.normal(size=shape)
    U, s, Vt = np.linalg.svd(base, full_matrices=False)
    # Evenly among all of the base's left vectors: a cosine of 1 / sqrt(r) with each.
    u, v = U.sum(1) / len(s) ** 0.5, Vt.sum(0) / len(s) ** 0.5
    return base, base + 20 * s[0] * np.outer(u, v)


def shrunk(base: np.ndarray, post: np.ndarray, **parameters: float) -> np.ndarray:
    pair = MatrixPair(
        *(torch.from_numpy(W) for W in (base, post)), *(decompose(torch.from_numpy(W)) for W in (base, post))
    )
    return find_recipe("shrink-intruders").apply(pair, **parameters).numpy()


@pytest.mark.parametrize("shape", [(24, 40), (40, 24)])
@pytest.mark.parametrize("scale", [0.0, 0.5])
def test_only_intruders_are_made_smaller(shape: tuple[int, int], scale: float) -> None:
    base, post = with_intruder(shape)
    Ub = np.linalg.svd(base, full_matrices=False)[0]
    U, s, Vt = np.linalg.svd(post, full_matrices=False)
    intruding = np.abs(Ub.T @ U[:, :10]).max(0) < 0.5
    assert intruding[0]
    values = s.copy()
    values[:10][intruding] *= scale
    assert np.allclose(shrunk(base, post, intruder_scale=scale), (U * values) @ Vt, atol=1e-8 * s[0])


def test_a_matrix_without_intruders_stays_as_it_is() -> None:
    base, _ = with_intruder((24, 40))
    assert np.array_equal(shrunk(base, 1.5 * base), 1.5 * base)
    _, post = with_intruder((24, 40))
    assert np.allclose(shrunk(base, post, intruder_scale=1.0), post, atol=1e-9)
