"""Is one model better than another on the same documents? Paired tests, because the documents are the same.

Right-or-wrong scores go through McNemar's exact test, which looks only at the documents on which the two disagree.
Everything else (log-likelihoods behind a perplexity, graded scores) goes through a paired bootstrap over documents:
both models are scored on the same resampled documents, and the statistic is taken anew on each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from rotoscale.errors import RotoscaleError

RESAMPLES = 10_000
STDERR_RESAMPLES = 1_000
_WEIGHTS_AT_A_TIME = 1 << 21
_WEIGHTS_REMEMBERED = 20_000_000
"""Two thousand documents resampled ten thousand times, 40 MB."""

Sums = npt.NDArray[np.float64]


class ContrastError(RotoscaleError):
    """Two sets of scores that cannot be compared, or a statistic that does not exist."""


@dataclass(frozen=True)
class Contrast:
    """A paired comparison: subject minus reference."""

    difference: float
    stderr: float | None
    """None from one document only."""
    p_value: float
    """Two-sided."""
    test: str
    """`exact McNemar` or `paired bootstrap`."""
    n: int


def _mean(sums: Sums, n: int) -> Sums:
    return sums[..., 0] / n


def _perplexity(sums: Sums, n: int) -> Sums:
    return np.exp(-sums[..., 0] / n)


def _weighted_perplexity(sums: Sums, n: int) -> Sums:
    return np.exp(-sums[..., 0] / sums[..., 1])


def _bits_per_byte(sums: Sums, n: int) -> Sums:
    return -sums[..., 0] / sums[..., 1] / np.log(2.0)


STATISTICS: dict[str, Callable[[Sums, int], Sums]] = {
    "mean": _mean,
    "perplexity": _perplexity,
    "weighted_perplexity": _weighted_perplexity,
    "bits_per_byte": _bits_per_byte,
}
"""How the score of a set of documents follows from sums over them (the harness's own names for its aggregations).

Scores are (n,) numbers, or (n, 2) pairs of a log-likelihood and a weight for the last two.
"""


def statistic(scores: Sequence[float] | npt.NDArray[np.float64], name: str = "mean") -> float:
    """The statistic `name` of scores (n,) or (n, 2).

    Raises ContrastError for a name that STATISTICS does not have.
    """
    values = _columns(scores)
    return float(_named(name)(values.sum(0), len(values)))


def contrast(
    subject: Sequence[float] | npt.NDArray[np.float64],
    reference: Sequence[float] | npt.NDArray[np.float64],
    *,
    statistic: str = "mean",
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Contrast:
    """Compare two models' scores, (n,) or (n, 2) each, document by document in the same order.

    Means of scores that are all 0 or 1 are tested by McNemar's exact test, everything else by a paired bootstrap.

    Raises ContrastError when there are no documents, or not the same number.
    """
    a, b = _columns(subject), _columns(reference)
    if a.shape != b.shape or not len(a):
        raise ContrastError(f"{len(a)} and {len(b)} scored documents cannot be paired; score both on the same ones")
    if statistic == "mean" and bool(np.isin(a, (0.0, 1.0)).all() and np.isin(b, (0.0, 1.0)).all()):
        return mcnemar(a[:, 0] > 0, b[:, 0] > 0)
    return paired_bootstrap(a, b, statistic=statistic, seed=seed, resamples=resamples)


def mcnemar(subject: npt.NDArray[np.bool_], reference: npt.NDArray[np.bool_]) -> Contrast:
    """McNemar's exact test of right-or-wrong scores (n,): who won the documents on which the two disagree?

    Under the null each disagreement is a fair coin (McNemar 1947, exact binomial form).
    """
    from scipy.stats import binomtest

    n = len(subject)
    won, lost = int((subject & ~reference).sum()), int((~subject & reference).sum())
    p = float(binomtest(won, won + lost, 0.5).pvalue) if won + lost else 1.0
    difference = (won - lost) / n
    variance = (won + lost - (won - lost) ** 2 / n) / (n - 1) if n > 1 else None
    return Contrast(difference, None if variance is None else (variance / n) ** 0.5, p, "exact McNemar", n)


def paired_bootstrap(
    subject: npt.NDArray[np.float64],
    reference: npt.NDArray[np.float64],
    *,
    statistic: str = "mean",
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Contrast:
    """Paired bootstrap over documents of the difference of a statistic, scores (n,) or (n, 2).

    The p-value is twice the smaller share of resamples on one side of zero, each counted with one more than found, so
    that it is never zero. Equal scores give 1.
    """
    a, b = _columns(subject), _columns(reference)
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ContrastError(f"{statistic} is not finite on some documents; there is nothing to compare")
    take, n = _named(statistic), len(a)
    difference = float(take(a.sum(0), n) - take(b.sum(0), n))
    drawn = take(_resampled_sums(a, resamples, seed), n) - take(_resampled_sums(b, resamples, seed), n)
    below, above = int((drawn <= 0).sum()), int((drawn >= 0).sum())
    p = min(1.0, 2 * (min(below, above) + 1) / (resamples + 1))
    return Contrast(difference, float(drawn.std(ddof=1)) if n > 1 else None, p, "paired bootstrap", n)


def bootstrap_stderr(
    scores: Sequence[float] | npt.NDArray[np.float64],
    *,
    statistic: str = "mean",
    seed: int = 0,
    resamples: int = STDERR_RESAMPLES,
) -> float | None:
    """Standard error over documents of a statistic of scores (n,) or (n, 2); None from one document only.

    Of a mean it is the usual `std / sqrt(n)` with n - 1 degrees of freedom, without resampling.
    """
    values = _columns(scores)
    n = len(values)
    if n < 2:
        return None
    if statistic == "mean":
        return float(values[:, 0].std(ddof=1) / n**0.5)
    take = _named(statistic)
    return float(take(_resampled_sums(values, resamples, seed), n).std(ddof=1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values of several tests, in their order (Holm 1979)."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, (len(p_values) - rank) * p_values[i])
        adjusted[i] = min(1.0, largest)
    return adjusted


def _columns(scores: Sequence[float] | npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    values = np.asarray(scores, dtype=np.float64)
    return values[:, None] if values.ndim == 1 else values


def _named(name: str) -> Callable[[Sums, int], Sums]:
    try:
        return STATISTICS[name]
    except KeyError:
        raise ContrastError(f"no statistic {name!r}; there are: {', '.join(STATISTICS)}") from None


def _resampled_sums(values: npt.NDArray[np.float64], resamples: int, seed: int) -> Sums:
    """Sums over the documents of each resample (resamples, columns) of scores (n, columns)."""
    return _sums_of(values.tobytes(), values.shape[1], resamples, seed)


@lru_cache(maxsize=256)
def _sums_of(content: bytes, columns: int, resamples: int, seed: int) -> Sums:
    """Remembered by the scores themselves: a subject takes part in several comparisons."""
    values = np.frombuffer(content, dtype=np.float64).reshape(-1, columns)
    return np.concatenate([w @ values for w in _weights(len(values), resamples, seed)])


def _weights(n: int, resamples: int, seed: int) -> Iterator[npt.NDArray[np.float64]]:
    """How often each document occurs in each resample, (some, n) at a time."""
    rows = max(1, _WEIGHTS_AT_A_TIME // n)
    if n * resamples <= _WEIGHTS_REMEMBERED:
        all_of_them = _remembered_weights(n, resamples, seed)  # many comparisons of the same documents share them
        yield from (all_of_them[first : first + rows].astype(np.float64) for first in range(0, resamples, rows))
        return
    generator = np.random.default_rng(seed)
    yield from (_drawn_weights(generator, n, min(rows, resamples - i)) for i in range(0, resamples, rows))


@lru_cache(maxsize=8)  # a family's tasks have few numbers of documents, each with two numbers of resamples
def _remembered_weights(n: int, resamples: int, seed: int) -> npt.NDArray[np.uint16]:
    generator, rows = np.random.default_rng(seed), max(1, _WEIGHTS_AT_A_TIME // n)
    chunks = [_drawn_weights(generator, n, min(rows, resamples - i)) for i in range(0, resamples, rows)]
    return np.concatenate([chunk.astype(np.uint16) for chunk in chunks])


def _drawn_weights(generator: np.random.Generator, n: int, resamples: int) -> npt.NDArray[np.float64]:
    return generator.multinomial(n, np.full(n, 1 / n), size=resamples).astype(np.float64)
