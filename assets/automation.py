"""What Dagster does by itself: fill what is out of date by the rule of `freshness`, and publish what is new.

The conditions are states, not events: nothing is forgotten that happens while a run or the daemon is busy or down.
Only models of automatic families are filled; a pair that somebody compared once stays as it was asked for.
"""

from __future__ import annotations

import warnings
from collections.abc import Set
from datetime import UTC, datetime
from functools import lru_cache

import dagster as dg
from dagster._core.definitions.events import AssetKeyPartitionKey

from assets.freshness import is_waiting, pending
from assets.groups import model_assets, open_workspace, shared_assets
from assets.publishing import is_published
from assets.trying import held
from resources.settings import load_settings
from rotoscale.errors import RotoscaleError

# Conditions of our own need a sensor in the code location, which this version calls beta.
warnings.filterwarnings("ignore", category=dg.BetaWarning)


class OutOfDate(dg.AutomationCondition):
    """True for the partitions of an asset that `rotoscale run` would make too."""

    @property
    def name(self) -> str:
        """How the UI names the condition."""
        return "out_of_date"

    def evaluate(self, context: dg.AutomationContext) -> dg.AutomationResult:
        """The candidates among the models of automatic families whose rows are missing or out of date."""
        waiting = _waiting(context.asset_graph_view.effective_dt).get(context.key.to_user_string(), frozenset())
        known = waiting & set(context.candidate_subset.expensively_compute_partition_keys())
        view, key = context.asset_graph_view, context.key
        subset = view.get_asset_subset_from_asset_partitions(
            key, {AssetKeyPartitionKey(key, partition) for partition in known}
        )
        return dg.AutomationResult(context, subset)


class WaitIsOver(dg.AutomationCondition):
    """True for the partitions of models that waited for the Hub or for their base, once it may be asked again."""

    @property
    def name(self) -> str:
        """How the UI names the condition."""
        return "wait_is_over"

    def evaluate(self, context: dg.AutomationContext) -> dg.AutomationResult:
        """The candidates among the models whose time has come."""
        view, key = context.asset_graph_view, context.key
        known = _wait_is_over(view.effective_dt) & set(context.candidate_subset.expensively_compute_partition_keys())
        subset = view.get_asset_subset_from_asset_partitions(
            key, {AssetKeyPartitionKey(key, partition) for partition in known}
        )
        return dg.AutomationResult(context, subset)


class PendingKeys(dg.AutomationCondition):
    """True while a shared asset has rows that are missing or out of date, or that should go."""

    @property
    def name(self) -> str:
        """How the UI names the condition."""
        return "pending_keys"

    def evaluate(self, context: dg.AutomationContext) -> dg.AutomationResult:
        """The whole asset, or nothing."""
        asset = shared_assets()[context.key.to_user_string()]
        try:
            waits = is_waiting(open_workspace(load_settings()), asset)
        except RotoscaleError:
            waits = False
        return dg.AutomationResult(context, context.candidate_subset if waits else context.get_empty_subset())


class Unpublished(dg.AutomationCondition):
    """True while there are finished tables, or failures, that the published file does not hold."""

    @property
    def name(self) -> str:
        """How the UI names the condition."""
        return "unpublished"

    def evaluate(self, context: dg.AutomationContext) -> dg.AutomationResult:
        """The whole asset, or nothing."""
        space = open_workspace(load_settings())
        is_new = any(space.tables.files(table) for table in space.tables.contract) and not is_published(space)
        return dg.AutomationResult(context, context.candidate_subset if is_new else context.get_empty_subset())


@lru_cache(maxsize=1)
def _waiting(tick: datetime) -> dict[str, Set[str]]:
    """Models that wait and are not given up, by asset; judged once per tick.

    Files that changed are not hashed here: they wait too.
    """
    found: dict[str, set[str]] = {name: set() for name in model_assets()}
    try:
        space = open_workspace(load_settings())
        for entry in space.wanted():
            waiting = pending(space, entry.id, read=False)
            given_up = held(space, entry, waiting)
            for asset in waiting:
                if asset not in given_up:
                    found[asset].add(entry.id)
    except RotoscaleError:
        return {}  # a family file with a typo: the sensor of registered models reports it
    return dict(found)


@lru_cache(maxsize=1)
def _wait_is_over(tick: datetime) -> Set[str]:
    """Models that waited for the Hub and may be fetched now, and what is compared with them; judged once per tick."""
    try:
        space = open_workspace(load_settings())
        over = {entry.id for entry in space.registry.models.values() if space.wait_is_over(entry.id, datetime.now(UTC))}
        return {entry.id for entry in space.wanted() if over.intersection((entry.id, *entry.dependencies))}
    except RotoscaleError:
        return set()


def fill_out_of_date() -> dg.AutomationCondition:
    """For assets with a partition per model: fill what is out of date, once what it needs is there or on its way.

    What failed is not tried again by itself, but for a model that the Hub wanted to be asked for later. What is there
    is judged by the rows, and not by Dagster's books: a process that is killed between writing rows and saying so
    leaves rows that nothing makes again, and what needs them would wait for the saying for ever.
    """
    not_there = OutOfDate() & ~dg.AutomationCondition.will_be_requested()
    return (
        OutOfDate()
        & ~dg.AutomationCondition.in_progress()
        & (~dg.AutomationCondition.execution_failed() | WaitIsOver())
        & ~dg.AutomationCondition.any_deps_match(not_there)
        & ~dg.AutomationCondition.any_deps_in_progress()
    )


def fill_pending_keys() -> dg.AutomationCondition:
    """For shared assets, once what they need is not being made any more."""
    return (
        PendingKeys()
        & ~dg.AutomationCondition.in_progress()
        & ~dg.AutomationCondition.execution_failed()
        & ~dg.AutomationCondition.any_deps_in_progress()
    )


def publish_what_is_new() -> dg.AutomationCondition:
    """For the published file."""
    return Unpublished() & ~dg.AutomationCondition.in_progress() & ~dg.AutomationCondition.execution_failed()


def automation_sensors() -> list[dg.AutomationConditionSensorDefinition]:
    """What fills the models, which may be left to the nights, and what goes on from there, which never is."""
    models = dg.AssetSelection.assets(*model_assets())
    return [
        _sensor(
            "fill_out_of_date",
            models,
            "Makes what is missing or out of date of every model of an automatic family, by the same rule as "
            "`rotoscale run`. Off where `ROTOSCALE_FILL` leaves it to the nights.",
            running=load_settings().fill == "always",
        ),
        _sensor(
            "publish_what_is_new",
            dg.AssetSelection.all() - models,
            "Makes verdicts, sentences and what else is about several models, and publishes all finished tables as "
            "the next DuckDB file.",
            running=True,
        ),
    ]


def _sensor(
    name: str, target: dg.AssetSelection, text: str, *, running: bool
) -> dg.AutomationConditionSensorDefinition:
    return dg.AutomationConditionSensorDefinition(
        name,
        target=target,
        description=text,
        default_status=dg.DefaultSensorStatus.RUNNING if running else dg.DefaultSensorStatus.STOPPED,
        minimum_interval_seconds=30,
        use_user_code_server=True,
        emit_backfills=False,
    )
