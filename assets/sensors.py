"""Keeping the partition set in step with the family files: a registered model appears in the UI by itself."""

from collections.abc import Sequence

import dagster as dg

from assets.common import WorkspaceResource, models
from resources.workspace import Workspace
from rotoscale.errors import RotoscaleError


def automatic_keys(space: Workspace) -> list[str]:
    """Models that run without being named: those of automatic families, bases first."""
    return [entry.id for entry in space.registry.automatic()]


def add_keys(instance: dg.DagsterInstance, keys: Sequence[str]) -> list[str]:
    """Add the partition keys that are not there yet; returns those that were new."""
    known = set(instance.get_dynamic_partitions("models"))
    new = [key for key in keys if key not in known]
    if new:
        instance.add_dynamic_partitions("models", new)
    return new


@dg.sensor(
    name="registered_models",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Adds a partition for every model of an automatic family file; a file's mistakes are reported here.",
)
def registered_models(context: dg.SensorEvaluationContext, workspace: WorkspaceResource) -> dg.SensorResult:
    """Add new models of automatic families to the partition set."""
    try:
        keys = automatic_keys(workspace.open())
    except RotoscaleError as error:
        return dg.SensorResult(skip_reason=str(error))
    known = set(context.instance.get_dynamic_partitions("models"))
    new = [key for key in keys if key not in known]
    if not new:
        return dg.SensorResult(skip_reason=f"all {len(keys)} models of automatic families are there")
    return dg.SensorResult(dynamic_partitions_requests=[models.build_add_request(new)])
