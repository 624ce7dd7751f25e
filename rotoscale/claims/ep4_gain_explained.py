"""EP4: better value fetchers explain what fine-tuning gained."""

from __future__ import annotations

import math

from rotoscale.claims.arithmetic import beyond_random, shown
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
)

GROUP = "A"
"""The value fetchers."""

HALF = 0.5


def rule(evidence: Evidence) -> Verdict:
    """docs/methods.md, section 7, EP4: what the descendant's group A, patched into the base, recovers of the gain."""
    forward = _row(evidence, evidence.base_id, evidence.model_id)
    backward = _row(evidence, evidence.model_id, evidence.base_id)
    rests_on = (
        Rows("cross_model_patching", {"recipient_id": evidence.base_id, "donor_id": evidence.model_id}),
        Rows("cross_model_patching", {"recipient_id": evidence.model_id, "donor_id": evidence.base_id}),
    )
    if forward is None:
        return not_tested("the descendant's value fetchers were not patched into the base", rests_on)
    before, after, patched = (number(forward, f"accuracy_{name}") for name in ("recipient", "donor", "patched"))
    n = int(forward.get("n_prompts") or 0)
    if before is None or after is None or patched is None or not n:
        return not_tested("patching gave no accuracies", rests_on)
    gain = after - before
    spread = math.sqrt((before * (1 - before) + after * (1 - after)) / n)
    if gain <= 1.959964 * spread:
        return not_tested("on these prompts the descendant is not shown to be better than its base", rests_on)
    recovered = (patched - before) / gain
    error = math.sqrt(max(patched * (1 - patched), 0.25 / n) / n) / gain
    p, rank_p, random = (number(forward, name) for name in ("p_value", "rank_p", "accuracy_random"))
    word = UNDECIDED
    if beyond_random(p, rank_p) and recovered >= HALF:
        word = SUPPORTED
    elif random is not None and patched <= random:
        # Not being significant is not enough: few draws or few prompts can miss a difference that there is.
        word = REFUTED
    text = (
        f"the descendant's value fetchers take the base from {shown(before, 2)} to {shown(patched, 2)}, "
        f"{shown(100 * recovered, 0)} % of the gain to {shown(after, 2)}; as many random heads to {shown(random, 2)} "
        f"({int(forward.get('random_draws') or 0)} draws, p {shown(p, 4)}, rank p {shown(rank_p, 3)})"
    )
    if backward is not None:
        text += (
            f"; the other way, the base's take the descendant to {shown(number(backward, 'accuracy_patched'), 2)}, "
            f"random ones to {shown(number(backward, 'accuracy_random'), 2)}"
        )
    return Verdict(
        verdict=word,
        reason=text,
        statistic="share of the gain that the descendant's value fetchers bring to the base",
        estimate=recovered,
        ci_low=recovered - 1.959964 * error,
        ci_high=recovered + 1.959964 * error,
        control=None if random is None else (random - before) / gain,
        p_value=p,
        n=n,
        rests_on=rests_on,
    )


def _row(evidence: Evidence, recipient: str, donor: str) -> Row | None:
    rows = evidence.rows("cross_model_patching", recipient_id=recipient, donor_id=donor)
    return next((row for row in rows if GROUP in (row.get("circuit_group"), row.get("component"))), None)


CLAIM = Claim(
    name="EP4",
    sentence="Better value fetchers and position transmitters explain what fine-tuning gained.",
    evidence="Cross-model activation patching both ways: group A of the descendant in the base, and the reverse.",
    control="Random heads of the same number, in the same layers where these hold enough: a prediction t-test over at "
    "least 19 draws with the rank p beside it, the rank p alone from 199 draws on.",
    supported_by="Group A of the descendant recovers at least half of the gain in the base, and more than random heads "
    "(p < 0.05 and rank p at most 0.05).",
    refuted_by="Group A recovers no more than random heads.",
    otherwise="Undecided in between; not tested without a gain on the patched prompts.",
    rule_version="3",
    tables=("cross_model_patching",),
    needs=("cross_model_patching",),
    rule=rule,
)
