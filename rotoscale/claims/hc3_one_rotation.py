"""HC3: left and right singular vectors are turned by one rotation."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, median

from rotoscale.claims.arithmetic import median_interval, shown
from rotoscale.claims.claim import (
    REFUTED,
    SUPPORTED,
    UNDECIDED,
    Claim,
    Evidence,
    Row,
    Rows,
    Verdict,
    not_tested,
    number,
    numbers,
)
from rotoscale.multiple import called_together

FORMULA, FAR = 0.9, 0.5
"""Median tau from which the claim holds, and below which it does not; He and Cao's formula has 1, noise 0."""


def rule(evidence: Evidence) -> Verdict:
    """docs/methods.md, section 7, HC3: the median over matrices of tau, the left-right agreement (section 2b)."""
    rests_on = (Rows("agreement", {"model_id": evidence.model_id, "base_id": evidence.base_id}),)
    rows = [row for row in evidence.of_model("agreement") if number(row, "tau") is not None]
    if not rows:
        return not_tested("no matrix has a tau: off the diagonal nothing changed beyond rounding", rests_on)
    taus = numbers(rows, "tau")
    middle, low, high = median_interval(taus)
    together = [row for row in rows if called_together(number(row, "tau"), number(row, "q_together"))]
    word = UNDECIDED
    if middle >= FORMULA:
        word = SUPPORTED
    elif high < FAR:
        word = REFUTED
    text = (
        f"median tau {shown(middle)} over {len(taus)} matrices (1 is one rotation for both sides, 0 is noise), "
        f"largest {shown(max(taus))}"
    )
    if together:
        text += f"; left and right changed together beyond chance in {len(together)}"
        text += ", a real but weak excess" if word == REFUTED else ""
    else:
        text += "; in none are they shown to have changed together beyond chance"
    kept = numbers(together, "tau_without_gains")
    if kept:
        text += f"; without gains of rows and columns their tau is {shown(median(kept))} in the median"
    shared, expected = numbers(rows, "share_shared"), numbers(rows, "share_shared_expected")
    if shared and expected:
        text += f"; {_mean_percent(shared)} % of the change's energy is shared ({_mean_percent(expected)} % in noise)"
    return Verdict(
        verdict=word,
        reason=text,
        statistic="median tau over matrices",
        estimate=middle,
        ci_low=low,
        ci_high=high,
        control=0.0,
        p_value=_least(rows, "p_together"),
        q_value=_least(rows, "q_together"),
        n=len(taus),
        rests_on=rests_on,
    )


def _least(rows: Sequence[Row], name: str) -> float | None:
    return min(numbers(rows, name), default=None)


def _mean_percent(shares: Sequence[float]) -> str:
    """The mean over matrices, as in the reading of a pair, where shares sum to one."""
    return shown(100 * mean(shares), 1)


CLAIM = Claim(
    name="HC3",
    sentence="One rotation turns the left and the right singular vectors of a matrix alike.",
    evidence="tau, the agreement of left and right in every matrix's change, with the share of its energy that both "
    "sides share.",
    control="Random sign flips, corrected over the matrices; tau after the best gains of rows and columns.",
    supported_by="The median tau is at least 0.9.",
    refuted_by="The upper end of the median tau's 95 % bootstrap interval lies below 0.5; an excess that is real but "
    "weak is said beside it, with the number of matrices after correction.",
    otherwise="Undecided in between; not tested where nothing changed off the diagonal beyond rounding.",
    rule_version="1",
    tables=("agreement",),
    needs=("agreement",),
    rule=rule,
)
