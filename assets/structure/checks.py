"""Asset checks of the group `structure`: the science's own invariants. One that compared nothing says so."""

from __future__ import annotations

from typing import Any

import dagster as dg

from assets.checking import Rows, row_checks, verdict
from resources.checkpoints import UNEXPLAINED

LARGEST_RESIDUAL = 1e-6
LARGEST_ORTHOGONALITY_ERROR = 2e-6

LARGEST_BUDGET_ERROR = 1e-5
"""Of shares that partly come from float32 products."""

ROUNDING = 1e-9
SHARES = ("share_scale", "share_diagonal", "share_shared", "share_apart", "share_outside")


def reconstruction(rows: Rows) -> dg.AssetCheckResult:
    """Factors rebuild the weight to 1e-6 of its norm."""
    return _bounded("reconstruction", "residual", rows, LARGEST_RESIDUAL)


def orthogonality(rows: Rows) -> dg.AssetCheckResult:
    """Singular vectors are orthonormal to 2e-6."""
    return _bounded("orthogonality", "orthogonality_error", rows, LARGEST_ORTHOGONALITY_ERROR)


def _bounded(check: str, name: str, rows: Rows, bound: float) -> dg.AssetCheckResult:
    known = [row[name] for row in rows if row[name] is not None]  # values alone have neither
    largest = max(known, default=None)
    found = {**({} if largest is None else {name: largest}), "bound": bound}
    return _result(check, "decompositions", bool(rows) and (largest is None or largest <= bound), found, of=len(known))


def positive_scale(rows: Rows) -> dg.AssetCheckResult:
    """Every scale factor that is defined is a positive finite number."""
    values = [row["alpha_least_squares"] for row in rows if row["alpha_least_squares"] is not None]
    bad = [value for value in values if not 0 < value < float("inf")]
    return _result("positive_scale", "scale_statistics", not bad, {"bad": len(bad)}, of=len(values))


def numerical_floor(rows: Rows) -> dg.AssetCheckResult:
    """A model compared with itself has NF exactly 0."""
    with_itself = [row["nf"] for row in rows if row["model_id"] == row["base_id"] and row["nf"] is not None]
    found = {"largest_nf": max(with_itself)} if with_itself else {}
    return _result("numerical_floor", "rotation_statistics", not any(with_itself), found, of=len(with_itself))


def possible_nf(rows: Rows) -> dg.AssetCheckResult:
    """NF lies between 0 and 2, and each has its null."""
    known = [row for row in rows if row["nf"] is not None]
    impossible = [row for row in known if not 0 <= row["nf"] <= 2]
    without_null = [row for row in known if row["relative_change"] and row["nf_over_null"] is None]
    found = {"impossible": len(impossible), "without_null": len(without_null)}
    return _result("possible_nf", "rotation_statistics", not impossible and not without_null, found, of=len(known))


def possible_tau(rows: Rows) -> dg.AssetCheckResult:
    """Tau lies between -1 and 1, and has its p values."""
    known = [row for row in rows if row["tau"] is not None]
    impossible = [row for row in known if not -1 - ROUNDING <= row["tau"] <= 1 + ROUNDING]
    without = [row for row in known if any(not 0 < row[f"p_{tail}"] <= 1 for tail in ("together", "apart"))]
    found = {"impossible": len(impossible), "without_p": len(without)}
    return _result("possible_tau", "agreement", not impossible and not without, found, of=len(known))


def whole_budget(rows: Rows) -> dg.AssetCheckResult:
    """The shares of the change's energy sum to one."""
    sums = [sum(row[name] for name in SHARES) for row in rows if row["share_scale"] is not None]
    farthest = max((abs(total - 1) for total in sums), default=0.0)
    found = {"farthest_from_one": farthest} if sums else {}
    return _result("whole_budget", "agreement", farthest <= LARGEST_BUDGET_ERROR, found, of=len(sums))


def coverage(rows: Rows) -> dg.AssetCheckResult:
    """Every tensor of either checkpoint is accounted for."""
    unexplained = sum(row["parameters"] for row in rows if UNEXPLAINED in row["reason"])
    found = {"parameters": sum(row["parameters"] for row in rows), "unexplained": unexplained}
    return _result("coverage", "tensor_changes", bool(rows) and unexplained == 0, found, of=len(rows))


def _result(check: str, asset: str, passed: bool, found: dict[str, Any], *, of: int) -> dg.AssetCheckResult:
    nothing = "no row of this kind (a base has no change, standard depth no vectors)"
    return verdict(check, asset, passed, found, of=of, nothing=nothing)


CHECKS = [
    row_checks("decompositions", reconstruction, orthogonality),
    row_checks("scale_statistics", positive_scale),
    row_checks("rotation_statistics", numerical_floor, possible_nf),
    row_checks("agreement", possible_tau, whole_budget),
    row_checks("tensor_changes", coverage, tables=("coverage",)),
]
