"""Rows of `lineage`: two registered models tested, or why they could not be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resources import progress
from resources.families import ModelEntry
from rotoscale.errors import RotoscaleError
from rotoscale.lineage.result import UNDECIDED, Lineage

if TYPE_CHECKING:
    from resources.workspace import Workspace


def lineage_row(space: Workspace, a: ModelEntry, b: ModelEntry) -> dict[str, Any]:
    """The row of a pair of catalogued models; one that cannot be read has its reason in it, and others go on."""
    from resources.lineage.comparing import lineage

    try:
        found = lineage(
            space.checkpoint(a.id),
            space.checkpoint(b.id),
            names=(a.id, b.id),
            seed=space.settings.seed,
            report=lambda done, total: progress.report(f"{a.id} and {b.id}: lineage", done, total),
        )
    except RotoscaleError as error:
        found = Lineage(verdict=UNDECIDED, reason=str(error))
    return {"model_a": a.id, "model_b": b.id, **vars(found)}
