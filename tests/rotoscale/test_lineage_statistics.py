"""The tests of shared initialisation on plain matrices: null, invariances, and matrices made to fool them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from rotoscale.errors import MatrixError
from rotoscale.lineage.attention import product_spectrum, spectral_distance
from rotoscale.lineage.basis import residual_map
from rotoscale.lineage.control import merged
from rotoscale.lineage.exact import order_test
from rotoscale.lineage.invariant import GATED, UNGATED, agreement_test, in_basis, neuron_order
from rotoscale.lineage.matching import match_rows, spread
from rotoscale.lineage.ranks import SMALLEST, RankTest, fisher, rank_test
from rotoscale.lineage.tails import excess_kurtosis, heavier
from rotoscale.lineage.verdict import Measured, judge

D, M = 32, 80


def gaussian(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def rotation(seed: int, d: int = D) -> torch.Tensor:
    return torch.linalg.qr(gaussian(seed, d, d).double())[0]


def match_p(a: tuple[torch.Tensor, torch.Tensor], b: tuple[torch.Tensor, torch.Tensor], parts=GATED) -> float:  # type: ignore[no-untyped-def]
    orders = [neuron_order(x, y, part, parts) for x, y, part in zip(a, b, parts, strict=True)]
    test = agreement_test(*orders)
    assert test is not None
    return test.p


# ------------------------------------------------------------------------------------------------------------ the null


def test_p_exact_is_uniform_under_the_null() -> None:
    """Also where neurons are alike, half of one matrix is zero, and the models share everything but the order."""

    def uniform(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        return gaussian(2 * seed, M, D), gaussian(2 * seed + 1, M, D)

    def alike(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        return uniform(seed)[0] + 3, uniform(seed)[1] + 3

    def permuted(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        W = uniform(seed)[0]
        return W, W[torch.randperm(M, generator=torch.Generator().manual_seed(seed))]

    for pair in (uniform, alike, permuted):
        p = [order_test(*pair(seed), seed=seed).p for seed in range(300)]  # type: ignore[union-attr]
        assert stats.kstest(p, "uniform").pvalue > 0.01, pair.__name__


def test_fisher_of_independent_layers_is_uniform_under_the_null() -> None:
    random = np.random.default_rng(0)
    p = [fisher([rank_test(random.permutation(60), np.arange(60)).p for _ in range(4)]) for _ in range(300)]
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_p_match_is_uniform_where_the_two_vectors_of_a_neuron_are_independent() -> None:
    p = []
    for seed in range(300):
        a = gaussian(4 * seed, M, D), gaussian(4 * seed + 1, M, D)
        b = gaussian(4 * seed + 2, M, D), gaussian(4 * seed + 3, M, D)
        p.append(match_p(a, b))
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_the_tail_joins_the_counted_part_and_agrees_with_all_orders_of_seven() -> None:
    from itertools import permutations

    straight = np.arange(7)
    every = np.array([rank_test(np.array(order), straight).rho for order in permutations(range(7))])
    assert every[1234] == pytest.approx(stats.spearmanr(straight, list(permutations(range(7)))[1234])[0])
    for order in ([0, 1, 2, 3, 4, 6, 5], [1, 0, 3, 2, 5, 4, 6], [6, 5, 4, 3, 2, 1, 0]):
        found = rank_test(np.array(order), straight)
        exact = float((every >= found.rho - 1e-12).mean())
        assert found.p == pytest.approx(exact, abs=4 * math.sqrt(exact / 9_999) + 2e-4)
    # Over the join: the approximation of the tail at a p that can still be counted with many more draws.
    n, random = 60, np.random.default_rng(1)
    orders = random.permuted(np.tile(np.arange(n), (50_000, 1)), axis=1)
    draws = 1 - 6 * np.square(orders - np.arange(n)).sum(1) / (n * (n**2 - 1))
    rho = float(np.quantile(draws, 0.999))
    assert stats.t.sf(rho * math.sqrt((n - 2) / (1 - rho**2)), n - 2) == pytest.approx(1e-3, rel=0.25)


def test_p_is_never_below_what_all_orders_can_count_nor_below_the_clip() -> None:
    assert rank_test(np.arange(20), np.arange(20)) == RankTest(1.0, pytest.approx(1 / math.factorial(20)), 20, False)
    assert rank_test(np.arange(400), np.arange(400)).p == SMALLEST
    assert fisher([SMALLEST] * 4) == SMALLEST
    assert fisher([]) is None


# ------------------------------------------------------------------------------------------------------ what they find


@pytest.mark.parametrize("noise", [0.0, 0.5, 1.0])
def test_p_exact_finds_relatives_and_is_lost_when_neurons_are_permuted(noise: float) -> None:
    W = gaussian(0, M, D)
    other = W + noise * gaussian(1, M, D)
    signs = gaussian(2, M, 1).sign()
    assert order_test(W, signs * 3 * other).p < 1e-20  # type: ignore[union-attr]
    assert order_test(W, other[torch.randperm(M, generator=torch.Generator().manual_seed(3))]).p > 1e-3  # type: ignore[union-attr]


@pytest.mark.parametrize("parts", [GATED, UNGATED])
@pytest.mark.parametrize("seed", range(3))
def test_p_match_survives_order_scale_sign_and_basis(parts: tuple[str, str], seed: int) -> None:
    """Embeddings and gains are all that is given of how the other model's basis lies."""
    E, gain = gaussian(10 + seed, 3 * D, D), 0.5 + torch.rand(D, generator=torch.Generator().manual_seed(seed))
    first, second = gaussian(20 + seed, M, D), gaussian(30 + seed, M, D)
    R, order = rotation(40 + seed), torch.randperm(M, generator=torch.Generator().manual_seed(seed))
    scales = gaussian(50 + seed, M, 1)
    scales = scales if parts == GATED else scales.abs()  # without a gate a sign is part of what the neuron computes
    of_second = None if parts == UNGATED else gain  # columns of down have no norm before them
    turned_first = ((first * gain).double() @ R)[order].float()
    turned_second = ((second if of_second is None else second * gain).double() @ R)[order].float() * scales
    Q = residual_map(E, (E.double() @ R).float())
    assert torch.allclose(Q, R, atol=1e-4)
    a = in_basis(first, gain, Q), in_basis(second, of_second, Q)
    p = match_p(a, (turned_first, turned_second), parts)
    assert p < 1e-20
    noise = [0.7 * gaussian(60 + i, M, D) * x.norm() / x.norm().new_tensor((M * D) ** 0.5) for i, x in enumerate(a)]
    noisy = (turned_first + noise[0], turned_second + noise[1] * 0)
    assert match_p(a, noisy, parts) < 1e-6
    unmapped = in_basis(first, gain), in_basis(second, of_second)
    assert match_p(unmapped, (turned_first, turned_second), parts) > 1e-4  # the map is what does it


