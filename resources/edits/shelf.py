"""The edits of one model: which are wanted, which are there, which stay on disk, and their rows in the warehouse.

Edited checkpoints are as large as the model. The setting ROTOSCALE_KEEP_EDITS keeps all of them, none (each is scored
and then deleted), or those of named recipes; unset, models up to KEEP_ALL_BELOW keep all and larger ones none. A row
outlives its folder: it says how to make the same weights again, and their hash tells whether they are the same.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources.edits.plan import EditPlan, default_plans, plans_of, read_plan
from rotoscale import versions
from rotoscale.errors import RotoscaleError
from rotoscale.recipes import find_recipe

if TYPE_CHECKING:
    from resources.edits.build import Builder
    from resources.families import Family
    from resources.workspace import Workspace

KEEP_ALL_BELOW = 2e9
"""Bytes of a checkpoint up to which edits are kept unless the setting says otherwise."""

RETRYABLE = "retryable"
"""Of a failed row: whether another run may succeed. It is taken off before the row is stored."""


DRAWS = 19
"""Draws of each control of a disruptive edit, unless the setting says otherwise."""

CHEAP_WORK = 1e10
"""Work of one draw (sum of m n min(m, n) over the matrices) up to which draws are made without being asked for."""

ENOUGH_DRAWS = 3
"""Draws that make a distribution; with fewer, single controls are made as checkpoints."""


class ShelfError(RotoscaleError):
    """An edit that cannot be had again as it was."""


def wanted_plans(family: Family, single_controls: bool = True) -> list[EditPlan]:
    """The edits that a family wants: those it lists, else the default ones; none where nothing would score them.

    Raises PlanError or RecipeError when the family's recipes are wrong.
    """
    if not family.edits_wanted:
        return []
    return plans_of(family.recipes, single_controls) if family.recipes else default_plans(single_controls)


class Shelf:
    """The edits of one model of a workspace."""

    def __init__(self, space: Workspace, model_id: str) -> None:
        self.space = space
        self.entry = space.registry.model(model_id)
        self.folder = space.settings.edits

    @property
    def model_id(self) -> str:
        """The post-trained model."""
        return self.entry.id

    @property
    def base_id(self) -> str:
        """The base of the edits."""
        return self.entry.base or self.entry.id

    def plans(self) -> dict[str, EditPlan]:
        """Wanted edits by id: the family's recipes, or the default ones; none of a base or of an unrelated model.

        Raises PlanError or RecipeError when the family's recipes are wrong.
        """
        if self.entry.role != "descendant":
            return {}
        family = self.space.registry.family_of(self.model_id)
        needed = any(plan.control for plan in wanted_plans(family))
        single_controls = needed and self.draws < ENOUGH_DRAWS
        return {self.id_of(plan): plan for plan in wanted_plans(family, single_controls)}

    @cached_property
    def draws(self) -> int:
        """Draws of each control of its disruptive edits: as the setting says, else DRAWS if they are cheap, or none."""
        asked = self.space.settings.control_draws
        if asked is not None:
            return asked
        work = sum(m * n * min(m, n) for m, n in map(self.builder.post.shape, self.builder.common))
        return DRAWS if work <= CHEAP_WORK else 0

    def id_of(self, plan: EditPlan) -> str:
        """The edit's id, which covers everything its weights depend on: plan, both models' weights, versions, seed."""
        return plan.edit_id(self.model_id, *self._identity)

    @cached_property
    def _identity(self) -> list[Any]:
        hashes = [self.space.facts(model)["content_hash"] for model in (self.base_id, self.model_id)]
        return [*hashes, versions.EDIT, versions.DECOMPOSITION, self.space.settings.seed]

    def keeps(self, plan: EditPlan) -> bool:
        """Whether an edit stays on disk after it was scored."""
        setting = self.space.settings.keep_edits
        if not setting:
            return sum(file.stat().st_size for file in self.builder.post.files()) <= KEEP_ALL_BELOW
        if setting in ("all", "none"):
            return setting == "all"
        return plan.recipe in [find_recipe(name.strip()).name for name in setting.split(",")]

    @cached_property
    def builder(self) -> Builder:
        """Makes the edits; opened once."""
        from resources.edits.build import Builder

        base, post = self.space.checkpoint(self.base_id), self.space.checkpoint(self.model_id)
        settings = self.space.settings
        return Builder(base, post, self.space.factors, device=settings.device, seed=settings.seed)

    def path(self, edit_id: str) -> Path:
        """Where an edit lies while it is on disk."""
        return self.folder / edit_id

    def is_there(self, edit_id: str) -> bool:
        """Whether an edit is on disk; it is written atomically, so a folder is a whole one."""
        return (self.path(edit_id) / "edit.json").is_file()

    def make(self, edit_id: str, plan: EditPlan, report: Callable[[int, int], None] | None = None) -> dict[str, Any]:
        """Make one edit; its row of `edited_checkpoints`, which holds the reason when it cannot be made.

        A failed row also says under RETRYABLE whether another run may succeed.
        """
        row = self._described(edit_id, plan)
        facts = {"edit_id": edit_id, "base": self.base_id, "post": self.model_id}
        try:
            built = self.builder.build(plan, self.path(edit_id), facts=facts, progress=report)
            content_hash = built.content_hash()
        except (RotoscaleError, OSError, MemoryError) as error:
            reason = str(error) or type(error).__name__
            return {**row, "status": "failed", "status_reason": reason, RETRYABLE: _is_retryable(error)}
        return {
            **row,
            "path": str(built.path),
            "bytes": built.bytes,
            "content_hash": content_hash,
            "weight_error": built.weight_error,
            "base_error": built.base_error,
            "base_distance": built.base_distance,
            "line_id": self._line_id(plan, built.base_distance),
            "matrices": built.matrices,
            "seconds": built.seconds,
            "status": "ready",
            "status_reason": "",
        }

    def _control_id(self, plan: EditPlan) -> str:
        """The single control of an edit, if there is one: with draws there is none, unless the family lists it."""
        control = self.id_of(plan.control) if plan.control else ""
        return control if control in self.plans() else ""

    def _line_id(self, plan: EditPlan, distance: float | None) -> str:
        line = plan.straight_line(distance)
        return self.id_of(line) if line else ""

    def _described(self, edit_id: str, plan: EditPlan) -> dict[str, Any]:
        return {
            "edit_id": edit_id,
            "model_id": self.model_id,
            "base_id": self.base_id,
            "recipe": plan.recipe,
            "label": plan.label,
            "is_control": plan.is_control,
            "control_id": self._control_id(plan),
            "line_id": "",
            "other_tensors_of": plan.around,
            "parameters": plan.as_json(),
            "seed": self.space.settings.seed,
            "path": "",
        }

    def obtain(self, row: dict[str, Any]) -> AbstractContextManager[Path]:
        """The folder of an edit for the duration of a `with` block: the kept one, or one made again and removed.

        Raises ShelfError when what is made again is not what the row says it was.
        """
        if self.is_there(row["edit_id"]):
            return nullcontext(self.path(row["edit_id"]))
        return self._made_again(row)

    @contextmanager
    def _made_again(self, row: dict[str, Any]) -> Iterator[Path]:
        from resources.evaluation.subjects import scratch_folder

        parameters = row["parameters"]
        plan = read_plan(json.loads(parameters) if isinstance(parameters, str) else parameters)
        with scratch_folder(self.folder) as scratch:
            built = self.builder.build(plan, scratch / "edit")
            found = built.content_hash()
            if found != row["content_hash"]:
                raise ShelfError(
                    f"{row['edit_id']} made again has the hash {found[:12]}, its row says {row['content_hash'][:12]}; "
                    f"materialize edited_checkpoints for {self.model_id} again"
                )
            yield built.path

    def remove(self, edit_id: str) -> None:
        """Take an edit off the disk."""
        shutil.rmtree(self.path(edit_id), ignore_errors=True)

    def prune(self, wanted: Sequence[str]) -> list[str]:
        """Remove this model's edits that are no longer wanted, of earlier weights or recipes; returns their names."""
        removed = [folder for folder in edits_of(self.folder, self.model_id) if folder.name not in wanted]
        for folder in removed:
            shutil.rmtree(folder, ignore_errors=True)
        return [folder.name for folder in removed]


def _is_retryable(error: BaseException) -> bool:
    """Whether a failure lies in the machine (disk, memory) and not in what was asked for."""
    from resources.checkpoints import WriteError

    return isinstance(error, OSError | MemoryError | WriteError)


def edits_of(folder: Path, model_id: str) -> list[Path]:
    """The folders of edits of one model that are on disk."""
    return [found for found in folder.glob(f"{model_id}--*") if _post_of(found) == model_id]


def _post_of(folder: Path) -> str | None:
    try:
        return json.loads((folder / "edit.json").read_text(encoding="utf-8"))["manifest"].get("post")
    except (OSError, ValueError, KeyError, AttributeError):
        return None
