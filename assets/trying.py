"""One try of some assets of a model: counted, retried soon if its failure passes by itself, and given up at last.

What is given up is left out by everything that runs by itself, and made again when somebody names the model, or when
its files, its settings or the code change.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import dagster as dg

from assets.groups import Asset, model_assets
from resources.families import ModelEntry
from resources.hub import HubLimitError
from resources.passing import passes
from resources.tries import Tried
from resources.workspace import WAITING, Workspace, file_signature, fingerprint
from rotoscale.errors import RotoscaleError

_log = logging.getLogger(__name__)

WAITS = (5.0, 30.0)
"""Seconds before each further try of what failed in a way that passes; after the last the run fails."""


@contextmanager
def trying(
    context: dg.AssetExecutionContext, space: Workspace, entry: ModelEntry, assets: Sequence[str]
) -> Iterator[None]:
    """Around the work on some assets of a model: notes the try, and turns its errors into Dagster's.

    Raises RetryRequested for a failure that passes soon, a few times; Failure, with the sentence, for an error about
    the user's input; anything else as it is.
    """
    tries = space.tries
    _note(assets, lambda name: tries.begin(entry.id, name, tried_with(space, entry, model_assets()[name])))
    try:
        yield
    except Exception as error:
        passing, reason = passes(error), said(error)
        _note(assets, lambda name: tries.failed(entry.id, name, reason, passing=passing))
        if passing and not isinstance(error, HubLimitError) and context.retry_number < len(WAITS):
            seconds = WAITS[context.retry_number]
            context.log.info(f"{reason} Tried again in {seconds:.0f} s.")
            raise dg.RetryRequested(max_retries=len(WAITS), seconds_to_wait=seconds) from error
        if isinstance(error, RotoscaleError) or passing:
            raise failure(error) from error
        raise
    except BaseException:
        _note(assets, lambda name: tries.interrupted(entry.id, name))
        raise
    _note(assets, lambda name: tries.succeeded(entry.id, name))


def _note(assets: Sequence[str], write: Callable[[str], None]) -> None:
    """Do the bookkeeping of every asset; a full disk costs the bookkeeping only."""
    try:
        for name in assets:
            write(name)
    except OSError as error:
        _log.warning("tries cannot be noted: %s", error)


def tried_with(space: Workspace, entry: ModelEntry, asset: Asset) -> str:
    """What a try of an asset is made from now, cheaply and without the network: files by size and time, not content."""
    others = [(other, space.status(other)) for other in asset.reads(entry) if other != entry.id]
    files = [_files(space, model) for model in dict.fromkeys((entry.id, *asset.reads(entry)))]
    try:
        settings = asset.settings(space, entry)
    except RotoscaleError as error:
        settings = str(error)
    return fingerprint(asset.name, asset.version, files, others, settings)


def _files(space: Workspace, model: str) -> Any:
    with suppress(RotoscaleError, OSError):
        entry = space.registry.model(model)
        return file_signature([entry.path]) if entry.path else entry.source
    return None


def tries_of(space: Workspace, entry: ModelEntry, asset: str) -> Tried | None:
    """The tries in vain of an asset as things are now; None when there were none."""
    return space.tries.of(entry.id, asset, tried_with(space, entry, model_assets()[asset]))


def held(space: Workspace, entry: ModelEntry, assets: Sequence[str]) -> dict[str, str]:
    """Assets that are left out for now, with the reason: tried too often in vain, made from such a one, or too soon."""
    if until := _waits_until(space, entry):
        return dict.fromkeys(assets, f"the Hub is asked again from {until:%Y-%m-%d %H:%M} UTC")
    found: dict[str, str] = {}
    if not space.tries.has(entry.id):
        return found
    for name in assets:
        tried = tries_of(space, entry, name)
        needed = next((one for one in model_assets()[name].after if one in found), None)
        if tried and tried.count >= space.settings.most_tries:
            found[name] = f"{tried.count} tries failed, the last: {tried.reason}"
        elif needed:
            found[name] = f"needs {needed}"
    return found


def _waits_until(space: Workspace, entry: ModelEntry) -> datetime.datetime | None:
    """When a model may be fetched again that the Hub did not give; None when it may be now."""
    row = next(iter(space.tables.read("models", entry.id)), None)
    if row is None or row["status"] != WAITING or row["retry_at"] is None:
        return None
    return row["retry_at"] if row["retry_at"] > datetime.datetime.now(datetime.UTC) else None


def failure(error: Exception) -> dg.Failure:
    """An error about the user's input as Dagster shows it: the sentence itself, and no retries."""
    return dg.Failure(description=said(error), allow_retries=False)


def said(error: Exception) -> str:
    """An error as one sentence."""
    if isinstance(error, RotoscaleError):
        return str(error)
    first_line = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {first_line[:300]}"
