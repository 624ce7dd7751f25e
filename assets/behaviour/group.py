"""Group `behaviour`: edited checkpoints with their controls, and what model, edits and controls can do."""

from __future__ import annotations

from typing import Any

from assets.behaviour.tables import TABLES
from assets.groups import Asset, Group, its_base
from resources.families import ModelEntry
from resources.workspace import Workspace, content_of_folder
from rotoscale import versions


def _recipes(space: Workspace, entry: ModelEntry) -> Any:
    """Wanted recipes, how many draws their controls have, seed, and what is to be kept on disk."""
    from resources.edits.shelf import wanted_plans

    family = space.registry.families[entry.family]
    plans = [plan.as_json() for plan in wanted_plans(family)] if entry.role == "descendant" else []
    settings = space.settings
    return [entry.role, plans, settings.control_draws, settings.seed, settings.keep_edits, versions.DECOMPOSITION]


def _edits_on_disk(space: Workspace, entry: ModelEntry) -> bool:
    """Whether no edit that was kept has been taken off the disk by hand."""
    rows = space.tables.read("edited_checkpoints", entry.id)
    return all((space.settings.edits / row["edit_id"] / "edit.json").is_file() for row in rows if row["path"])


def _tasks(space: Workspace, entry: ModelEntry) -> Any:
    """Tasks with their files, prompts, the harness's version, seed and number format."""
    from resources.evaluation.harness import Harness
    from resources.evaluation.subjects import model_dtype

    evaluation = space.registry.families[entry.family].evaluation
    tasks = [evaluation.tasks, evaluation.prompts, content_of_folder(evaluation.include_path)]
    return [Harness.version(), versions.PROBE, tasks, space.settings.seed, model_dtype(space.settings.device)]


def _scoring(space: Workspace, entry: ModelEntry) -> Any:
    """The tasks, and which documents are kept as texts."""
    return [_tasks(space, entry), versions.DOCUMENTS]


def _controls(space: Workspace, entry: ModelEntry) -> Any:
    """Disruptive edits, draws, and the documents that they are held against; nothing where there is no such edit."""
    from resources.edits.shelf import wanted_plans

    family, settings = space.registry.families[entry.family], space.settings
    plans = [plan.as_json() for plan in wanted_plans(family) if plan.control] if entry.role == "descendant" else []
    if not plans:
        return None
    draws = [settings.control_draws, settings.control_documents, settings.seed]
    return [plans, draws, versions.EDIT, versions.DECOMPOSITION, _tasks(space, entry)]


def _what_is_scored(space: Workspace, entry: ModelEntry) -> Any:
    """Edits by their weights, and the scale factors that attention temperatures are predicted from."""
    edits = [(row["edit_id"], row["content_hash"]) for row in space.tables.read("edited_checkpoints", entry.id)]
    return [edits, space.tables.fingerprint("scale_statistics", entry.id)]


GROUP = Group(
    "behaviour",
    assets=(
        Asset(
            "edited_checkpoints",
            versions.EDIT,
            after=("decompositions",),
            reads=its_base,
            settings=_recipes,
            settings_from="wanted_edits",
            intact=_edits_on_disk,
            page="edits",
        ),
        Asset(
            "control_draws",
            versions.CONTROLS,
            after=("edited_checkpoints",),
            reads=its_base,
            settings=_controls,
            settings_from="control_settings",
            page="edits",
        ),
        Asset(
            "evaluation_scores",
            versions.EVALUATION,
            after=("edited_checkpoints", "scale_statistics"),
            reads=its_base,
            settings=_scoring,
            settings_from="evaluation_tasks",
            upstream=_what_is_scored,
            page="edits",
        ),
    ),
    tables=TABLES,
)
