"""The rules on weights, from matrices made here to the verdict: noise, He and Cao's formula, one factor, nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import torch

from rotoscale import decompose, pair_statistics
from rotoscale.claims import CLAIMS, Evidence, Verdict
from rotoscale.multiple import corrected

MATRICES = 14
Change = Callable[[np.random.Generator, np.ndarray], np.ndarray]


def verdicts(change: Change, seed: int) -> dict[str, Verdict]:
    """HC1 and HC3 of a made-up model of small matrices, in the rows that the assets would store."""
    random = np.random.default_rng(seed)
    scale, agreement = [], []
    for number in range(MATRICES):
        W = random.normal(size=(40, 32) if number % 2 else (32, 32))
        base, post = (torch.from_numpy(one) for one in (W, change(random, W)))
        found = pair_statistics(base, post, decompose(base), decompose(post), seed=1000 * seed + number)
        scale.append(asdict(found.scale))
        agreement.append(found.agreement)
    pair = {"model_id": "m", "base_id": "b"}
    tables = {
        "scale_statistics": [row | pair for row in scale],
        "agreement": [asdict(row) | pair for row in corrected(agreement)],
    }
    return {name: CLAIMS[name].judge(Evidence("f", "m", "b", tables)) for name in ("HC1", "HC3")}


def noise(random: np.random.Generator, W: np.ndarray) -> np.ndarray:
    return W + 0.02 * random.normal(size=W.shape)


def formula(random: np.random.Generator, W: np.ndarray) -> np.ndarray:
    """`(U Q)(1.05 S)(V Q)^T` with a small rotation Q, and a little noise."""
    U, s, Vt = np.linalg.svd(W, full_matrices=False)
    K = random.normal(size=(len(s), len(s))) * 0.01
    half = (K - K.T) / 2
    Q = np.linalg.solve(np.eye(len(s)) + half, np.eye(len(s)) - half)
    return (U @ Q) @ np.diag(1.05 * s) @ (Vt.T @ Q).T + 1e-4 * random.normal(size=W.shape)


def test_noise_families_support_nothing() -> None:
    """HC3 refuted in every one: 0 is not near 1. HC1 is decided in a twentieth of them, at most a few of 12."""
    found = [verdicts(noise, seed) for seed in range(12)]
    assert {one["HC3"].verdict for one in found} == {"refuted"}
    hc1 = Counter(one["HC1"].verdict for one in found)
    assert hc1["supported"] + hc1["refuted"] <= 3


def test_the_formula_supports_both_claims() -> None:
    found = verdicts(formula, 0)
    assert {name: one.verdict for name, one in found.items()} == {"HC1": "supported", "HC3": "supported"}


def test_one_factor_is_uniform_and_says_nothing_of_rotation() -> None:
    found = verdicts(lambda random, W: 0.97 * W, 0)
    assert (found["HC1"].verdict, found["HC3"].verdict) == ("supported", "not tested")
    assert "weight decay" in found["HC1"].reason


def test_a_scale_that_grows_with_the_singular_value_is_not_uniform() -> None:
    def uneven(random: np.random.Generator, W: np.ndarray) -> np.ndarray:
        U, s, Vt = np.linalg.svd(W, full_matrices=False)
        return U @ np.diag(s * np.linspace(1.3, 0.9, len(s))) @ Vt

    assert verdicts(uneven, 0)["HC1"].verdict != "supported"


def test_an_unchanged_model_is_not_tested() -> None:
    assert {one.verdict for one in verdicts(lambda random, W: W.copy(), 0).values()} == {"not tested"}