def test_a_relative_with_fewer_of_its_neurons_asked_for_is_found_among_all() -> None:
    first, second = gaussian(0, M, D), gaussian(1, M, D)
    order = torch.randperm(M, generator=torch.Generator().manual_seed(2))
    some = spread(M, 30)
    assert match_p((first[some], second[some]), (first[order], second[order])) < 1e-20


def test_a_half_and_half_merge_is_found() -> None:
    W, X = gaussian(0, M, D), gaussian(1, M, D)
    assert order_test(W, X).p > 1e-3  # type: ignore[union-attr]
    assert order_test(W, merged(W, X)).p < 1e-20  # type: ignore[union-attr]
    cosines = torch.nn.functional.cosine_similarity(merged(W, X), W)
    assert float(cosines.median()) == pytest.approx(0.7, abs=0.1)


# -------------------------------------------------------------------------------------------- matrices made to fool us


def test_equal_rows_are_no_evidence() -> None:
    """The solver breaks ties by position: constant matrices would look like copies of each other."""
    for W in (torch.ones(M, D), gaussian(0, M, 1) * gaussian(1, 1, D)):
        p = [order_test(W, W, seed).p for seed in range(200)]  # type: ignore[union-attr]
        assert stats.kstest(p, "uniform").pvalue > 0.01
        assert match_p((W, W), (W, W)) > 1e-4


def test_matrices_without_rows_to_match_have_no_test() -> None:
    zero, W = torch.zeros(M, D), gaussian(0, M, D)
    few = W.clone()
    few[10:] = 0
    for other in (zero, few):
        assert order_test(W, other) is None
        assert order_test(other, W) is None
        assert agreement_test(neuron_order(W, other, "gate", GATED), neuron_order(W, W, "up", GATED)) is None


def test_every_row_is_matched_once() -> None:
    order = match_rows(gaussian(0, 30, D), gaussian(1, M, D), np.random.default_rng(0))
    assert order is not None
    assert len(set(order.tolist())) == 30
    assert order.max() < M


