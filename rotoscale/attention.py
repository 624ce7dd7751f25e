"""Attention temperature: what scaled query and key matrices should do, how sharp attention is, and whether the two
agree (docs/methods.md, section 1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import torch

from rotoscale.errors import MatrixError


def attention_temperature(alpha_q: float, alpha_k: float) -> float:
    """`T = 1 / (alpha_q alpha_k)`: attention logits grow by both factors, as if divided by T.

    docs/methods.md, section 1. Below one attention is sharpened, above one flattened. Only approximate where q or k
    have biases, and void where the model normalises them.

    Raises MatrixError for a factor that is not positive.
    """
    if not (alpha_q > 0 and alpha_k > 0):
        raise MatrixError(f"scale factors {alpha_q} and {alpha_k} give no temperature; both must be positive")
    return 1 / (alpha_q * alpha_k)


def attention_entropy(weights: torch.Tensor) -> torch.Tensor:
    """Mean entropy `-sum_j a_ij ln a_ij` in nats of attention weights (heads x queries x keys), by head (heads,).

    The first query is left out: it sees itself alone, and its entropy is zero in every model.
    """
    a = weights[:, 1:].to(torch.float64)
    return -torch.special.xlogy(a, a).sum(-1).mean(-1)


FEWEST_LAYERS = 6
"""Below this even the best order of layers is no evidence to speak of (6 of them have 720 orders)."""

_EXACT_LAYERS = 8
_PERMUTATIONS = 9_999


@dataclass(frozen=True)
class TemperatureTest:
    """Does attention change as its predicted temperature says? One pair of numbers per layer."""

    spearman: float | None
    """Rank correlation of predicted temperature and entropy change; None where either does not vary."""
    ci_low: float | None
    """Of its 95 % interval by Fisher's transformation; None below four layers."""
    ci_high: float | None
    p_value: float | None
    """One-sided: layers permuted at random would agree as well."""
    n_layers: int


def temperature_test(predicted: Sequence[float], entropy_changes: Sequence[float], *, seed: int = 0) -> TemperatureTest:
    """Rank correlation over layers of predicted T (n,) and mean entropy change in nats (n,), with a permutation test.

    docs/methods.md, section 1. A T above one should raise the entropy: a positive correlation. All orders of up to 8
    layers are looked at, of more 9,999 random ones, with the found order among them. The interval has the variance of
    Bonett and Wright (2000), `(1 + rho^2 / 2) / (n - 3)` of artanh rho.

    Raises MatrixError when the two do not go together, or are not finite.
    """
    import numpy as np
    from scipy.stats import rankdata

    x, y = (np.asarray(values, dtype=np.float64) for values in (predicted, entropy_changes))
    n = len(x)
    if x.shape != y.shape or x.ndim != 1 or not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise MatrixError(f"{len(x)} temperatures and {len(y)} entropy changes make no pairs of finite numbers")
    a, b = (rankdata(values) - (n + 1) / 2 for values in (x, y))
    norm = float(np.sqrt((a @ a) * (b @ b)))
    if n < 2 or norm == 0:
        return TemperatureTest(None, None, None, None, n)
    rho = float(a @ b) / norm
    enough = float(a @ b) - 1e-9 * norm
    if n <= _EXACT_LAYERS:
        orders = np.asarray(list(permutations(range(n))))
        p = float((a[orders] @ b >= enough).mean())
    else:
        generator = np.random.default_rng(seed)
        drawn = generator.permuted(np.tile(a, (_PERMUTATIONS, 1)), axis=1) @ b
        p = (1 + int((drawn >= enough).sum())) / (_PERMUTATIONS + 1)
    if n < 4:
        return TemperatureTest(rho, None, None, p, n)
    if abs(rho) > 1 - 1e-12:
        return TemperatureTest(rho, rho, rho, p, n)
    half = 1.959963984540054 * math.sqrt((1 + rho**2 / 2) / (n - 3))
    low, high = (math.tanh(math.atanh(rho) + sign * half) for sign in (-1, 1))
    return TemperatureTest(rho, low, high, p, n)
