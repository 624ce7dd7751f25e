"""What assets without partitions share: they are about several models, and make only what is out of date."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dagster as dg

from assets.automation import fill_pending_keys
from assets.freshness import obsolete_keys, pending_keys, shared_fingerprint
from assets.groups import SharedAsset, model_assets, shared_assets, tables_of
from assets.materializing import OWNERS, WorkspaceResource, column_schemas, dashboard_page, described
from assets.trying import failure
from resources import progress
from resources.workspace import Workspace, fingerprint
from rotoscale.errors import RotoscaleError

_ONLY_TAG = "rotoscale/keys"


def only_tag(keys: Sequence[str] | None) -> dict[str, str]:
    """Tags of a run that makes the rows of these keys alone; None means all that are out of date."""
    return {} if keys is None else {_ONLY_TAG: json.dumps(list(keys))}


def shared_spec(name: str, group: str, text: str, *kinds: str) -> dg.AssetSpec:
    """The declared shared asset `name` as Dagster takes it."""
    asset = shared_assets()[name]
    partitioned = [
        dg.AssetDep(dep, partition_mapping=dg.AllPartitionMapping()) for dep in asset.after if dep in model_assets()
    ]
    return dg.AssetSpec(
        name,
        deps=[*partitioned, *(dep for dep in asset.after if dep in shared_assets())],
        group_name=group,
        kinds={*kinds, "parquet"},
        code_version=asset.version,
        automation_condition=fill_pending_keys(),
        description=described(name, text),
        metadata=column_schemas(name) | dashboard_page(asset.page),
        owners=OWNERS,
        tags={"rotoscale/scope": "several-models"},
    )


@dataclass
class SharedMaterialization:
    """One pass of a shared asset over the keys whose rows are out of date.

    subjects: what there should be rows for, by key, listed once for the whole pass.
    pending: keys of those that are out of date.
    """

    context: dg.AssetExecutionContext
    space: Workspace
    asset: SharedAsset
    subjects: Mapping[str, Any]
    pending: list[str]

    def write(self, key: str, rows: Mapping[str, Sequence[Mapping[str, Any]]], made_from: str) -> None:
        """Replace the rows of a key; `made_from` is its `fingerprint`, taken before the work."""
        for table in tables_of(self.asset.name):
            self.space.tables.write(
                table,
                key,
                rows.get(table, ()),
                run_id=self.context.run_id,
                code_version=self.asset.version,
                fingerprint=made_from,
            )

    def fingerprint(self, key: str) -> str:
        """What the rows of a key are made from now."""
        return shared_fingerprint(self.space, self.asset, key, self.subjects[key])

    def remove_others(self) -> list[str]:
        """Remove the rows of keys that there should be no rows for any more; returns them."""
        gone = obsolete_keys(self.space, self.asset)
        for key in gone:
            self.space.tables.remove(key, tables_of(self.asset.name))
        return gone

    def result(self, metadata: Mapping[str, Any], checks: Sequence[dg.AssetCheckResult] = ()) -> dg.MaterializeResult:
        """What Dagster is told; the data version is that of all rows together."""
        found = [
            self.space.tables.fingerprint(table, key)
            for table in tables_of(self.asset.name)
            for key in self.space.tables.models(table)
        ]
        return dg.MaterializeResult(
            asset_key=self.asset.name,
            metadata=dict(metadata),
            check_results=list(checks),
            data_version=dg.DataVersion(fingerprint(found)),
        )


@contextmanager
def materializing_shared(
    context: dg.AssetExecutionContext, workspace: WorkspaceResource, name: str
) -> Iterator[SharedMaterialization]:
    """One pass over what is out of date of a shared asset."""
    try:
        space = workspace.open()
        with progress.logging_to(context.log.info):
            asset = shared_assets()[name]
            only = json.loads(context.run.tags.get(_ONLY_TAG, "null"))
            subjects = asset.subjects(space)
            pending = [key for key in pending_keys(space, asset, only) if key in subjects]
            yield SharedMaterialization(context, space, asset, subjects, pending)
    except RotoscaleError as error:
        raise failure(error) from error
