"""Asset checks of the group `circuits`: interventions whose result is known. One that checked nothing says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dagster as dg

TEXTS = {
    "clean_value": "Patching a head with its clean value changes nothing.",
    "everything": "Patching every head gives the counterfactual's output.",
    "whole_model": "A circuit of all heads is the model: its faithfulness is 1.",
}
"""Checks by name, in the order of the rows of `circuit_checks`."""


def known_interventions(rows: Sequence[dict[str, Any]]) -> list[dg.AssetCheckResult]:
    """One result for each check; they pass where no circuit was looked for."""
    if not rows:
        note = {"note": "nothing to check: no circuit was looked for in this model"}
        return [
            dg.AssetCheckResult(check_name=name, asset_key="circuits", passed=True, metadata=note) for name in TEXTS
        ]
    return [
        dg.AssetCheckResult(
            check_name=name,
            asset_key="circuits",
            passed=row["passed"],
            metadata={"what": row["check"], "error": row["error"], "tolerance": row["tolerance"]},
        )
        for name, row in zip(TEXTS, rows, strict=True)
    ]
