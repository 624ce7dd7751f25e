"""Verdicts as stored rows, and the sentences on them that every surface shows.

Command line, report, dashboard and DuckDB read the stored sentences; nothing else words a verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rotoscale.claims.claim import Claim, Evidence, Verdict

CLAIMS_PAGE, PAIR_PAGE, EDITS_PAGE = "claims", "pair", "edits"
"""Where sentences belong: to the verdicts, to the reading of a descendant against its base, or to the scores of it and
its edits."""

_NUMBERS = (
    "verdict", "reason", "statistic", "estimate", "ci_low", "ci_high", "control", "p_value", "q_value", "n", "power",
)  # fmt: skip


def claim_row(evidence: Evidence, claim: Claim, verdict: Verdict) -> dict[str, Any]:
    """The row of `claims` on one claim and subject: verdict, its numbers, and the rule that it was reached by."""
    return {
        "family": evidence.family,
        "model_id": evidence.model_id,
        "claim": claim.name,
        "rule_version": claim.rule_version,
        "sentence": claim.sentence,
        "evidence": claim.evidence,
        "controlled_by": claim.control,
        "supported_by": claim.supported_by,
        "refuted_by": claim.refuted_by,
        "otherwise": claim.otherwise,
        **{name: getattr(verdict, name) for name in _NUMBERS},
        "rests_on": [{"table": rows.table, "where": dict(rows.where)} for rows in verdict.rests_on],
    }


def verdict_sentence(row: Mapping[str, Any]) -> str:
    """`demo-math, HC3 refuted: median tau 0.012 ...`, the reason as the rule gives it; from a row of `claims`."""
    subject = row["model_id"] or f"family {row['family']}"
    return f"{subject}, {row['claim']} {row['verdict']}: {row['reason']}"


def findings_on_claims(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of `findings` made of the rows of `claims` of one subject, in their order."""
    return [
        {
            "family": row["family"],
            "model_id": row["model_id"],
            "page": CLAIMS_PAGE,
            "rank": rank,
            "sentence": verdict_sentence(row),
            "rests_on": row["rests_on"],
        }
        for rank, row in enumerate(rows)
    ]


def findings_on_page(
    page: str, family: str, model_id: str, sentences: Iterable[str], rests_on: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Rows of `findings` about a descendant made of the sentences of one page, which rest on some stored rows."""
    return [
        {
            "family": family,
            "model_id": model_id,
            "page": page,
            "rank": rank,
            "sentence": sentence,
            "rests_on": rests_on,
        }
        for rank, sentence in enumerate(sentences)
    ]