def test_a_map_between_embeddings_that_fill_no_basis_is_partial() -> None:
    few = gaussian(0, D // 2, D)
    Q = residual_map(few, few)
    assert float(torch.trace(Q)) == pytest.approx(D // 2, abs=1e-3)
    wide, narrow = gaussian(1, 90, 40), gaussian(1, 90, 40)[:, :24]
    Q = residual_map(wide, narrow)
    assert torch.allclose(Q.T @ Q, torch.eye(24, dtype=torch.float64), atol=1e-6)
    with pytest.raises(MatrixError, match="zero"):
        residual_map(torch.zeros(9, 4), torch.zeros(9, 4))
    with pytest.raises(MatrixError, match="9 tokens in one embedding, 8 in the other"):
        residual_map(torch.zeros(9, 4), torch.zeros(8, 4))


# --------------------------------------------------------------------------------------------------------- indications


def test_spectra_of_attention_products_see_neither_basis_nor_order_of_heads() -> None:
    heads, groups, size = 4, 2, 8
    q, k = gaussian(0, heads * size, D), gaussian(1, groups * size, D)
    R, inner = rotation(2).float(), rotation(3, size).float()
    turned_q = torch.cat([inner @ one for one in (q @ R).split(size)])
    turned_k = torch.cat([2 * torch.linalg.inv(inner).T @ one for one in (k @ R).split(size)])
    swapped_q = torch.cat([turned_q[2 * size :], turned_q[: 2 * size]])
    swapped_k = torch.cat([turned_k[size:], turned_k[:size]])
    spectrum = product_spectrum(q, k, heads, groups)
    other = product_spectrum(swapped_q, swapped_k, heads, groups)
    assert spectrum is not None
    assert other is not None
    assert spectral_distance(spectrum, other) < 1e-5
    products = [one.T @ k.split(size)[head // 2] for head, one in enumerate(q.split(size))]
    logs = np.sort(np.log([np.linalg.svd(P.double().numpy())[1][:size] for P in products]).ravel())
    assert spectrum[0] == pytest.approx(logs[0] - logs.mean(), abs=1e-4)
    assert spectrum[-1] == pytest.approx(logs[-1] - logs.mean(), abs=1e-4)
    assert product_spectrum(torch.zeros(32, D), k, heads, groups) is None
    assert product_spectrum(q, k, 3, 2) is None


def test_tails() -> None:
    heavy = torch.from_numpy(np.random.default_rng(0).standard_t(5, (200, 200)))
    light = gaussian(0, 200, 200)
    of_light, of_heavy = excess_kurtosis(light), excess_kurtosis(heavy)
    assert of_light == pytest.approx(0, abs=0.1)
    assert of_heavy == pytest.approx(stats.kurtosis(heavy.numpy().ravel()))
    assert excess_kurtosis(torch.ones(3, 3)) is None
    assert heavier([of_heavy, None, 1.0], [of_light, 1.0, 1.0]) == (1, 1)


# ----------------------------------------------------------------------------------------------------------- the rules


def measured(**given: object) -> Measured:
    usual = {
        "p_exact": 0.4, "p_match": 0.3, "control": [0.1, 0.7], "merged_exact": 1e-40, "merged_match": 1e-30,
        "same_depth": True,
    }  # fmt: skip
    return Measured(**(usual | given))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "verdict", "said"),
    [
        ({}, "unrelated", "would have been found"),
        ({"p_exact": 1e-7}, "related", "same order"),
        ({"p_exact": 1e-7, "control": [1e-9, 0.5]}, "related", "same order"),
        ({"p_match": 1e-7}, "related", "another order"),
        ({"p_exact": None, "p_match": 1e-7}, "related", "another order"),
        ({"p_match": 1e-7, "control": [1e-9, 0.5]}, "undecided", "one of 2 unrelated pairs"),
        ({"p_match": 1e-7, "control": []}, "undecided", "no control"),
        ({"p_exact": 1e-5}, "undecided", "not beyond doubt"),
        ({"p_match": 0.004}, "undecided", "not beyond doubt"),
        ({"p_match": 0.006}, "unrelated", "would have been found"),
        ({"control": [1e-3, 0.5]}, "unrelated", "would have been found"),
        ({"control": [4e-5, 0.5]}, "undecided", "one of 2 unrelated pairs"),
        ({"merged_match": 1e-3}, "undecided", "too few neurons, or too much alike"),
        ({"merged_match": None, "merged_exact": None}, "undecided", "not at all"),
        ({"same_depth": False}, "undecided", "which layer"),
        ({"p_match": None, "obstacles": ["no tokens are shared"]}, "undecided", "no tokens are shared (p_exact 0.4)."),
    ],
)
def test_the_rules(given: dict[str, object], verdict: str, said: str) -> None:
    found, reason = judge(measured(**given))
    assert found == verdict
    assert said in reason
    assert reason.endswith(".")
