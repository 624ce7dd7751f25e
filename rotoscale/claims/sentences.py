"""The sentences on verdicts that every surface shows: command line, report, dashboard and DuckDB read these, stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rotoscale.claims.claim import Claim, Evidence, Verdict

CLAIMS_PAGE = "claims"
"""The page of the dashboard that shows these sentences."""


def verdict_sentence(claim: Claim, evidence: Evidence, verdict: Verdict) -> str:
    """`demo-math, HC3 refuted: median tau 0.012 ...` with the reason as the rule gives it."""
    subject = evidence.model_id or f"family {evidence.family}"
    return f"{subject}, {claim.name} {verdict.verdict}: {verdict.reason}"


def findings(evidence: Evidence, verdicts: Iterable[tuple[Claim, Verdict]]) -> list[Mapping[str, Any]]:
    """Rows of `findings` on the verdicts of one subject: family, model_id, page, rank, sentence, rests_on."""
    return [
        {
            "family": evidence.family,
            "model_id": evidence.model_id,
            "page": CLAIMS_PAGE,
            "rank": rank,
            "sentence": verdict_sentence(claim, evidence, verdict),
            "rests_on": rests_on(verdict),
        }
        for rank, (claim, verdict) in enumerate(verdicts)
    ]


def rests_on(verdict: Verdict) -> list[dict[str, Any]]:
    """The rows that a verdict rests on, as stored: tables, each with the values of columns that find its rows."""
    return [{"table": rows.table, "where": dict(rows.where)} for rows in verdict.rests_on]
