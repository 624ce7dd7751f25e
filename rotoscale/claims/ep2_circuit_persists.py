"""EP2: the base's circuit still does the work in the descendant."""

from __future__ import annotations

from rotoscale.claims.arithmetic import shown
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

FAITHFUL, UNFAITHFUL = 0.8, 0.5


def rule(evidence: Evidence) -> Verdict:
    """docs/methods.md, section 7, EP2: f of the base's circuit run inside the descendant."""
    where = {"model_id": evidence.model_id, "circuit_model_id": evidence.base_id}
    rests_on = (Rows("circuit_faithfulness", where),)
    row = next(iter(evidence.rows("circuit_faithfulness", **where)), None)
    if row is None:
        return not_tested("the base's circuit was not run in this model", rests_on)
    if row.get("n_heads") == 0:
        return not_tested("the base's circuit is empty", rests_on)
    f = number(row, "f")
    if f is None:
        return not_tested("the model does no better than with every head ablated, so that f has no meaning", rests_on)
    above = _above_random(row)
    word = UNDECIDED
    if f >= FAITHFUL and above:
        word = SUPPORTED
    elif f < UNFAITHFUL:
        word = REFUTED
    draws = int(row.get("random_draws") or 0)
    compared = {True: "above all", False: "not above all", None: "not compared with"}[above]
    text = (
        f"the base's circuit keeps f {shown(f, 2)} of what the model does beyond its empty circuit (EP's ratio "
        f"{shown(number(row, 'faithfulness'), 2)}), {compared} {draws or ''} random circuits of the same size"
    )
    return Verdict(
        verdict=word,
        reason=" ".join(text.split()),
        statistic="f of the base's circuit in the descendant",
        estimate=f,
        ci_low=number(row, "f_low"),
        ci_high=number(row, "f_high"),
        control=number(row, "f_random_high"),
        p_value=number(row, "p_value"),
        n=int(row.get("n_prompts") or 0),
        rests_on=rests_on,
    )


def _above_random(row: Row) -> bool | None:
    """Whether the circuit is above every random one: by its rank, else by the upper end of theirs."""
    rank_p, draws = number(row, "rank_p"), number(row, "random_draws")
    if rank_p is not None and draws:
        return rank_p * (1 + draws) < 1.5
    for own, other in (("f", "f_random_high"), ("accuracy_circuit", "accuracy_random_high")):
        ours, theirs = number(row, own), number(row, other)
        if ours is not None and theirs is not None:
            return ours > theirs
    return None


CLAIM = Claim(
    name="EP2",
    sentence="The base's entity tracking circuit persists in the fine-tuned model.",
    evidence="f, the share of the descendant's behaviour that the base's circuit keeps when it is run alone in it.",
    control="Random circuits matched in size and layer.",
    supported_by="f is at least 0.8 and above all random circuits.",
    refuted_by="f is below 0.5.",
    otherwise="Undecided in between; not tested where the base has no circuit, or the model cannot do the task.",
    rule_version="1",
    tables=("circuit_faithfulness",),
    needs=("circuit_faithfulness",),
    rule=rule,
)
