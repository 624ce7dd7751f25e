"""Whether an asset's rows still hold: one rule for `rotoscale run`, the automation and Dagster's own staleness.

What rows were made from is one fingerprint: the method's version, the content hashes of all weights that were read,
and whatever else the asset says it depends on. It is stored with the rows, and given to Dagster as the data version.
Content counts, not file times: a copied or touched checkpoint recomputes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from assets.groups import Asset, SharedAsset, model_assets, tables_of
from resources.families import ModelEntry
from resources.workspace import NotReady, Workspace, fingerprint
from rotoscale.errors import RotoscaleError

CATALOGUE = "checkpoints"
"""The asset that reads a checkpoint first; all others trust the hash that it stored, as long as the files agree."""


def asset_fingerprint(space: Workspace, entry: ModelEntry, asset: Asset, *, read: bool = True) -> str:
    """What the rows of `asset` would be made from now.

    `read` allows a checkpoint whose files changed to be hashed; without it that is NotReady.

    Raises NotReady when a checkpoint was not catalogued, is quarantined, or no longer is what was catalogued.
    """
    models = dict.fromkeys((entry.id, *asset.reads(entry)))
    hashes = [(model, _content_hash(space, model, asset, read)) for model in models]
    return fingerprint(asset.name, asset.version, hashes, asset.settings(space, entry), asset.upstream(space, entry))


def _content_hash(space: Workspace, model: str, asset: Asset, read: bool) -> str:
    on_disk = space.content_hash(model, read=read)
    if asset.name == CATALOGUE:
        return on_disk
    if space.facts(model)["content_hash"] != on_disk:
        raise NotReady(f"{model} changed since it was read; materialize `{CATALOGUE}` for it again")
    return on_disk


def is_current(space: Workspace, entry: ModelEntry, asset: Asset, *, read: bool = True) -> bool:
    """Whether an asset's rows are there, whole, and made from what is there now."""
    stored = {space.tables.fingerprint(table, entry.id) for table in tables_of(asset.name)}
    if not all(stored):
        return False  # before any weight is hashed
    try:
        return stored == {asset_fingerprint(space, entry, asset, read=read)} and asset.intact(space, entry)
    except RotoscaleError:
        return False


def pending(space: Workspace, model_id: str, assets: Iterable[str] | None = None, *, read: bool = True) -> list[str]:
    """Assets of a model that are missing or out of date, in order. One that cannot be judged yet counts as such."""
    entry = space.registry.model(model_id)
    wanted = model_assets() if assets is None else [name for name in model_assets() if name in set(assets)]
    return [name for name in wanted if not is_current(space, entry, model_assets()[name], read=read)]


def shared_fingerprint(space: Workspace, asset: SharedAsset, key: str, subject: Any) -> str:
    """What the rows of one subject of a shared asset, stored under `key`, would be made from now."""
    return fingerprint(asset.name, asset.version, key, asset.inputs(space, subject))


def pending_keys(space: Workspace, asset: SharedAsset, only: Collection[str] | None = None) -> list[str]:
    """Keys of a shared asset whose rows are missing or out of date, of `only` where given.

    One that cannot be judged yet is left out.
    """
    waiting = []
    for key, subject in asset.subjects(space).items():
        if only is not None and key not in only:
            continue
        try:
            wanted = shared_fingerprint(space, asset, key, subject)
        except RotoscaleError:
            continue
        if any(space.tables.fingerprint(table, key) != wanted for table in tables_of(asset.name)):
            waiting.append(key)
    return waiting


def obsolete_keys(space: Workspace, asset: SharedAsset) -> list[str]:
    """Keys that have rows of a shared asset and should have none any more, such as models that are gone."""
    wanted = set(asset.subjects(space))
    return sorted({key for table in tables_of(asset.name) for key in space.tables.models(table)} - wanted)


def is_waiting(space: Workspace, asset: SharedAsset, only: Collection[str] | None = None) -> bool:
    """Whether a shared asset has anything to do: rows to make, or rows to remove; of the keys `only` where given."""
    if only is not None:
        return bool(pending_keys(space, asset, only))
    return bool(pending_keys(space, asset) or obsolete_keys(space, asset))


def made_from(space: Workspace, model: str, assets: Iterable[str]) -> list[tuple[str, str | None]]:
    """What the rows of a model in the tables of some assets were made from: an input of what is made of them."""
    return [(table, space.tables.fingerprint(table, model)) for asset in assets for table in tables_of(asset)]


def settings_version(space: Workspace, entry: ModelEntry, asset: Asset) -> str:
    """The settings of an asset as one version, for Dagster to compare; of a checkpoint, its content too.

    Raises RotoscaleError when they cannot be judged now.
    """
    content = [space.content_hash(entry.id, read=False)] if asset.name == CATALOGUE else []
    return fingerprint(asset.settings_from, content, asset.settings(space, entry))
