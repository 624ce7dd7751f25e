"""Likeness of representations and attention entropy against definitions written out."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from scipy.stats import rankdata, spearmanr

from rotoscale import MatrixError
from rotoscale.attention import attention_entropy, attention_temperature, temperature_test
from rotoscale.similarity import SimilarityError, linear_cka


def unbiased_hsic_by_terms(K: np.ndarray, L: np.ndarray) -> float:
    """Song et al. 2012, equation 5: the U-statistic as sums over distinct indices."""
    n = len(K)
    pairs = triples = quadruples = 0.0
    for i in range(n):
        for j in range(n):
            if j == i:
                continue
            pairs += K[i, j] * L[i, j]
            for q in range(n):
                if q in (i, j):
                    continue
                triples += K[i, j] * L[i, q]
                for r in range(n):
                    if r not in (i, j, q):
                        quadruples += K[i, j] * L[q, r]
    return (
        pairs / (n * (n - 1)) - 2 * triples / (n * (n - 1) * (n - 2)) + quadruples / (n * (n - 1) * (n - 2) * (n - 3))
    )


def test_cka_is_the_ratio_of_u_statistics() -> None:
    random = np.random.default_rng(0)
    X, Y = random.normal(size=(8, 3)), random.normal(size=(8, 5))
    Y[:, 0] += X[:, 1]
    K, L = X @ X.T, Y @ Y.T
    expected = unbiased_hsic_by_terms(K, L) / (unbiased_hsic_by_terms(K, K) * unbiased_hsic_by_terms(L, L)) ** 0.5
    assert linear_cka(torch.from_numpy(X), torch.from_numpy(Y)) == pytest.approx(expected, rel=1e-9)


def test_cka_does_not_see_rotation_scale_or_shift() -> None:
    random = np.random.default_rng(1)
    X = random.normal(size=(40, 6))
    Q = np.linalg.qr(random.normal(size=(6, 6)))[0]
    for Y in (X, 3 * X @ Q, X @ Q + 100.0):
        assert linear_cka(torch.from_numpy(X), torch.from_numpy(Y)) == pytest.approx(1.0, abs=1e-9)


def test_cka_of_unrelated_wide_representations_is_about_zero() -> None:
    """The biased form would be near one here: more features than inputs."""
    random = np.random.default_rng(2)
    found = [
        linear_cka(torch.from_numpy(random.normal(size=(50, 400))), torch.from_numpy(random.normal(size=(50, 400))))
        for _ in range(20)
    ]
    assert abs(np.mean(found)) < 0.02


def test_what_cannot_be_compared() -> None:
    X = torch.randn(10, 3)
    assert linear_cka(X, torch.ones(10, 4)) is None
    with pytest.raises(SimilarityError, match="10 and 9 inputs"):
        linear_cka(X, X[:9])
    with pytest.raises(SimilarityError, match="at least 4"):
        linear_cka(X[:3], X[:3])


def test_attention_entropy() -> None:
    uniform = torch.tril(torch.ones(2, 6, 6))
    uniform /= uniform.sum(-1, keepdim=True)
    expected = np.mean([np.log(i) for i in range(2, 7)])
    assert attention_entropy(uniform).tolist() == pytest.approx([expected] * 2)
    assert attention_entropy(torch.eye(6)[None]).tolist() == [0.0]


def test_temperature_is_the_inverse_of_both_scales() -> None:
    assert attention_temperature(2.0, 0.25) == 2.0
    # Logits q k scaled by both factors are the logits at that temperature.
    q, k = torch.randn(4, 8), torch.randn(4, 8)
    scaled = (1.3 * q) @ (1.1 * k).T
    assert torch.allclose(scaled, q @ k.T / attention_temperature(1.3, 1.1), atol=1e-5)
    with pytest.raises(MatrixError, match="must be positive"):
        attention_temperature(0.0, 1.0)


def test_temperature_is_tested_over_layers_by_permutation() -> None:
    random = np.random.default_rng(0)
    for n in (5, 7):
        x, y = random.normal(size=n), random.normal(size=n)
        found = temperature_test(x, y)
        expected = spearmanr(x, y)
        assert found.spearman == pytest.approx(expected.statistic)
        ranks, other = rankdata(x), rankdata(y)
        orders = [sum(a * b for a, b in zip(order, other, strict=True)) for order in permutations(ranks)]
        own = float(ranks @ other)
        assert found.p_value == pytest.approx(np.mean([order >= own - 1e-9 for order in orders]))
        assert found.ci_low is not None
        assert found.ci_high is not None
        assert found.ci_low < expected.statistic < found.ci_high
    # Many layers are permuted at random; order and monotone changes of either side make no difference.
    x, y = random.normal(size=32), random.normal(size=32)
    first = temperature_test(x, y)
    assert first.p_value == pytest.approx(spearmanr(x, y, alternative="greater").pvalue, abs=0.02)
    assert temperature_test(np.exp(x), y**3).spearman == pytest.approx(first.spearman)
    perfect = temperature_test(x, 2 * x)
    assert (perfect.spearman, perfect.p_value) == pytest.approx((1, 1e-4))


def test_a_temperature_that_cannot_be_tested_is_not() -> None:
    assert temperature_test([1.0, 1.0, 1.0], [0.1, 0.2, 0.3]).spearman is None
    assert temperature_test([1.1], [0.1]).p_value is None
    with pytest.raises(MatrixError, match="no pairs"):
        temperature_test([1.0, 2.0], [0.1])
    with pytest.raises(MatrixError, match="finite"):
        temperature_test([1.0, float("nan")], [0.1, 0.2])


def test_the_temperature_test_holds_its_level() -> None:
    """Independent numbers over six layers: rejected in at most one of twenty."""
    random = np.random.default_rng(1)
    rejected = [temperature_test(random.normal(size=6), random.normal(size=6)).p_value <= 0.05 for _ in range(400)]
    assert np.mean(rejected) < 0.08
