"""One number per model and quantity, for Dagster's plots over partitions: what a model can do, what edits did to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assets.structure.scalars import known

Rows = Sequence[Mapping[str, Any]]

LEVEL = 0.05


def edits(rows: Rows) -> dict[str, float]:
    """How many edits there are, and how far each plain one is from the post model."""
    made = [row for row in rows if row.get("weight_error") is not None and not row["is_control"]]
    return {
        "edits": sum(not row["is_control"] for row in rows),
        "controls": sum(bool(row["is_control"]) for row in rows),
        **known(**{f"weight_error/{row['label']}": row["weight_error"] for row in made}),
    }


def controls(tests: Rows) -> dict[str, float]:
    """Of the tests of an edit on a task against the deciding control, in how many the edit hurts more (q < 0.05)."""
    from resources.evaluation.drawn_controls import MIRROR

    found = [row["q_difference"] for row in tests if row["control"] == MIRROR and row["q_difference"] is not None]
    return {"tested_against_mirror": len(found), "worse_than_mirror": sum(q < LEVEL for q in found)} if found else {}


def scores(rows: Rows, model: str) -> dict[str, float]:
    """The model's own score on each task, by the task's first metric."""
    own = [row for row in rows if row["subject_id"] == model and row["is_primary"] and row["status"] == "ready"]
    return known(**{f"score/{row['task']}": row["value"] for row in own})


def gains(rows: Rows) -> dict[str, float]:
    """The share of a gain that each edit keeps or recovers, on tasks where there is one; of recipes made once."""
    return known(
        **{
            f"recovered_gain/{row['recipe']}/{row['task']}": row["gain"]
            for row in rows
            if row["trained"] and row["recipe"] != "interpolate"
        }
    )
