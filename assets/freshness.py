"""What each asset's rows are made from, as one fingerprint: equal fingerprints mean that nothing is left to do.

The fingerprint of `checkpoints` is taken over the files' names, sizes and times, which costs nothing; everything
downstream is fingerprinted over the weights' own hash, so that a touched or moved file alone recomputes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from assets.common import CODE_VERSION
from resources.families import ModelEntry
from resources.workspace import NotReady, Workspace, file_signature, fingerprint
from rotoscale import versions
from rotoscale.errors import RotoscaleError


def checkpoint_fingerprint(workspace: Workspace, entry: ModelEntry) -> str:
    """Files of the checkpoint (and of an adapter's base), and what the registry says of it."""
    location = workspace.location(entry.id)
    folders = [folder for folder in (location.path, location.base) if folder]
    facts = [entry.family, entry.role, entry.base, entry.method, entry.source]
    return fingerprint("checkpoints", CODE_VERSION, file_signature(folders), facts)


def decomposition_fingerprint(workspace: Workspace, entry: ModelEntry) -> str:
    """Weights of the checkpoint and version of the method."""
    return fingerprint(
        "decompositions", CODE_VERSION, versions.DECOMPOSITION, workspace.facts(entry.id)["content_hash"]
    )


def comparison_fingerprint(workspace: Workspace, entry: ModelEntry) -> str:
    """Weights of the checkpoint and of everything it is compared with, method versions, null settings."""
    hashes = [(model, workspace.facts(model)["content_hash"]) for model in (entry.id, *entry.all_references)]
    settings = [workspace.settings.null_layers, workspace.settings.seed]
    return fingerprint("comparison", CODE_VERSION, versions.DECOMPOSITION, versions.COMPARISON, hashes, settings)


def edit_mark(workspace: Workspace, entry: ModelEntry) -> str:
    """Weights of the pair, wanted recipes, method versions, seed, and what is to be kept on disk."""
    from resources.edits.plan import DEFAULT_RECIPES

    hashes = [workspace.facts(model)["content_hash"] for model in (entry.base or entry.id, entry.id)]
    recipes = workspace.registry.families[entry.family].recipes or DEFAULT_RECIPES
    settings = [workspace.settings.seed, workspace.settings.keep_edits]
    facts = [hashes, entry.role, recipes, settings]
    return fingerprint("edits", CODE_VERSION, versions.DECOMPOSITION, versions.EDIT, facts)


def edit_fingerprint(workspace: Workspace, entry: ModelEntry) -> str:
    """The mark of the edits, unless one of them was taken off the disk by hand (NotReady)."""
    for row in workspace.tables.read("edited_checkpoints", entry.id):
        if row["path"] and not (workspace.settings.edits / row["edit_id"] / "edit.json").is_file():
            raise NotReady(f"{row['path']} is gone; materialize edited_checkpoints for {entry.id} again")
    return edit_mark(workspace, entry)


def evaluation_fingerprint(workspace: Workspace, entry: ModelEntry) -> str:
    """Weights of the model, its base and its edits, tasks and prompts, versions and settings of the harness."""
    from resources.evaluation.harness import Harness
    from resources.evaluation.subjects import model_dtype

    hashes = [workspace.facts(model)["content_hash"] for model in (entry.base or entry.id, entry.id)]
    edits = [(row["edit_id"], row["content_hash"]) for row in workspace.tables.read("edited_checkpoints", entry.id)]
    evaluation = workspace.registry.families[entry.family].evaluation
    folder = evaluation.include_path
    folders = [folder, *(path for path in sorted(folder.rglob("*")) if path.is_dir())] if folder else []
    tasks = [evaluation.tasks, evaluation.prompts, file_signature(folders)]
    settings = [workspace.settings.seed, model_dtype(workspace.settings.device)]
    scale = workspace.tables.fingerprint("scale_statistics", entry.id)
    methods = [versions.EVALUATION, versions.PROBE, Harness.version()]
    return fingerprint("evaluation", CODE_VERSION, methods, hashes, edits, tasks, settings, scale)


FINGERPRINTS: dict[str, tuple[Callable[[Workspace, ModelEntry], str], tuple[str, ...]]] = {
    "checkpoints": (checkpoint_fingerprint, ("models",)),
    "decompositions": (decomposition_fingerprint, ("decompositions",)),
    "scale_statistics": (comparison_fingerprint, ("scale_statistics",)),
    "rotation_statistics": (comparison_fingerprint, ("rotation_statistics",)),
    "tensor_changes": (comparison_fingerprint, ("tensor_changes", "coverage")),
    "edited_checkpoints": (edit_fingerprint, ("edited_checkpoints",)),
    "evaluation_scores": (
        evaluation_fingerprint,
        (
            "evaluation_scores",
            "evaluation_samples",
            "evaluation_contrasts",
            "generations",
            "attention_temperature",
            "representation_similarity",
        ),
    ),
}
"""Per partitioned asset: how its fingerprint is taken, and the tables that carry it."""


STRUCTURE = ("checkpoints", "decompositions", "scale_statistics", "rotation_statistics", "tensor_changes")
"""The assets of a mere comparison of weights, which makes no edits and runs no model."""


def pending(workspace: Workspace, model_id: str, assets: Iterable[str] = FINGERPRINTS) -> list[str]:
    """Assets of a model that are missing or out of date, in order. One that cannot be judged yet counts as such."""
    entry = workspace.registry.model(model_id)
    waiting = []
    for asset in assets:
        take, tables = FINGERPRINTS[asset]
        try:
            wanted = None if "checkpoints" in waiting else take(workspace, entry)
        except (NotReady, RotoscaleError):
            wanted = None
        if wanted is None or any(workspace.tables.fingerprint(table, model_id) != wanted for table in tables):
            waiting.append(asset)
    return waiting
