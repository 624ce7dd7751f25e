"""Rows of `descendant_relations`: how two descendants of one base changed each of its matrices."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from resources import progress
from resources.comparison import common_matrices
from rotoscale.multiple import benjamini_hochberg

if TYPE_CHECKING:
    from resources.checkpoints import Checkpoint, MatrixKey
    from resources.workspace import Workspace


def descendant_rows(space: Workspace, base: str, a: str, b: str, later: bool) -> list[dict[str, Any]]:
    """One row for each principal matrix that all three models have; `later`: b was trained from a.

    Raises MatrixError when shapes differ or no matrix is common, a checkpoint's own error when it cannot be read.
    """
    from rotoscale.two_changes.compare import two_changes

    checkpoints = [space.checkpoint(model) for model in (base, a, b)]
    common = common_matrices(checkpoints[0], checkpoints[1])
    keys = [key for key in common if key in set(common_matrices(checkpoints[0], checkpoints[2]))]
    rows = []
    for number, key in enumerate(keys):
        found = two_changes(
            *(checkpoint.read(key) for checkpoint in checkpoints),
            dtypes=(_dtype(checkpoints[1], key), _dtype(checkpoints[2], key)),
            later=later,
            seed=space.settings.seed + number,
        )
        place = {"layer": key.layer, "matrix": key.matrix, "expert": key.expert}
        rows.append({"model_a": a, "model_b": b, "base_id": base, **place, **asdict(found)})
        progress.report(f"{a} and {b}: changes", number + 1, len(keys))
    corrected = benjamini_hochberg([row["cosine_p"] for row in rows])
    return [{**row, "cosine_q": q} for row, q in zip(rows, corrected, strict=True)]


def _dtype(checkpoint: Checkpoint, key: MatrixKey) -> str:
    """The format that a matrix is stored in; float32 of what is merged or scaled when it is read."""
    entry = checkpoint.structure.parts[key].entry
    return "float32" if checkpoint.adapter or checkpoint.fp8_scale(entry) else entry.torch_dtype
