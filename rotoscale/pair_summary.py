"""The numbers that a pair of models is read by, from one row per principal matrix.

Plain rows in, plain numbers out, so that the command line, the assets and the report all read the same ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from rotoscale.agreement_statistics import FULL, STANDARD
from rotoscale.multiple import LEVEL, WORTH_SAYING, called_apart, called_together

UNRELATED_COSINE = 0.1
"""Below this median cosine of the two models' matrices a pair looks unrelated (those of unrelated ones are near 0)."""

_PARTS = ("scale", "diagonal", "shared", "apart", "outside")


@dataclass(frozen=True)
class PairSummary:
    """Plain numbers of one pair over its principal matrices; medians over the matrices that changed, None if unknown.

    relative_change: of all of them taken as one vector; change_by_type: so of each matrix type. budget: shares of
    |dW|^2 by part (scale, diagonal, shared, apart, outside), budget_expected those of white noise, together_by_type:
    by matrix type, how much larger the shared part is than the apart one. lineage, lineage_reason: the verdict on
    whether the two share an initialisation, where it was asked for.
    """

    matrices: int
    changed: int
    depth: str
    dtype: str | None = None
    relative_change: float | None = None
    change_by_type: Mapping[str, float] = field(default_factory=dict)
    cosine: float | None = None
    identical_share: float | None = None
    alpha: float | None = None
    alpha_p05: float | None = None
    alpha_p95: float | None = None
    ratio_cv: float | None = None
    ratio_cv_noise: float | None = None
    with_tau: int = 0
    tau_median: float | None = None
    tau_largest: float | None = None
    tau_smallest: float | None = None
    together: int = 0
    weakly_together: int = 0
    together_without_gains: int | None = None
    apart: int = 0
    budget: Mapping[str, float] = field(default_factory=dict)
    budget_expected: Mapping[str, float] = field(default_factory=dict)
    together_by_type: Mapping[str, float] = field(default_factory=dict)
    principal_over_expected: float | None = None
    nf_over_unrelated: float | None = None
    lineage: str | None = None
    lineage_reason: str | None = None

    @property
    def looks_unrelated(self) -> bool:
        """Whether the weights as stored have nothing in common; permuted relatives look so too."""
        return self.cosine is not None and abs(self.cosine) < UNRELATED_COSINE


def summarise(rows: Sequence[Mapping[str, Any]], dtype: str | None = None) -> PairSummary:
    """The numbers of a pair from one row per principal matrix, columns named as in the warehouse's tables.

    Looked at: matrix, the columns of `agreement` (with q values), relative_change and base_norm, cosine,
    identical_share, alpha_least_squares, ratio_cv, ratio_cv_noise, nf and nf_unrelated; any of them may be missing.
    `dtype` is the post model's, `bfloat16`.
    """
    changed = [row for row in rows if row.get("relative_change") != 0]
    taus = [row for row in changed if row.get("tau") is not None]
    called = [row for row in taus if called_together(row["tau"], row.get("q_together"))]
    significant = [row for row in taus if row["tau"] > 0 and (row.get("q_together") or 0.0) < LEVEL]
    kept = [row for row in called if row.get("p_without_gains") is not None]
    alphas = sorted(_known(changed, "alpha_least_squares"))
    return PairSummary(
        matrices=len(rows),
        changed=len(changed),
        depth=FULL if rows and all(row.get("depth") == FULL for row in rows) else STANDARD,
        dtype=dtype,
        relative_change=whole_change(rows),
        change_by_type=whole_change_by_type(rows),
        cosine=_median(_known(changed, "cosine")),
        identical_share=_median(_known(rows, "identical_share")),
        alpha=_median(alphas),
        alpha_p05=_quantile(alphas, 0.05),
        alpha_p95=_quantile(alphas, 0.95),
        ratio_cv=_median(_known(changed, "ratio_cv")),
        ratio_cv_noise=_median(_known(changed, "ratio_cv_noise")),
        with_tau=len(taus),
        tau_median=_median(_known(taus, "tau")),
        tau_largest=max(_known(taus, "tau"), default=None),
        tau_smallest=min(_known(taus, "tau"), default=None),
        together=len(called),
        weakly_together=len(significant) - len(called),
        together_without_gains=_still_together(kept)
        if kept or any("tau_without_gains" in row for row in called)
        else None,
        apart=sum(called_apart(row["tau"], row.get("q_apart")) for row in taus),
        budget=_shares(changed, "share_{}"),
        budget_expected=_shares(changed, "share_{}_expected"),
        together_by_type=_by_type(changed, _excess),
        principal_over_expected=_median(
            [
                row["principal_share"] / row["principal_share_expected"]
                for row in changed
                if row.get("principal_share_expected")
            ]
        ),
        nf_over_unrelated=_median([row["nf"] / row["nf_unrelated"] for row in changed if row.get("nf") is not None]),
    )


def whole_change(rows: Iterable[Mapping[str, Any]]) -> float | None:
    """|post - base| / |base| of several matrices taken as one vector (docs/methods.md, section 2); None if unknown."""
    known = [row for row in rows if row.get("relative_change") is not None and row.get("base_norm") is not None]
    norm = math.sqrt(sum(row["base_norm"] ** 2 for row in known))
    return math.sqrt(sum((row["relative_change"] * row["base_norm"]) ** 2 for row in known)) / norm if norm else None


def whole_change_by_type(rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """The change of each matrix type; types of which it is unknown are left out."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if "matrix" in row:
            groups.setdefault(row["matrix"], []).append(row)
    found = {kind: whole_change(group) for kind, group in groups.items()}
    return {kind: change for kind, change in found.items() if change is not None}


def _still_together(rows: Iterable[Mapping[str, Any]]) -> int:
    return sum(row["tau_without_gains"] > WORTH_SAYING and row["p_without_gains"] < LEVEL for row in rows)


def _excess(row: Mapping[str, Any]) -> float | None:
    return None if row.get("share_shared") is None else row["share_shared"] - row["share_apart"]


def _shares(rows: Sequence[Mapping[str, Any]], name: str) -> dict[str, float]:
    """Mean shares, which still sum to one as medians would not."""
    found = {part: _known(rows, name.format(part)) for part in _PARTS}
    return {part: sum(values) / len(values) for part, values in found.items()} if all(found.values()) else {}


def _by_type(rows: Sequence[Mapping[str, Any]], value: Callable[[Mapping[str, Any]], float | None]) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for row in rows:
        number = value(row)
        if "matrix" in row and number is not None:
            found.setdefault(row["matrix"], []).append(number)
    return {kind: median(values) for kind, values in found.items()}


def _known(rows: Iterable[Mapping[str, Any]], name: str) -> list[float]:
    return [row[name] for row in rows if row.get(name) is not None]


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def _quantile(ordered: Sequence[float], q: float) -> float | None:
    """Linear interpolation between the ordered values, as numpy's."""
    if not ordered:
        return None
    at = q * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (at - low) * (ordered[high] - ordered[low])
