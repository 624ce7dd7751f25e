"""Materializing assets in a test as Dagster does: an instance of its own, the project's definitions, one partition."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg

from assets.definitions import defs
from assets.materializing import WorkspaceResource


def materialize(
    data: Path, families: Path, model: str | None, *assets: str, config: dict[str, Any] | None = None
) -> dg.ExecuteInProcessResult:
    """Materialize some assets of one model, or of none, with their checks; a failure is a result, not an exception."""
    made = [one for one in defs.assets or [] if isinstance(one, dg.AssetsDefinition)]
    selected = [one for one in made if {key.to_user_string() for key in one.keys} & set(assets)]
    checks = [
        one
        for one in defs.asset_checks or []
        if isinstance(one, dg.AssetChecksDefinition)
        and {key.asset_key.to_user_string() for key in one.check_keys} & set(assets)
    ]
    with dg.DagsterInstance.ephemeral() as instance:
        if model:
            instance.add_dynamic_partitions("models", [model])
        return dg.materialize(
            [*selected, *checks],
            instance=instance,
            partition_key=model,
            resources={"workspace": WorkspaceResource(data=str(data), families=str(families))},
            selection=list(assets),
            run_config={"ops": {name: {"config": values} for name, values in (config or {}).items()}},
            raise_on_error=False,
        )
