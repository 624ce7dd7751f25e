"""What every asset shares: the partition set, its declaration in Dagster's terms, one materialization of a model."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import quote

import dagster as dg

from assets.automation import fill_out_of_date
from assets.downloads import make_room
from assets.freshness import asset_fingerprint
from assets.groups import SETTINGS_GROUP, Asset, contract, model_assets, open_workspace, tables_of
from assets.models.catalogue import ensure_catalogued
from assets.trying import failure, trying
from resources import progress
from resources.addresses import address
from resources.families import ModelEntry
from resources.settings import load_settings
from resources.workspace import Workspace
from rotoscale.errors import RotoscaleError

# Partitioned checks are marked as preview; they work in the versions that pyproject admits.
warnings.filterwarnings("ignore", category=dg.PreviewWarning)

models = dg.DynamicPartitionsDefinition(name="models")
"""One partition is one checkpoint; a base is a model like any other."""


class ChangedMeanwhile(RotoscaleError):  # noqa: N818 (reads as what it says)
    """What an asset was made from is not what it was when the work began."""


class WorkspaceResource(dg.ConfigurableResource):
    """The project's folders; empty values are taken from the environment (see resources/settings.py)."""

    data: str = ""
    families: str = ""

    def open(self) -> Workspace:
        """The workspace that this process works in."""
        given = {"data": self.data, "families": self.families}
        space = open_workspace(load_settings(**{name: folder for name, folder in given.items() if folder}))
        space.make_room = lambda bytes_wanted: make_room(space, bytes_wanted)
        return space


OWNERS = ("team:model-analysis",)
"""Whom Dagster's catalogue names; change it to who looks after this instance."""


def spec(name: str, group: str, text: str, *kinds: str) -> dg.AssetSpec:
    """The declared asset `name` as Dagster takes it, with the rule by which the automation fills it."""
    asset = model_assets()[name]
    runs = "reads-weights" if asset.structural else "runs-the-model"
    return dg.AssetSpec(
        name,
        deps=[*asset.after, *([asset.settings_from] if asset.settings_from else [])],
        group_name=group,
        kinds={*kinds, "parquet"},
        code_version=asset.version,
        partitions_def=models,
        automation_condition=fill_out_of_date(),
        description=described(name, text),
        metadata=column_schemas(name) | dashboard_page(asset.page),
        owners=OWNERS,
        tags={"rotoscale/scope": "model", "rotoscale/work": runs},
    )


def described(name: str, text: str) -> str:
    """What an asset is for, then each table that it fills."""
    of = "model" if name in model_assets() else "subject (a family, a pair)"
    filled = [f"- `{table}`: {contract()[table].text}" for table in tables_of(name)]
    return "\n".join([text, "", f"Fills, one Parquet file for each {of}:", "", *filled])


def column_schemas(name: str) -> dict[str, dg.TableSchema]:
    """The columns of an asset's tables with the dashboard's texts; those of its main table as Dagster knows them."""
    schemas = {
        table: dg.TableSchema(
            columns=[
                dg.TableColumn(
                    column.name,
                    type=column.type,
                    description=column.text,
                    constraints=dg.TableColumnConstraints(nullable=column.name not in contract()[table].key),
                )
                for column in contract()[table].columns
            ]
        )
        for table in tables_of(name)
    }
    main = name if name in schemas else next(iter(schemas))
    others = {f"columns_of_{table}": schema for table, schema in schemas.items() if table != main}
    return {"dagster/column_schema": schemas[main], **others}


def settings_specs() -> list[dg.AssetSpec]:
    """What lies outside Dagster and decides whether rows hold, so that its UI shows what a change makes stale."""
    names = dict.fromkeys(asset.settings_from for asset in model_assets().values() if asset.settings_from)
    return [
        dg.AssetSpec(
            name,
            group_name=SETTINGS_GROUP,
            partitions_def=models,
            description="Lies outside Dagster (family file, environment, files on disk) and decides whether the rows "
            f"of {', '.join(f'`{asset}`' for asset, of in model_assets().items() if of.settings_from == name)} hold. "
            "The sensor of registered models observes it; a new version makes what depends on it stale.",
            owners=OWNERS,
        )
        for name in names
    ]


def check_spec(asset: str, name: str, text: str) -> dg.AssetCheckSpec:
    """A check of one model's rows."""
    return dg.AssetCheckSpec(name, asset=asset, description=text, partitions_def=models)


NO_FIGURES = "rotoscale/no_figures"
"""Tag of runs whose materializations go without pictures: drawing them takes longer than a small comparison."""


