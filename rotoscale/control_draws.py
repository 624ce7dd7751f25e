"""An edit against a distribution of controls, and what it brought back against what there was to bring back.

One control is one draw, and one draw of noise moves a small model's perplexity by a factor of two. So an edit is held
against many: its value is compared with what the next draw would give, and its loss with theirs document by document.
docs/methods.md, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rotoscale.errors import RotoscaleError

FEWEST_DRAWS = 3

AS_BAD = 0.8
"""A control that loses at least this share of what the edit loses is as bad (the four fifths of bioequivalence)."""

Values = Sequence[float] | npt.NDArray[np.float64]


class ControlError(RotoscaleError):
    """Draws or document scores that no comparison can be made of."""


@dataclass(frozen=True)
class Prediction:
    """One value against the draws of its control; `below` is the hypothesis that the value is the smaller one."""

    value: float
    mean: float
    spread: float
    """Standard deviation of the draws, B - 1 degrees of freedom."""
    low: float
    """Of the interval that holds the next draw with probability `confidence`."""
    high: float
    t: float
    p_below: float
    """One-sided: the value is smaller than a further draw would be."""
    p_above: float
    p_two_sided: float
    rank_below: float
    """Rank p of the same, (1 + draws that are at most the value) / (B + 1): never below 1 / (B + 1)."""
    rank_above: float
    draws: int


def prediction_test(value: float, draws: Values, confidence: float = 0.95, *, least_spread: float = 0.0) -> Prediction:
    """Is a value one more draw of its control? `t = (value - mean) / (spread sqrt(1 + 1/B))`, B - 1 degrees of freedom.

    Exact for normal draws; the rank p beside it assumes nothing but exchangeability, and with few draws it can never
    pass a correction for many tests. The spread is taken to be at least `least_spread`: of values that come in steps,
    as shares of n documents do, equal draws say only that they scatter by less than a step.

    Raises ControlError for fewer than three draws, or values that are not finite.
    """
    from scipy.stats import t as student

    found = np.asarray(draws, dtype=np.float64)
    B = found.size
    if found.ndim != 1 or B < FEWEST_DRAWS or not (np.isfinite(found).all() and math.isfinite(value)):
        raise ControlError(f"{B} draws give no distribution; give at least {FEWEST_DRAWS} finite ones")
    mean, spread = float(found.mean()), max(float(found.std(ddof=1)), least_spread)
    scale = spread * math.sqrt(1 + 1 / B)
    t = (value - mean) / scale if scale > 0 else _certain(value - mean)
    half = float(student.ppf((1 + confidence) / 2, B - 1)) * scale
    below, above = float(student.cdf(t, B - 1)), float(student.sf(t, B - 1))
    return Prediction(
        value=value,
        mean=mean,
        spread=spread,
        low=mean - half,
        high=mean + half,
        t=t,
        p_below=below,
        p_above=above,
        p_two_sided=min(1.0, 2 * min(below, above)),
        rank_below=(1 + int((found <= value).sum())) / (B + 1),
        rank_above=(1 + int((found >= value).sum())) / (B + 1),
        draws=B,
    )


@dataclass(frozen=True)
class DifferenceOfDifferences:
    """How much more an edit lost than its control, per document, in nats; negative: the edit hurts more."""

    difference: float
    stderr: float
    low: float
    high: float
    p_worse: float
    """One-sided: the edit loses more than its control."""
    p_no_worse: float
    """One-sided, of the margin: below 0.05 the control is shown to lose at least AS_BAD of what the edit loses."""
    p_two_sided: float
    degrees_of_freedom: float
    n: int
    draws: int


def difference_of_differences(
    edit: Values, start: Values, controls: npt.NDArray[np.float64], control_starts: Values, confidence: float = 0.95
) -> DifferenceOfDifferences:
    """`(edit - start) - (control - its start)` on per-document log-likelihoods: does the edit hurt more?

    edit, start: (n,) of the edited model and of what was edited. controls: (B, n), one row per draw; control_starts:
    (n,), or (B, n) where each draw starts from a model of its own. The number of a document is the edit's loss less
    the mean loss of the draws. Its standard error holds both sources of chance: which documents, and which draws (the
    spread of the draws' means as the edit is one draw more, `spread^2 (1 + 1/B)`); degrees of freedom by Satterthwaite.
    `p_no_worse` is the test of the margin, `AS_BAD (edit - start) - (control - its start)` above zero: that an edit is
    not shown to be worse is no sign that it is not.

    Raises ControlError for scores that are not paired, or not finite.
    """
    from scipy.stats import t as student

    a, b = (np.asarray(x, dtype=np.float64) for x in (edit, start))
    c, d = np.atleast_2d(np.asarray(controls, dtype=np.float64)), np.asarray(control_starts, dtype=np.float64)
    n, B = a.size, c.shape[0]
    if a.shape != b.shape or c.shape != (B, n) or d.shape not in ((n,), (B, n)) or n < 2 or B < 2:
        raise ControlError(f"scores of shapes {a.shape}, {b.shape}, {c.shape} and {d.shape} are not paired by document")
    if not all(np.isfinite(x).all() for x in (a, b, c, d)):
        raise ControlError("log-likelihoods of some documents are not finite; there is nothing to compare")
    found = _excess(a - b, c - d, 1.0)
    half = float(student.ppf((1 + confidence) / 2, found.df)) * found.stderr if found.stderr else 0.0
    return DifferenceOfDifferences(
        difference=found.mean,
        stderr=found.stderr,
        low=found.mean - half,
        high=found.mean + half,
        p_worse=found.p_below,
        p_no_worse=_excess(a - b, c - d, AS_BAD).p_above,
        p_two_sided=min(1.0, 2 * min(found.p_below, found.p_above)),
        degrees_of_freedom=found.df,
        n=n,
        draws=B,
    )


@dataclass(frozen=True)
class _Excess:
    """`share` of an edit's loss less its control's: mean over documents, error, and one-sided p of its sign."""

    mean: float
    stderr: float
    df: float

    @property
    def p_below(self) -> float:
        return self._p(-1)

    @property
    def p_above(self) -> float:
        return self._p(1)

    def _p(self, side: int) -> float:
        from scipy.stats import t as student

        if self.stderr == 0:
            return 0.0 if side * self.mean > 0 else 1.0
        return float(student.sf(side * self.mean / self.stderr, self.df))


def _excess(edit: npt.NDArray[np.float64], controls: npt.NDArray[np.float64], share: float) -> _Excess:
    """Changes of log-likelihood of the edit (n,) and of every draw (B, n)."""
    B, n = controls.shape
    per_document = share * edit - controls.mean(0)
    of_documents = float(per_document.var(ddof=1)) / n
    # What scatters among the draws beyond the documents' own noise, which pairing has taken out of the difference. An
    # edit that loses 1 / share as much scatters as much more, so that its share of it scatters as a draw does.
    of_draws = float(controls.mean(1).var(ddof=1)) * (1 + 1 / B)
    variance = of_documents + of_draws
    df = variance**2 / (of_documents**2 / (n - 1) + of_draws**2 / (B - 1)) if variance else math.inf
    return _Excess(float(per_document.mean()), math.sqrt(variance), float(df))


@dataclass(frozen=True)
class RecoveredGain:
    """Which part of the way from base to post an edit is: 0 the base's own level, 1 the post model's."""

    gain: float | None
    """None where base and post have the same mean."""
    low: float
    """Of Fieller's interval; -infinity and infinity where the denominator may be zero."""
    high: float
    base: float
    post: float
    edit: float
    p_denominator: float
    """Two-sided, that post and base differ: without that there is no gain to recover."""
    n: int


def recovered_gain(edit: Values, base: Values, post: Values, confidence: float = 0.95) -> RecoveredGain:
    """`(edit - base) / (post - base)` of mean document scores (n,) with Fieller's interval (Fieller 1954).

    The ratio of two means that are correlated because the documents are the same: all g for which the mean of
    `(edit - base) - g (post - base)` is not shown to differ from zero by a t-test. Where post and base are not shown to
    differ, the interval is the whole line: nothing can be said.

    Raises ControlError for scores that are not paired, or not finite.
    """
    from scipy.stats import t as student

    e, b, p = (np.asarray(x, dtype=np.float64) for x in (edit, base, post))
    n = e.size
    if e.ndim != 1 or not e.shape == b.shape == p.shape or n < 2:
        raise ControlError(f"scores of shapes {e.shape}, {b.shape} and {p.shape} are not paired by document")
    if not all(np.isfinite(x).all() for x in (e, b, p)):
        raise ControlError("scores of some documents are not finite; there is no gain to recover")
    numerator, denominator = e - b, p - b
    x, y = float(numerator.mean()), float(denominator.mean())
    (xx, xy), (_, yy) = np.cov(numerator, denominator, ddof=1) / n
    q = float(student.ppf((1 + confidence) / 2, n - 1)) ** 2
    t = y / math.sqrt(yy) if yy > 0 else _certain(y)
    p_denominator = float(2 * student.sf(abs(t), n - 1))
    # (x - g y)^2 <= q (xx - 2 g xy + g^2 yy), a quadratic in g that opens upwards when y is shown to differ from zero.
    A, B, C = y * y - q * yy, -2 * (x * y - q * xy), x * x - q * xx
    if A > 0:
        root = math.sqrt(max(0.0, B * B - 4 * A * C))
        low, high = (-B - root) / (2 * A), (-B + root) / (2 * A)
    else:
        low, high = -math.inf, math.inf
    means = [float(v.mean()) for v in (b, p, e)]
    return RecoveredGain(x / y if y else None, low, high, means[0], means[1], means[2], p_denominator, n)


def _certain(difference: float) -> float:
    """The t of a difference that nothing scatters around."""
    return math.copysign(math.inf, difference) if difference else 0.0
