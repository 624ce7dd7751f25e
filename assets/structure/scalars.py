"""One number per model and quantity, for Dagster's plots over partitions: a leaderboard of the models.

Medians are over the principal matrices of a model against its own base; what cannot be measured is left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from assets.structure.plots import median
from rotoscale.multiple import called_apart, called_together

Rows = Sequence[Mapping[str, Any]]


def scale(rows: Rows, base: str) -> dict[str, float]:
    """Scale factor and how evenly it applies, with what noise of the change's size would give."""
    own = _against(rows, base)
    return known(
        alpha=median([row["alpha_median"] for row in own]),
        ratio_cv=median([row["ratio_cv"] for row in own]),
        ratio_cv_noise=median([row["ratio_cv_noise"] for row in own]),
    )


def rotation(rows: Rows, base: str) -> dict[str, float]:
    """NF, and NF over its null."""
    own = _against(rows, base)
    return known(nf=median([row["nf"] for row in own]), nf_over_null=median([row["nf_over_null"] for row in own]))


def agreement(rows: Rows, base: str) -> dict[str, float]:
    """Left-right agreement, the matrices that agree after correction, and the shares of energy."""
    own = _against(rows, base)
    return known(
        median_tau=median([row["tau"] for row in own]),
        matrices_with_tau=sum(row["tau"] is not None for row in own),
        changed_together=sum(called_together(row["tau"], row["q_together"]) for row in own),
        changed_apart=sum(called_apart(row["tau"], row["q_apart"]) for row in own),
        share_scale=median([row["share_scale"] for row in own]),
        share_shared=median([row["share_shared"] for row in own]),
        share_shared_noise=median([row["share_shared_expected"] for row in own]),
    )


def changes(rows: Rows, base: str) -> dict[str, float]:
    """The change of all principal matrices taken as one vector, and of the tensors that were left as they were."""
    own = _against(rows, base)
    principal = [row for row in own if row["principal"]]
    weighed = [row for row in principal if row["relative_change"] is not None]
    all_of_base = sum(row["base_norm"] ** 2 for row in weighed)
    moved = sum((row["relative_change"] * row["base_norm"]) ** 2 for row in weighed)
    return known(
        relative_change=math.sqrt(moved / all_of_base) if all_of_base else None,
        identical_share=median([row["identical_share"] for row in principal]),
        untouched_tensors=sum(row["identical_share"] == 1 for row in own),
    )


def known(**numbers: float | None) -> dict[str, float]:
    """Those numbers that there are and that can be drawn, whole numbers as such."""
    return {name: value for name, value in numbers.items() if value is not None and math.isfinite(value)}


def _against(rows: Rows, base: str) -> list[Mapping[str, Any]]:
    return [row for row in rows if row["base_id"] == base]
