"""Asset checks of the group `circuits`: interventions whose result is known. One that checked nothing says so."""

from __future__ import annotations

import dagster as dg

from assets.checking import Rows, row_checks

_ORDER = ("clean_value", "everything", "whole_model")
"""Checks by name, in the order of the rows of `circuit_checks`."""


def clean_value(rows: Rows) -> dg.AssetCheckResult:
    """Patching a head with its clean value changes nothing."""
    return _known("clean_value", rows)


def everything(rows: Rows) -> dg.AssetCheckResult:
    """Patching every head gives the counterfactual's output."""
    return _known("everything", rows)


def whole_model(rows: Rows) -> dg.AssetCheckResult:
    """A circuit of all heads is the model: its faithfulness is 1."""
    return _known("whole_model", rows)


def _known(name: str, rows: Rows) -> dg.AssetCheckResult:
    """The result of one intervention; it passes where no circuit was looked for."""
    if not rows:
        nothing = "no circuit was looked for in this model"
        return dg.AssetCheckResult(
            check_name=name,
            asset_key="circuits",
            passed=True,
            metadata={"compared": 0, "note": f"nothing to check: {nothing}"},
            description=f"Compared nothing: {nothing}.",
        )
    row = rows[_ORDER.index(name)]
    return dg.AssetCheckResult(
        check_name=name,
        asset_key="circuits",
        passed=row["passed"],
        metadata={"compared": 1, "what": row["check"], "error": row["error"], "tolerance": row["tolerance"]},
    )


CHECKS = [row_checks("circuits", clean_value, everything, whole_model, tables=("circuit_checks",))]
