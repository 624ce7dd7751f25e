"""Group `models`: every checkpoint resolved, validated and catalogued, or quarantined with its reason."""

from typing import Any

import dagster as dg

from assets.common import CODE_VERSION, WorkspaceResource, failure, fill_missing, models, write
from assets.freshness import checkpoint_fingerprint
from resources import progress
from resources.families import ModelEntry
from resources.workspace import Workspace
from rotoscale.errors import RotoscaleError


@dg.asset(
    partitions_def=models,
    group_name="models",
    kinds={"safetensors"},
    code_version=CODE_VERSION,
    automation_condition=fill_missing,
    check_specs=[
        dg.AssetCheckSpec(
            "finite_weights",
            asset="checkpoints",
            description="Every weight of every tensor is a finite number.",
            partitions_def=models,
        )
    ],
)
def checkpoints(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult:
    """Resolve a checkpoint (local folder, Hub snapshot, adapter on its base), verify every tensor, catalogue it."""
    space = workspace.open()
    try:
        entry = space.registry.model(context.partition_key)
    except RotoscaleError as error:
        raise failure(error) from error
    try:
        with progress.logging_to(context.log.info):
            row = catalogue(space, entry)
        write(context, space, "models", entry.id, [row], checkpoint_fingerprint(space, entry))
    except RotoscaleError as error:
        row = {**_registered(entry), "status": "quarantined", "status_reason": str(error)}
        write(context, space, "models", entry.id, [row])
        raise failure(error) from error
    return dg.MaterializeResult(
        metadata={
            "parameters": row["n_parameters"],
            "architecture": row["architecture"],
            "dtype": row["dtype"],
            "layers": row["n_layers"],
            "source": row["source"],
            "revision": row["revision"] or "local",
            "content_hash": row["content_hash"],
        },
        check_results=[
            dg.AssetCheckResult(
                check_name="finite_weights", passed=True, metadata={"parameters_read": row["n_parameters"]}
            )
        ],
    )


def catalogue(space: Workspace, entry: ModelEntry) -> dict[str, Any]:
    """Row of `models` for a checkpoint whose every tensor has just been read.

    Raises RotoscaleError when anything about it is unusable.
    """
    checkpoint = space.checkpoint(entry.id)
    checkpoint.matrices()
    verified = checkpoint.verify_and_hash(lambda done, total: progress.report(f"{entry.id}: reading", done, total))
    return {
        **_registered(entry),
        "revision": space.revision(entry),
        "architecture": checkpoint.architecture,
        "dtype": checkpoint.dtype,
        "n_layers": checkpoint.n_layers,
        "hidden_size": checkpoint.hidden_size,
        "n_heads": checkpoint.n_heads,
        "n_kv_heads": checkpoint.n_kv_heads,
        "n_parameters": checkpoint.n_parameters,
        "content_hash": verified.content_hash,
        "status": "ready",
        "status_reason": "",
    }


def ensure_catalogued(context: dg.AssetExecutionContext, space: Workspace, model_id: str) -> None:
    """Catalogue a reference that was not read yet: automation may start a descendant's run before its base's.

    Writes the row that the base's own run would write. Raises NotReady when the reference is quarantined already,
    and the checkpoint's own error when it turns out bad now.
    """
    if not space.tables.read("models", model_id):
        entry = space.registry.model(model_id)
        row = catalogue(space, entry)
        write(context, space, "models", model_id, [row], checkpoint_fingerprint(space, entry))
    space.facts(model_id)


def _registered(entry: ModelEntry) -> dict[str, Any]:
    """What the registry alone knows of a model."""
    return {
        "model_id": entry.id,
        "family": entry.family,
        "role": entry.role,
        "base_id": entry.id if entry.role == "base" else entry.base,
        "method": entry.method,
        "source": entry.source,
    }
