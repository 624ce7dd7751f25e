"""The asset groups, found by themselves: one folder each, with `group.py` and `definitions.py`.

`group.py` declares what a group stores and when it is up to date; `definitions.py` holds its Dagster definitions.
Everything that would otherwise be a central list is derived here: tables, freshness, what the published file depends
on, and through the published file the dashboard's pages. Nothing here imports Dagster.
"""

from __future__ import annotations

import graphlib
import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from resources.families import ModelEntry
from resources.settings import Settings
from resources.warehouse import Contract, Table
from resources.workspace import Workspace

SETTINGS_GROUP = "settings"
"""Dagster's group of what lies outside it and decides whether rows hold."""


def no_other(entry: ModelEntry) -> tuple[str, ...]:
    """An asset that reads no other model."""
    return ()


def its_base(entry: ModelEntry) -> tuple[str, ...]:
    """An asset that reads the model's base; a base's own is itself."""
    return (entry.base or entry.id,)


def all_references(entry: ModelEntry) -> tuple[str, ...]:
    """An asset that reads everything that the model is compared with."""
    return entry.all_references


def nothing_else(space: Workspace, entry: ModelEntry) -> Any:
    """An asset that depends on weights and method alone."""
    return None


@dataclass(frozen=True)
class Asset:
    """One asset with one partition per model, and what its rows depend on.

    version: of the method; Dagster's code version, and part of every row.
    reads: other models whose weights it reads.
    settings: what it depends on beside weights and version (family file, environment), as plain values.
    settings_from: name under which Dagster sees those settings, so that its UI shows what they make stale.
    upstream: what it depends on in the rows of other assets beyond the weights they were made from.
    intact: whether what it left outside the tables (folders of edits) is still there.
    structural: whether a mere comparison of weights includes it.
    page: the dashboard's page that shows its rows, as it stands in the address.
    """

    name: str
    version: str
    after: tuple[str, ...] = ()
    reads: Callable[[ModelEntry], tuple[str, ...]] = no_other
    settings: Callable[[Workspace, ModelEntry], Any] = nothing_else
    settings_from: str = ""
    upstream: Callable[[Workspace, ModelEntry], Any] = nothing_else
    intact: Callable[[Workspace, ModelEntry], bool] = lambda space, entry: True
    structural: bool = False
    page: str = ""


@dataclass(frozen=True)
class SharedAsset:
    """One asset without partitions, for what is about several models: a family, a pair.

    It stores rows under keys of its own and makes only those that are out of date, so that a later sibling never
    rewrites what is known of older models.

    subjects: what there should be rows for now, such as families or pairs, by the keys that they are stored under.
    inputs: what the rows of one subject are made from, as plain values.
    page: the dashboard's page that shows its rows, as it stands in the address.
    """

    name: str
    version: str
    after: tuple[str, ...]
    subjects: Callable[[Workspace], Mapping[str, Any]]
    inputs: Callable[[Workspace, Any], Any]
    page: str = ""


def named(keys: Callable[[Workspace], Iterable[str]]) -> Callable[[Workspace], Mapping[str, str]]:
    """Subjects that are nothing but their keys, such as names of families."""
    return lambda space: {key: key for key in keys(space)}


@dataclass(frozen=True)
class Group:
    """One asset group: its assets, and the tables that they fill.

    others: Dagster assets that fill tables and know by themselves when to.
    """

    name: str
    assets: tuple[Asset, ...] = ()
    tables: tuple[Table, ...] = ()
    shared: tuple[SharedAsset, ...] = ()
    others: tuple[str, ...] = ()


@cache
def groups() -> tuple[Group, ...]:
    """Every group under this folder, by name."""
    return tuple(importlib.import_module(f"assets.{name}.group").GROUP for name in _folders("group"))


def definitions_of_groups() -> Iterator[Any]:
    """The Dagster definitions of every group."""
    for name in _folders("definitions"):
        yield importlib.import_module(f"assets.{name}.definitions").defs


def _folders(module: str) -> Iterator[str]:
    here = Path(__file__).parent
    for found in pkgutil.iter_modules([str(here)]):
        if found.ispkg and (here / found.name / f"{module}.py").exists():
            yield found.name


@cache
def model_assets() -> MappingProxyType[str, Asset]:
    """Every asset with a partition per model, by name, each after those it needs."""
    found = {asset.name: asset for group in groups() for asset in group.assets}
    order = graphlib.TopologicalSorter({name: asset.after for name, asset in found.items()}).static_order()
    return MappingProxyType({name: found[name] for name in order})


@cache
def shared_assets() -> MappingProxyType[str, SharedAsset]:
    """Every asset without partitions that fills tables, by name, each after those it needs."""
    found = {asset.name: asset for group in groups() for asset in group.shared}
    order = graphlib.TopologicalSorter({name: asset.after for name, asset in found.items()}).static_order()
    return MappingProxyType({name: found[name] for name in order if name in found})


@cache
def structural_assets() -> tuple[str, ...]:
    """The assets of a mere comparison of weights, which makes no edits and runs no model."""
    return tuple(name for name, asset in model_assets().items() if asset.structural)


@cache
def contract() -> Contract:
    """Every table by name, those of a group together, groups in the order of their assets."""
    order = [*model_assets(), *shared_assets()]
    tables = [replace(table, group=group.name) for group in groups() for table in group.tables]
    tables.sort(key=lambda table: order.index(table.asset) if table.asset in order else len(order))
    return MappingProxyType({table.name: table for table in tables})


def tables_of(asset: str) -> tuple[str, ...]:
    """Names of the tables that an asset fills."""
    return tuple(table.name for table in contract().values() if table.asset == asset)


def open_workspace(settings: Settings) -> Workspace:
    """The workspace of these settings, with every group's tables."""
    return Workspace(settings, contract())
