"""The rows that a descendant's or a family's claims are judged by, and what those rows were made from.

Rows under a model's key are that model's; rows under the key of a pair are read where they mention a model that
matters. A table that does not exist yet has no rows, so that its claims are `not tested` until it does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from assets.groups import model_assets
from resources.families import pair_key
from resources.warehouse.behaviour_rows import TABLES as BEHAVIOUR_TABLES
from resources.workspace import Workspace
from rotoscale.claims import CLAIMS, Evidence
from rotoscale.claims.sentences import EDITS_PAGE, PAIR_PAGE, findings_on_page

FAMILY = "@"
"""Before a family's name in a key: no model's id can begin with it."""

PAIR_TABLES = ("agreement", "scale_statistics", "rotation_statistics", "tensor_changes")
"""What the reading of a descendant against its base is made of."""

_READY = "ready"


def keys(space: Workspace) -> list[str]:
    """Descendants whose checkpoints were read, then their families."""
    entries = [
        entry for entry in space.registry.models.values() if entry.role == "descendant" and _is_ready(space, entry.id)
    ]
    return [*(entry.id for entry in entries), *dict.fromkeys(FAMILY + entry.family for entry in entries)]


def keys_of_sentences(space: Workspace) -> list[str]:
    """The same, and unrelated models: nothing is claimed of them, but there is something to say."""
    unrelated = [
        entry.id for entry in space.registry.models.values() if entry.role == "unrelated" and _is_ready(space, entry.id)
    ]
    return [*keys(space), *unrelated]


def gather(space: Workspace, key: str) -> Evidence:
    """The evidence on a key."""
    tables = {table: _rows(space, table, models) for table, models in _wanted(space, key).items()}
    if key.startswith(FAMILY):
        return Evidence(key.removeprefix(FAMILY), tables=tables)
    entry = space.registry.model(key)
    return Evidence(entry.family, entry.id, entry.base or "", tables)


def made_from(space: Workspace, key: str) -> list[Any]:
    """What the evidence on a key was made from, and the rules that it is judged by."""
    rules = [(claim.name, claim.rule_version) for claim in CLAIMS.values() if claim.scope == _scope(key)]
    found: list[Any] = [rules]
    for table, models in _wanted(space, key).items():
        for stored in models if _by_model(space, table) else space.tables.models(table):
            found.append((table, stored, _version(space, table, stored)))
    return found


def sentences_on_pair(space: Workspace, key: str) -> list[dict[str, Any]]:
    """Rows of `findings` on a descendant against its base; none of a family, or where they were not compared."""
    from resources.warehouse.pair_rows import pair_rows, pair_sentences

    if key.startswith(FAMILY):
        return []
    entry = space.registry.model(key)
    base = entry.base or ""
    # Shapes are lists, and needed; the other tables' lists are whole spectra and pictures.
    tables = {table: space.tables.read(table, key, lists=table == "tensor_changes") for table in PAIR_TABLES}
    lineage = space.tables.read("lineage", pair_key(key, base))
    rows = pair_rows(key, base, tables, space.facts(key)["dtype"], lineage)
    if not rows.matrices:
        return []
    rests_on = [{"table": table, "where": {"model_id": key, "base_id": base}} for table in PAIR_TABLES]
    return findings_on_page(PAIR_PAGE, entry.family, key, pair_sentences(rows), rests_on)


def sentences_on_edits(space: Workspace, key: str) -> list[dict[str, Any]]:
    """Rows of `findings` on what a descendant and its edits can do; none of a family, or where none was scored."""
    from resources.warehouse.behaviour_rows import behaviour_sentences

    if key.startswith(FAMILY):
        return []
    entry = space.registry.model(key)
    tables = {table: _rows(space, table, models) for table, models in _behaviour_rows(space, key).items()}
    sentences = behaviour_sentences(key, entry.base or "", tables)
    rests_on = [{"table": table, "where": {"model_id": key}} for table in BEHAVIOUR_TABLES]
    return findings_on_page(EDITS_PAGE, entry.family, key, sentences, rests_on)


def sentences_made_from(space: Workspace, key: str) -> list[Any]:
    """What the rows on a descendant that sentences are made of, beside its verdicts, were made from."""
    if key.startswith(FAMILY):
        return []
    behaviour = _behaviour_rows(space, key)
    pairs = [
        *((table, key) for table in PAIR_TABLES),
        ("lineage", pair_key(key, space.registry.model(key).base or "")),
        *((t, model) for t, models in behaviour.items() for model in models),
    ]
    return [(table, model, _version(space, table, model)) for table, model in pairs]


def _behaviour_rows(space: Workspace, key: str) -> dict[str, list[str]]:
    """By table, the models whose rows the sentences on edits are made of: a base is scored once for all."""
    base = space.registry.model(key).base or ""
    return {table: [key, base] if table == "evaluation_scores" else [key] for table in BEHAVIOUR_TABLES}


def _wanted(space: Workspace, key: str) -> dict[str, list[str]]:
    """By table that there is and that a claim about this key reads: the models whose rows matter."""
    claims = [claim for claim in CLAIMS.values() if claim.scope == _scope(key)]
    everything = [table for claim in claims for table in claim.tables]
    if key.startswith(FAMILY):
        models = _of_family(space, key.removeprefix(FAMILY))
        return {table: models for table in dict.fromkeys(everything) if table in space.tables.contract}
    base = space.registry.model(key).base or ""
    unrelated = [
        entry.id
        for entry in space.registry.models.values()
        if entry.role == "unrelated" and entry.base == base and _is_ready(space, entry.id)
    ]
    of_others = {table for claim in claims for table in claim.of_others}
    return {
        table: [key, base, *unrelated] if table in of_others else [key]
        for table in dict.fromkeys(everything)
        if table in space.tables.contract
    }


def _rows(space: Workspace, table: str, models: Sequence[str]) -> list[dict[str, Any]]:
    if _by_model(space, table):
        return [row for model in models for row in space.tables.read(table, model, lists=False)]
    stored = [row for key in space.tables.models(table) for row in space.tables.read(table, key, lists=False)]
    return [row for row in stored if _mentioned(row) & set(models)]


def _mentioned(row: dict[str, Any]) -> set[Any]:
    return {value for name, value in row.items() if name.endswith("_id") or name in ("model_a", "model_b")}


def _by_model(space: Workspace, table: str) -> bool:
    return space.tables.definition(table).asset in model_assets()


def _version(space: Workspace, table: str, key: str) -> str | None:
    """What rows were made from; of incomplete ones, which say nothing of it, when they were written."""
    found = space.tables.fingerprint(table, key)
    return str(space.tables.path(table, key).stat().st_mtime_ns) if found == "" else found


def _scope(key: str) -> str:
    return "family" if key.startswith(FAMILY) else "model"


def _of_family(space: Workspace, family: str) -> list[str]:
    entries: Iterable[Any] = (entry for entry in space.registry.models.values() if entry.family == family)
    return [entry.id for entry in entries if _is_ready(space, entry.id)]


def _is_ready(space: Workspace, model_id: str) -> bool:
    return space.status(model_id) == _READY
