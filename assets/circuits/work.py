"""What the assets of this group share: models opened, a base's circuit at hand, and models that the task does not fit.

A model whose tokenizer splits the task's words, or whose architecture has no heads that can be told apart, is no
failure: it has no rows, and the reason stands in the materialization.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from assets.freshness import is_current
from assets.groups import model_assets, tables_of
from resources import workers
from resources.workspace import Workspace
from rotoscale.circuits.heads import CircuitError

if TYPE_CHECKING:
    from resources.circuits.finding import CircuitResult
    from resources.circuits.model import HeadModel
    from resources.circuits.settings import CircuitSettings

Tables = dict[str, list[dict[str, Any]]]

UNRELATED = "an unrelated model has no circuit to follow; the base's circuit is run in it as a control of faithfulness"
ITSELF = "a base is not followed into itself"


def settings_of(space: Workspace) -> CircuitSettings:
    """How much circuits are measured with in this workspace."""
    from resources.circuits.sizes import circuit_settings

    return circuit_settings(space.settings.circuit_prompts, space.settings.seed)


@contextmanager
def head_model(space: Workspace, model_id: str) -> Iterator[HeadModel]:
    """A catalogued model, opened for work on its heads."""
    from resources.circuits.opening import opened

    workers.release()
    content_hash = space.facts(model_id)["content_hash"]
    with opened(space, model_id, space.location(model_id), content_hash, settings_of(space)) as model:
        yield model


def circuit_of(space: Workspace, model: HeadModel) -> CircuitResult:
    """The circuit of a model: from its rows where they hold, else looked for again.

    The automation may come to a descendant before its base; what is found does not depend on the order.
    """
    from resources.circuits.finding import find_circuit
    from resources.circuits.stored import stored_circuit

    settings = settings_of(space)
    entry = space.registry.model(model.model_id)
    if is_current(space, entry, model_assets()["circuits"]):
        found = {table: space.tables.read(table, entry.id) for table in tables_of("circuits")}
        if found["circuit_screens"]:
            return stored_circuit(model, found, settings)
    return find_circuit(model, settings=settings, tables=())


def or_reason(asset: str, work: Callable[[], Tables]) -> tuple[Tables, str]:
    """An asset's rows, or none with the reason where the task cannot be put to the model."""
    from resources.evaluation.subjects import NotFinite

    try:
        return work(), ""
    except (CircuitError, NotFinite) as error:
        return nothing(asset), str(error)


def nothing(asset: str) -> Tables:
    """No rows in any table of an asset."""
    return {table: [] for table in tables_of(asset)}


def metadata(tables: Tables, reason: str, tables_of_asset: Sequence[str]) -> dict[str, Any]:
    """What every materialization of this group says."""
    count = sum(len(tables[table]) for table in tables_of_asset)
    return {"dagster/row_count": count, **({"reason": reason} if reason else {})}
