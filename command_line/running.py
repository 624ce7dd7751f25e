"""Materializing from the command line: the same assets in the same Dagster instance that the UI shows."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from command_line import interrupts
from resources import progress
from resources.atomic import write_text
from resources.settings import SettingsError, load_settings, torch_device

if TYPE_CHECKING:
    import dagster as dg
    from rich.console import Console

    from resources.families.local import Registration
    from resources.workspace import Workspace


_ENDED_BARS = 8
"""Bars of finished work that stay in sight: all are drawn anew at every step, and work on pairs has hundreds."""


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


def compare_pair(space: Workspace, registration: Registration, console: Console) -> None:
    """Bring one comparison of weights up to date: the pair's statistics, its verdicts and its sentences; publish them.

    Raises RotoscaleError where that fails; what was registered for it is then taken back, with all its rows.
    """
    from assets.groups import structural_assets
    from resources.families import pair_key
    from resources.warehouse import read
    from resources.warehouse.pair_rows import read_pair_rows
    from rotoscale.errors import RotoscaleError

    base, post = (entry.id for entry in registration)

    def bring(shared: Mapping[str, Sequence[str] | None]) -> None:
        outcome = materialize(space, [post], console, structural_assets(), shared, one_off=True)
        if outcome.failed:
            raise RotoscaleError("; ".join(f"{model}: {reason}" for model, reason in outcome.failed.items()))

    said = {"claims": [post], "findings": [post]}
    try:
        bring(said)
        with read(space.settings.published) as connection:
            found = read_pair_rows(connection, post, base)
        if found.lineage is None and found.summary.looks_unrelated:
            bring({"lineage": [pair_key(base, post)], **said})
    except RotoscaleError:
        for model in registration.undo():
            space.tables.remove(model)
        raise


def materialize(
    space: Workspace,
    models: Sequence[str],
    console: Console,
    assets: Sequence[str] | None = None,
    shared: Mapping[str, Sequence[str] | None] = MappingProxyType({}),
    one_off: bool = False,
) -> Outcome:
    """Bring models up to date in the order given, each after its references, then what is about several models.

    `assets` narrows what is brought up to date to some assets of the models, and to those named in `shared` among the
    assets without partitions: of each the rows under these keys, or under all with None. A model that fails is reported
    and the others go on. What is new is published.

    A `one_off` comparison is published only where nothing failed, goes without pictures for Dagster's pages, and has
    its work on matrices begun at once, before Dagster is there.
    """
    from assets.freshness import is_waiting, pending
    from assets.groups import shared_assets
    from resources.structure import begin

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
    keys = dict.fromkeys(shared_assets()) if assets is None else {n: shared[n] for n in shared_assets() if n in shared}

    def waits(name: str) -> bool:
        return is_waiting(space, shared_assets()[name], keys[name])

    if not work and space.published_is_current() and not any(map(waits, keys)):
        return outcome
    space.prepare_workers(work)
    if one_off:
        begin(space, list(work))
    from assets.definitions import defs
    from assets.models.sensors import add_keys
    from assets.slots import watched

    job = defs.resolve_implicit_global_asset_job_def()
    with open_instance(space) as instance, bar(console), watched(instance, console.print):
        add_keys(instance, list(work))
        for model in work:
            # Judged again: what came before may have changed what this one needs.
            waiting = pending(space, model, assets, read=not entries[model].hub)
            failure = _execute(job, instance, waiting, model, figures=not one_off) if waiting else ""
            if failure:
                outcome.failed[model] = failure
            else:
                outcome.done.append(model)
        if one_off and outcome.failed:
            return outcome
        for name in [*keys, "warehouse"]:
            # One after the other: what a later one reads, an earlier one may make.
            if name in keys and not waits(name):
                continue
            failure = _execute(job, instance, [name], None, keys.get(name))
            if failure:
                outcome.failed[name] = failure
        outcome.published = not failure
    return outcome


def materialize_shared(space: Workspace, asset: str, console: Console) -> str:
    """Run an asset without partitions, out of date or not, and publish; the reason of a failure, or nothing."""
    from assets.definitions import defs
    from assets.slots import watched

    job = defs.resolve_implicit_global_asset_job_def()
    with open_instance(space) as instance, bar(console), watched(instance, console.print):
        return _execute(job, instance, [asset], None) or _execute(job, instance, ["warehouse"], None)


def _execute(
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    assets: Sequence[str],
    model: str | None,
    only: Sequence[str] | None = None,
    figures: bool = True,
) -> str:
    """Run some assets of one model, or rows of a shared one, in this process; the reason of the failure, or nothing."""
    import dagster as dg

    from assets.materializing import NO_FIGURES
    from assets.materializing_shared import only_tag
    from assets.slots import process_tag

    result = job.execute_in_process(
        instance=instance,
        partition_key=model,
        asset_selection=[dg.AssetKey(asset) for asset in assets],
        tags=process_tag() | only_tag(only) | ({} if figures else {NO_FIGURES: "true"}),
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
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
    from rich.table import Column

    columns: tuple[Any, ...] = (
        # Where the line is too short, the description is wrapped: times and shares are kept whole.
        TextColumn("{task.description}", markup=False, table_column=Column(overflow="fold")),
        BarColumn(bar_width=40 if console.width >= 120 else 10, table_column=Column(no_wrap=True)),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(table_column=Column(no_wrap=True)),
        TextColumn("left"),
        TimeRemainingColumn(table_column=Column(no_wrap=True)),
    )
    tasks: dict[str, TaskID] = {}
    ended: dict[str, None] = {}
    with Progress(*columns, console=console) as shown:

        def listener(label: str, done: float, total: float) -> None:
            if label not in tasks:
                tasks[label] = shown.add_task(label)
            shown.update(tasks[label], completed=done, total=total)
            ended.pop(label, None)
            if done >= total:
                ended[label] = None
                if len(ended) > _ENDED_BARS:
                    oldest = next(iter(ended))
                    del ended[oldest]
                    shown.remove_task(tasks.pop(oldest))

        with progress.listening(listener):
            yield
