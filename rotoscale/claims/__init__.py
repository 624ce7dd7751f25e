"""The claims of the two papers, each with the rule by which a descendant or a family supports or refutes it.

    from rotoscale.claims import CLAIMS, Evidence

    evidence = Evidence("demo", "demo-math", "demo-base", {"agreement": rows, "models": models})
    CLAIMS["HC3"].judge(evidence).verdict              # supported, refuted, undecided, not tested

Adding one: a new file here with `CLAIM = Claim(...)`. It is found by itself, and the table of claims, the sentences,
the pages and docs/claims.md's test follow. Rules are written down before the numbers are looked at, and a changed rule
gets a new `rule_version`. docs/methods.md, section 7; every rule in words: docs/claims.md.
"""

from importlib import import_module
from pkgutil import iter_modules

from rotoscale.claims.claim import (
    NOT_TESTED,
    REFUTED,
    SUPPORTED,
    UNDECIDED,
    WORDS,
    Claim,
    Evidence,
    Row,
    Rows,
    Verdict,
    not_tested,
)

_MODULES = [import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__)]
_FOUND = [module.CLAIM for module in _MODULES if isinstance(getattr(module, "CLAIM", None), Claim)]
_ORDER = ("HC", "EP")


def _place(claim: Claim) -> tuple[int, str, int]:
    """By paper, then by number."""
    paper, number = claim.name.rstrip("0123456789"), claim.name.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    return (_ORDER.index(paper) if paper in _ORDER else len(_ORDER), paper, int(number or 0))


CLAIMS: dict[str, Claim] = {claim.name: claim for claim in sorted(_FOUND, key=_place)}
"""Every claim by name: HC1 to HC8, EP1 to EP4, then any others."""


def tables_read() -> tuple[str, ...]:
    """The tables that the rules read, each once."""
    return tuple(dict.fromkeys(table for claim in CLAIMS.values() for table in claim.tables))


def judge(evidence: Evidence) -> list[tuple[Claim, Verdict]]:
    """Every claim that is judged of such a subject, a descendant or a family, in order, with its verdict."""
    scope = "model" if evidence.model_id else "family"
    return [(claim, claim.judge(evidence)) for claim in CLAIMS.values() if claim.scope == scope]


__all__ = [
    "CLAIMS",
    "NOT_TESTED",
    "REFUTED",
    "SUPPORTED",
    "UNDECIDED",
    "WORDS",
    "Claim",
    "Evidence",
    "Row",
    "Rows",
    "Verdict",
    "judge",
    "not_tested",
    "tables_read",
]
