"""HC8: the weights show which base a model descends from."""

from __future__ import annotations

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
    numbers,
)

CERTAIN = 1e-6
RELATED = "related"


def rule(evidence: Evidence) -> Verdict:
    """docs/methods.md, section 7, HC8: lineage of the descendant and of the unrelated models against the base."""
    own = _pairs(evidence, evidence.model_id)
    others = {model: rows for model in evidence.unrelated if (rows := _pairs(evidence, model))}
    rests_on = tuple(
        Rows("lineage", {"model_a": row["model_a"], "model_b": row["model_b"]})
        for row in (*own, *(row for rows in others.values() for row in rows))
    )
    if not own:
        return not_tested("its lineage was not tested against its base", rests_on)
    if not others:
        return not_tested("no unrelated model was tested against the same base", rests_on)
    p, control = _p(own), min((_p(rows) for rows in others.values()), default=1.0)
    wrong = [model for model, rows in others.items() if any(row.get("verdict") == RELATED for row in rows)]
    related = any(row.get("verdict") == RELATED for row in own)
    word = UNDECIDED
    if wrong:
        word = REFUTED
    elif related and p < CERTAIN:
        word = SUPPORTED
    said = str(own[0].get("verdict") or "undecided")
    text = f"model and base are called {said} (p {p:.2g}); of {len(others)} unrelated models "
    text += f"{', '.join(wrong)} is called related" if wrong else f"none is (smallest p {control:.2g})"
    return Verdict(
        verdict=word,
        reason=text,
        statistic="p of the model being unrelated to its base, the smaller of two tests, doubled",
        estimate=p,
        control=control,
        p_value=p,
        n=1 + len(others),
        rests_on=rests_on,
    )


def _pairs(evidence: Evidence, model: str) -> list[Row]:
    pair = {model, evidence.base_id}
    return [row for row in evidence.rows("lineage") if {row["model_a"], row["model_b"]} == pair]


def _p(rows: list[Row]) -> float:
    """The smaller p of the two tests, twice: either of them may speak."""
    known = [*numbers(rows, "p_exact"), *numbers(rows, "p_match")]
    return min(1.0, 2 * min(known, default=1.0))


CLAIM = Claim(
    name="HC8",
    sentence="Singular vectors are a fingerprint: they show from which base a model descends.",
    evidence="The lineage test of the descendant against its base, exact and invariant.",
    control="The same test of unrelated models against the same base.",
    supported_by="The descendant is called related at p below 1e-6, and no unrelated model is called related.",
    refuted_by="An unrelated model is called related to the base.",
    otherwise="Undecided in between; not tested without an unrelated model.",
    rule_version="1",
    tables=("models", "lineage"),
    needs=("lineage",),
    of_others=("models", "lineage"),
    rule=rule,
)
