"""Asset checks of the group `models`."""

from __future__ import annotations

import dagster as dg

from assets.checking import Rows, row_checks, verdict

NOT_FINITE = "NaN or infinite"
"""What the reason of a checkpoint says that was refused for such weights (resources/checkpoints/tensors.py)."""


def finite_weights(rows: Rows) -> dg.AssetCheckResult:
    """Every weight of every tensor is a finite number: the whole checkpoint was read, and nothing else was found."""
    read = [row for row in rows if row["status"] == "ready"]
    broken = [row["status_reason"] for row in rows if NOT_FINITE in (row["status_reason"] or "")]
    return verdict(
        "finite_weights",
        "checkpoints",
        not broken,
        {"reason": broken[0]} if broken else {},
        of=sum(row["n_parameters"] or 0 for row in read) + len(broken),
        nothing="no checkpoint that was read to its end",
    )


CHECKS = [row_checks("checkpoints", finite_weights, tables=("models",))]