@dataclass
class Materialization:
    """One model's pass through one step, which may hold several assets made together.

    What the rows are made from is fingerprinted before the work and again before the first row is written, so that
    weights or settings that change in between cannot pass for current.
    """

    context: dg.AssetExecutionContext
    space: Workspace
    entry: ModelEntry
    fingerprints: dict[str, str]
    _confirmed: bool = field(default=False, init=False)

    @property
    def model(self) -> str:
        """The model's id, which is the partition key."""
        return self.entry.id

    @property
    def base(self) -> str:
        """The model's own base; of a base, itself."""
        return self.entry.base or self.entry.id

    @cached_property
    def assets(self) -> list[str]:
        """The assets that are asked for: of a step that can make several, perhaps only some."""
        chosen = {key.to_user_string() for key in self.context.selected_asset_keys}
        return [name for name in self.fingerprints if name in chosen]

    def write(self, rows: Mapping[str, Sequence[Mapping[str, Any]]], *, complete: bool = True) -> None:
        """Replace the model's rows in some tables, stamped with this run; tables of assets not asked for are left.

        Rows that are not `complete` are kept and count as out of date, so that another run goes on.

        Raises ChangedMeanwhile when what the rows were made from has changed since the work began.
        """
        self._confirm()
        for name in self.assets:
            for table in tables_of(name):
                if table in rows:
                    self.space.tables.write(
                        table,
                        self.model,
                        rows[table],
                        run_id=self.context.run_id,
                        code_version=model_assets()[name].version,
                        fingerprint=self.fingerprints[name] if complete else "",
                    )

    def _confirm(self) -> None:
        if self._confirmed:
            return
        for name, before in self.fingerprints.items():
            if asset_fingerprint(self.space, self.entry, model_assets()[name]) != before:
                raise ChangedMeanwhile(
                    f"{self.model}: weights, family file or settings changed while {name} was made from them; run again"
                )
        self._confirmed = True

    def result(
        self,
        asset: str,
        metadata: Mapping[str, Any],
        checks: Sequence[dg.AssetCheckResult] = (),
        *,
        complete: bool = True,
    ) -> dg.MaterializeResult:
        """What Dagster is told of one asset; its data version is what the rows were made from."""
        version = self.fingerprints[asset] if complete else f"incomplete-{self.context.run_id}"
        link = dashboard_page(model_assets()[asset].page, self.model, name="dashboard")
        return dg.MaterializeResult(
            asset_key=asset,
            metadata={**metadata, **link},
            check_results=list(checks),
            data_version=dg.DataVersion(version),
        )

    def figure(self, name: str, draw: Callable[[], dg.MetadataValue]) -> dict[str, dg.MetadataValue]:
        """A picture for Dagster's pages; none in a run that asks to go without (`NO_FIGURES`)."""
        return {} if NO_FIGURES in self.context.run.tags else {name: draw()}

    def table_path(self, table: str) -> dg.MetadataValue:
        """Where the rows of a table lie."""
        return dg.MetadataValue.path(self.space.tables.path(table, self.model))


@contextmanager
def materializing(
    context: dg.AssetExecutionContext, workspace: WorkspaceResource, *assets: str
) -> Iterator[Materialization]:
    """One pass over the model of this partition; errors about the user's input end the run with their own sentence.

    Models whose weights are read are catalogued first: the automation may start a descendant's run before its base's.
    """
    space, entry = model_of_run(context, workspace)
    chosen = {key.to_user_string() for key in context.selected_asset_keys}
    with (
        trying(context, space, entry, [name for name in assets if name in chosen]),
        progress.logging_to(context.log.info),
    ):
        declared: list[Asset] = [model_assets()[name] for name in assets]
        for model in dict.fromkeys(model for asset in declared for model in (entry.id, *asset.reads(entry))):
            ensure_catalogued(space, model, context.run_id)
        yield Materialization(
            context, space, entry, {asset.name: asset_fingerprint(space, entry, asset) for asset in declared}
        )


def model_of_run(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> tuple[Workspace, ModelEntry]:
    """The workspace, and the registered model that is this run's partition; raises Failure where there is none."""
    try:
        space = workspace.open()
        return space, space.registry.model(context.partition_key)
    except RotoscaleError as error:
        raise failure(error) from error


def dashboard_page(page: str, model: str = "", name: str = "dashboard_page") -> dict[str, dg.MetadataValue]:
    """Where the dashboard shows a page, of one model if it is named; nothing without a page.

    An address that is stored with a materialization stays what it was in that run. So every asset has its page in its
    definition as well, which is read anew with the code: there it is the address at which the dashboard started last.
    """
    if not page:
        return {}
    of_model = f"?model={quote(model, safe='')}" if model else ""
    return {name: dg.MetadataValue.url(f"{address(load_settings().data, 'dashboard')}/{page}{of_model}")}
