"""Keeping Dagster in step with the family files and the disk: partitions, and the settings that rows depend on."""

import json
from collections.abc import Iterator, Sequence

import dagster as dg

from assets.freshness import settings_version
from assets.groups import model_assets
from assets.materializing import WorkspaceResource, models
from resources.workspace import FORGOTTEN, Workspace
from rotoscale.errors import RotoscaleError

_AT_ONCE = 500
"""Partition keys added by one tick: the databases behind Dagster limit how many values a statement may have."""


def wanted_keys(space: Workspace) -> list[str]:
    """Models that run without being named, bases first."""
    return [entry.id for entry in space.wanted()]


def partition_keys(space: Workspace) -> list[str]:
    """Models that have a partition unasked: what runs without being named, and every release that was taken."""
    releases = [entry.id for entry in space.registry.models.values() if entry.id in space.registry.releases]
    return list(dict.fromkeys([*wanted_keys(space), *(key for key in releases if space.status(key) != FORGOTTEN)]))


def add_keys(instance: dg.DagsterInstance, keys: Sequence[str]) -> list[str]:
    """Add the partition keys that are not there yet; returns those that were new."""
    known = set(instance.get_dynamic_partitions("models"))
    new = [key for key in keys if key not in known]
    for start in range(0, len(new), _AT_ONCE):
        instance.add_dynamic_partitions("models", new[start : start + _AT_ONCE])
    return new


def observations(space: Workspace, keys: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """(external asset, model, version) of everything outside Dagster that a model's rows depend on."""
    sources = {asset.settings_from: asset for asset in model_assets().values() if asset.settings_from}
    for key in keys:
        entry = space.registry.model(key)
        for source, asset in sources.items():
            try:
                yield source, key, settings_version(space, entry, asset)
            except RotoscaleError:
                continue  # the model's own run says what is wrong


@dg.sensor(
    name="registered_models",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Adds a partition for every model of an automatic family file and every release that was taken, and "
    "tells Dagster of family files, task files and checkpoints that changed; a file's mistakes are reported here.",
)
def registered_models(context: dg.SensorEvaluationContext, workspace: WorkspaceResource) -> dg.SensorResult:
    """Add new models and releases to the partition set, some at a time, and observe what they are made from.

    Keys are never deleted, and there are no run keys: what runs is left to the automation.
    """
    try:
        space = workspace.open()
        keys = wanted_keys(space)
        partitions = partition_keys(space)
    except RotoscaleError as error:
        return dg.SensorResult(skip_reason=str(error))
    known = set(context.instance.get_dynamic_partitions("models"))
    new = [key for key in partitions if key not in known][:_AT_ONCE]
    seen: dict[str, str] = json.loads(context.cursor) if context.cursor else {}
    found = {f"{source}:{key}": (source, key, version) for source, key, version in observations(space, keys)}
    events = [
        dg.AssetObservation(source, partition=key, tags={"dagster/data_version": version})
        for name, (source, key, version) in found.items()
        if seen.get(name) != version
    ]
    cursor = json.dumps({name: version for name, (_, _, version) in found.items()})
    if not new and not events:
        return dg.SensorResult(skip_reason=f"all {len(partitions)} models are there, nothing changed")
    return dg.SensorResult(
        dynamic_partitions_requests=[models.build_add_request(new)] if new else [], asset_events=events, cursor=cursor
    )
