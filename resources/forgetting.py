"""Forgetting a model: its rows, factors and edits go, and a state stays that says so.

The partition key stays in Dagster, whose automation page breaks when keys are deleted, and the model stays away from
whatever runs by itself until somebody names it again.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from resources.edits.shelf import edits_of
from resources.workspace import FORGOTTEN, Workspace
from rotoscale.errors import RotoscaleError

_REASON = "Forgotten on request; `rotoscale run` with its name analyses it again."


class CannotForget(RotoscaleError):  # noqa: N818 (reads as what it says)
    """A model that is not known here, or that others are compared with."""


@dataclass(frozen=True)
class Forgotten:
    """What went: tables with rows, files of the factor store, folders of edits."""

    tables: int
    factors: int
    edits: int


def forget(space: Workspace, model_id: str, run_id: str = "forget") -> Forgotten:
    """Remove what is stored of a model, registered still or no longer, and leave the state `forgotten`.

    Factors of weights that another model has too, its tied base for one, stay.

    Raises CannotForget when nothing is known of the model, or others that are not forgotten are compared with it.
    """
    rows = space.tables.read("models", model_id)
    if not rows:
        raise CannotForget(f"nothing is stored of {model_id}; `rotoscale families` lists what there is")
    dependents = [other for other in _compared_with(space, model_id) if space.status(other) != FORGOTTEN]
    if dependents:
        raise CannotForget(f"{', '.join(dependents)} are compared with {model_id}; forget them first")
    factors = _own_factors(space, model_id)
    for weight in factors:
        space.factors.remove(weight)
    edits = edits_of(space.settings.edits, model_id)
    for folder in edits:
        shutil.rmtree(folder, ignore_errors=True)
    stored = [table for table in space.tables.contract if space.tables.path(table, model_id).exists()]
    space.tables.remove(model_id, [table for table in stored if table != "models"])
    _forget_pairs(space, model_id)
    provenance = ("run_id", "code_version", "materialized_at")
    known = {name: value for name, value in rows[0].items() if name not in provenance}
    space.tables.write(
        "models",
        model_id,
        [{**known, "status": FORGOTTEN, "status_reason": _REASON}],
        run_id=run_id,
        code_version=rows[0]["code_version"],
    )
    return Forgotten(len(stored) - 1, len(factors), len(edits))


def _forget_pairs(space: Workspace, model_id: str) -> None:
    """Remove the rows on pairs of which this model is one."""
    for name, table in space.tables.contract.items():
        if {"model_a", "model_b"} <= set(table.key):
            for pair in space.tables.models(name):
                if any(model_id in (row["model_a"], row["model_b"]) for row in space.tables.read(name, pair)):
                    space.tables.remove(pair, [name])


def _compared_with(space: Workspace, model_id: str) -> list[str]:
    """Other models that have rows against this one."""
    found = []
    for other in space.tables.models("scale_statistics"):
        rows = space.tables.read("scale_statistics", other) if other != model_id else []
        if any(row["base_id"] == model_id for row in rows):
            found.append(other)
    return found


def _own_factors(space: Workspace, model_id: str) -> set[str]:
    """Hashes of the weights that this model alone has."""

    def hashes(model: str) -> set[str]:
        return {row["weight_hash"] for row in space.tables.read("decompositions", model)}

    own = hashes(model_id)
    for other in space.tables.models("decompositions"):
        if own and other != model_id:
            own -= hashes(other)
    return own
