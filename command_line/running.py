"""Materializing from the command line: the same assets in the same Dagster instance that the UI shows."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from command_line import interrupts
from resources import progress
from resources.atomic import write_text
from resources.settings import SettingsError, load_settings, torch_device

if TYPE_CHECKING:
    import dagster as dg
    from rich.console import Console

    from resources.workspace import Workspace


@dataclass
class Outcome:
    """What became of a request: models brought up to date, models that were already, and failures with reasons."""

    done: list[str] = field(default_factory=list)
    fresh: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    published: bool = False


def open_workspace() -> Workspace:
    """The workspace of the settings, after checking that the device is there."""
    from assets import groups

    settings = load_settings()
    if settings.device != "cpu":
        os.environ["ROTOSCALE_DEVICE"] = torch_device(settings.device)
        settings = load_settings()
    return groups.open_workspace(settings)


def prepare_home(space: Workspace) -> None:
    """Make Dagster's folder, with the settings of its instance as they are now, and point Dagster at it."""
    home = space.settings.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    try:
        wanted = space.settings.dagster_yaml.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(
            f"{space.settings.dagster_yaml} cannot be read ({error.strerror}); "
            "correct ROTOSCALE_DAGSTER_YAML or unset it"
        ) from error
    configuration = home / "dagster.yaml"
    if not configuration.exists() or configuration.read_text(encoding="utf-8") != wanted:
        write_text(configuration, wanted)
    os.environ["DAGSTER_HOME"] = str(home)


def open_instance(space: Workspace) -> dg.DagsterInstance:
    """The Dagster instance of a workspace, made where there is none; close it by using it in a `with` block.

    One process at a time: two that make it at once leave a database that neither can open again.
    """
    import dagster as dg
    from filelock import FileLock

    space.settings.dagster_home.mkdir(parents=True, exist_ok=True)
    with FileLock(space.settings.dagster_home / ".lock"):
        prepare_home(space)
        return dg.DagsterInstance.get()


def materialize(
    space: Workspace,
    models: Sequence[str],
    console: Console,
    assets: Sequence[str] | None = None,
    shared_too: Sequence[str] = (),
) -> Outcome:
    """Bring models up to date in the order given, each after its references, then what is about several models.

    `assets` narrows what is brought up to date to some assets of the models, and to those of `shared_too` among what
    is about several. A model that fails is reported and the others go on. What is new is published.
    """
    from assets.freshness import is_waiting, pending
    from assets.groups import shared_assets

    outcome = Outcome()
    work: dict[str, list[str]] = {}
    entries = {entry.id: entry for model in models for entry in space.registry.closure([model])}
    for entry in entries.values():
        # A model of the Hub is not downloaded before its turn.
        waiting = pending(space, entry.id, assets, read=not entry.hub)
        if waiting:
            work[entry.id] = waiting
        else:
            outcome.fresh.append(entry.id)
    shared = {name: asset for name, asset in shared_assets().items() if assets is None or name in shared_too}
    if not work and space.published_is_current() and not any(is_waiting(space, one) for one in shared.values()):
        return outcome
    from assets.definitions import defs
    from assets.models.sensors import add_keys
    from assets.slots import watched

    job = defs.resolve_implicit_global_asset_job_def()
    with open_instance(space) as instance, bar(console), watched(instance, console.print):
        add_keys(instance, list(work))
        for model in work:
            # Judged again: what came before may have changed what this one needs.
            waiting = pending(space, model, assets, read=not entries[model].hub)
            failure = _execute(job, instance, waiting, model) if waiting else ""
            if failure:
                outcome.failed[model] = failure
            else:
                outcome.done.append(model)
        waiting = [name for name, asset in shared.items() if is_waiting(space, asset)]
        for name in [*waiting, "warehouse"]:
            failure = _execute(job, instance, [name], None)
            if failure:
                outcome.failed[name] = failure
        outcome.published = not failure
    return outcome


def materialize_shared(space: Workspace, asset: str, console: Console, config: Mapping[str, Any] | None = None) -> str:
    """Run an asset without partitions, out of date or not, and publish; the reason of a failure, or nothing."""
    from assets.definitions import defs
    from assets.slots import watched

    job = defs.resolve_implicit_global_asset_job_def()
    with open_instance(space) as instance, bar(console), watched(instance, console.print):
        ops = {asset: {"config": dict(config)}} if config else None
        return _execute(job, instance, [asset], None, ops) or _execute(job, instance, ["warehouse"], None)


def materialize_pair(space: Workspace, asset: str, pair: str, console: Console) -> str:
    """Make the rows of one pair of models of a shared asset, and publish; the reason of the failure, or nothing."""
    return materialize_shared(space, asset, console, {"only": [pair]})


def _execute(
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    assets: Sequence[str],
    model: str | None,
    ops: Mapping[str, Any] | None = None,
) -> str:
    """Run some assets of one model in this process; the reason of the failure, or nothing."""
    import dagster as dg

    from assets.slots import process_tag

    result = job.execute_in_process(
        instance=instance,
        partition_key=model,
        asset_selection=[dg.AssetKey(asset) for asset in assets],
        tags=process_tag(),
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}, "ops": dict(ops or {})},
        raise_on_error=False,
    )
    interrupts.raise_again()  # Dagster records an interruption as a failure like any other
    if result.success:
        return ""
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            if data.user_failure_data and data.user_failure_data.description:
                return data.user_failure_data.description
            if data.error:
                cause = data.error.cause or data.error
                return f"{cause.cls_name}: {cause.message.strip()} (run {result.run_id} in the Dagster UI)"
    return f"run {result.run_id} failed; see it in the Dagster UI"


@contextmanager
def bar(console: Console) -> Iterator[None]:
    """One progress bar with time left on standard error, fed by whatever work reports."""
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns: tuple[Any, ...] = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=console) as shown:

        def listener(label: str, done: float, total: float) -> None:
            if label not in tasks:
                tasks[label] = shown.add_task(label)
            shown.update(tasks[label], completed=done, total=total)

        with progress.listening(listener):
            yield
