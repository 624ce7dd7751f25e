"""What a family file may say: its models, tasks, evaluation and recipes, checked by pydantic.

Descriptions are what error messages quote ("must be ..."), and with everything else make the JSON schema of a family
file. Values come from `file.FamilyFile`, which knows a number from a text that looks like one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, model_validator
from pydantic.dataclasses import dataclass
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from resources.families.fields import STRICT, Count, Folder, ModelId, Positive, RecipeEntry, Text, broken_rule, meaning
from resources.families.file import Where, meant
from resources.families.watch import Watch
from resources.hub import REPO_ID_PATTERN, REVISION_PATTERN

Role = Literal["base", "descendant", "unrelated"]
ROLES: tuple[str, ...] = get_args(Role)
METHOD_WORDS: dict[str, str] = {
    "base": "pre-trained, nothing after",
    "instruct": "instruction or chat tuning, all stages together",
    "reasoning": "trained or distilled on written-out reasoning",
    "math": "tuned on mathematics",
    "code": "tuned on code",
    "adapter": "a LoRA adapter, merged into its base when read",
    "sft": "supervised fine-tuning stage alone",
    "dpo": "preference optimization stage",
    "rl": "reinforcement learning stage",
    "continued": "continued pre-training",
    "scratch": "trained from another random start: a control",
    "unspecified": "nothing said",
}


@dataclass(frozen=True, config=STRICT)
class Task:
    """One lm-eval task; None leaves the number of shots or of samples to the task."""

    name: Annotated[
        Text,
        Field(
            description="the name of an lm-eval task",
            json_schema_extra=meaning("A standard task of lm-eval, or one of the folder `include_path`."),
        ),
    ]
    num_fewshot: Count | None = Field(
        default=None,
        description="a whole number, 0 or more",
        json_schema_extra=meaning("Examples before each question. Without it, what the task says."),
    )
    limit: Positive | None = Field(
        default=None,
        description="a whole number, 1 or more",
        json_schema_extra=meaning("Only the first so many documents of the task. Without it, all of them."),
    )


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


TaskEntry = Annotated[
    Task,
    BeforeValidator(_named, json_schema_input_type=Text | Task),
    Field(description="the name of an lm-eval task, or a mapping with a name"),
]


class Evaluation(BaseModel):
    """What the models of a family are scored on. `include_path` is absolute."""

    model_config = ConfigDict(**STRICT, frozen=True)

    tasks: tuple[TaskEntry, ...] = Field(
        default=(),
        description="a list of lm-eval tasks",
        json_schema_extra=meaning(
            "What every model, edit and control of the family is scored on, each once. With tasks, and no `recipes`, "
            "the default edits are made."
        ),
    )
    include_path: Folder | None = Field(
        default=None,
        description="a folder of task files, relative to this file",
        json_schema_extra=meaning("Where task files of your own lie. A task file can name Python code, which is run."),
    )
    prompts: tuple[Annotated[Text, Field(description="a text")], ...] = Field(
        default=(),
        description="a list of texts",
        json_schema_extra=meaning(
            "Texts that every model and edit continues, so that a broken model is seen; hidden states and attention "
            "are compared on them."
        ),
    )

    @model_validator(mode="after")
    def _each_task_once(self) -> Self:
        """Scores are kept by the task's name: a second setting of it would never be complete."""
        first: dict[str, int] = {}
        for i, task in enumerate(self.tasks):
            if task.name in first:
                message = (
                    f'lists the task "{task.name}" a second time, first in {{other}}; keep one of them '
                    "(other settings of it need another family, or a task file of their own)."
                )
                raise broken_rule(message, "tasks", i, other=("tasks", first[task.name]))
            first[task.name] = i
        return self


class ModelEntry(BaseModel):
    """One checkpoint of the registry. Exactly one of `path` (absolute) and `hub` (with `revision`) is set."""

    model_config = ConfigDict(
        **STRICT,
        frozen=True,
        json_schema_extra={
            "oneOf": [{"required": ["path"]}, {"required": ["hub"]}],
            "anyOf": [{"required": ["role"]}, {"required": ["base"]}],
            "dependentRequired": {"revision": ["hub"]},
        },
    )

    id: Annotated[
        ModelId,
        Field(
            json_schema_extra=meaning("The model's name everywhere: partition, rows, pages. Unique in all families.")
        ),
    ]
    role: Role = Field(
        default="descendant",
        description=f"{', '.join(ROLES[:-1])} or {ROLES[-1]}",
        json_schema_extra=meaning(
            "`base`: others were trained from it. `descendant` (what a model with a `base` is unless it says "
            "otherwise). `unrelated`: a negative control of the same shape, not trained from the base."
        ),
    )
    base: ModelId | None = Field(
        default=None, json_schema_extra=meaning("The model that it is compared with, of this file or another.")
    )
    references: tuple[ModelId, ...] = Field(
        default=(),
        description="a list of model ids",
        json_schema_extra=meaning("Further models that it is compared with, such as the stage before it."),
    )
    method: str = Field(
        default_factory=lambda data: "base" if data.get("role") == "base" else "unspecified",
        pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$(?!\n)",
        description="one lower-case word, such as " + ", ".join(list(METHOD_WORDS)[:-1]),
        json_schema_extra=meaning(
            "How it was post-trained. HC6 compares `reasoning` with `instruct` models; pages colour by it."
        ),
    )
    path: Folder | None = Field(
        default=None,
        description="a folder, relative to this file",
        json_schema_extra=meaning("Where its checkpoint or adapter lies. Exactly one of `path` and `hub`."),
    )
    hub: Annotated[str, Field(pattern=REPO_ID_PATTERN)] | None = Field(
        default=None,
        description="a Hub repository such as Qwen/Qwen2.5-1.5B",
        json_schema_extra=meaning("Where on the Hugging Face Hub it is. Exactly one of `path` and `hub`."),
    )
    revision: Annotated[str, Field(pattern=REVISION_PATTERN)] | None = Field(
        default_factory=lambda data: "main" if data.get("hub") else None,
        description="a branch, tag or commit on the Hub",
        json_schema_extra=meaning("Without it `main`. The commit that it stood for is stored with the results."),
    )
    _family: str = PrivateAttr("")
    _file: Path = PrivateAttr(Path())

    def model_post_init(self, context: Any) -> None:
        """Note which family and file this is from."""
        if context:
            self._family, self._file = str(context["family"]), context["file"]

    @property
    def family(self) -> str:
        """The name of its family; empty when it is not registered."""
        return self._family

    @property
    def file(self) -> Path:
        """The family file that it stands in, absolute."""
        return self._file

    @property
    def source(self) -> str:
        """Where the checkpoint comes from, as text: the folder, or `org/name@revision`."""
        return str(self.path) if self.path else f"{self.hub}@{self.revision}"

    @property
    def all_references(self) -> tuple[str, ...]:
        """Ids of every model this one is compared with: its base (a base: itself), then the further ones."""
        first = self.id if self.role == "base" else self.base
        return tuple(i for i in (first, *self.references) if i)

    @property
    def dependencies(self) -> tuple[str, ...]:
        """Ids of the other models that have to be there before this one can be compared."""
        return tuple(i for i in self.all_references if i != self.id)

    @model_validator(mode="after")
    def _keys_agree(self) -> Self:
        """Check what keys say about each other."""
        name, given = f'(model "{self.id}")', self.model_fields_set
        if ("path" in given) == ("hub" in given):
            both = "both; keep one of them" if "path" in given else "neither; add one of them"
            raise broken_rule(f"{name} must have exactly one of path and hub, and has {both}.")
        if "revision" in given and "path" in given:
            raise broken_rule(f"{name} belongs to hub; remove it, a folder has no revision.", "revision")
        if "role" not in given and "base" not in given:
            raise broken_rule(
                f"{name} has neither role nor base; write `role: base`, or the id it descends from as `base`."
            )
        if self.role == "base" and self.base:
            message = f"{name} cannot stand beside role: base; remove one of them, or list it under references."
            raise broken_rule(message, "base")
        if self.role != "base" and not self.base:
            raise broken_rule(
                f'{name} has the role {self.role} and lacks the key "base": the id of the model to compare with.'
            )
        seen = {self.id: "the model itself"}
        for other, at in self.named():
            if other in seen:
                raise broken_rule(f'{name} names "{other}", which is {seen[other]}; remove it.', *at)
            seen[other] = "named already"
        return self

    def named(self) -> Iterable[tuple[str, Where]]:
        """The other models that this one names, each with the key it is named at."""
        if self.base:
            yield self.base, ("base",)
        yield from ((reference, ("references", i)) for i, reference in enumerate(self.references))


def _not_empty(models: Sequence[Any]) -> Any:
    # Not `min_length`, which counts the valid ones only and so hides what is wrong with the others.
    if not models:
        raise ValueError("empty")
    return models


class Family(BaseModel):
    """One family file. Recipes are kept as the file has them; who applies them checks them."""

    model_config = ConfigDict(
        **STRICT,
        frozen=True,
        json_schema_extra={
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Rotoscale family file",
            "description": "a family: a mapping with family and models",
        },
    )

    name: str = Field(
        alias="family",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,159}$(?!\n)",
        description='a family name: letters, digits, ".", "_" and "-"',
        json_schema_extra=meaning("The family's name. Unique."),
    )
    title: Text = Field(
        default_factory=lambda data: data.get("name", ""),
        description="a line of text",
        json_schema_extra=meaning("What pages call it. Without it, its name."),
    )
    description: Text = Field(default="", description="a text", json_schema_extra=meaning("What it is, and how large."))
    automatic: bool = Field(
        default=True,
        strict=True,
        description="true or false",
        json_schema_extra=meaning(
            "Without it `true`: Dagster and `rotoscale run` fill what is missing. `false`: only models that are named "
            "run, as is wise where they are large."
        ),
    )
    models: Annotated[
        tuple[Annotated[ModelEntry, Field(description="a model: a mapping with an id and a path or hub")], ...],
        AfterValidator(_not_empty),
    ] = Field(
        json_schema_extra={"minItems": 1, **meaning("The checkpoints of the family.")},
        description="a list of models, at least one",
    )
    evaluation: Evaluation = Field(
        default=Evaluation(),
        description="a mapping with tasks, include_path and prompts",
        json_schema_extra=meaning(
            "What its models are scored on. Without it, weights are compared and nothing is run."
        ),
    )
    recipes: tuple[RecipeEntry, ...] = Field(
        default=(),
        description="a list of edit recipes",
        json_schema_extra=meaning(
            "Which edits are made of every descendant: names, or mappings such as `{recipe: band, band: top}`. Without "
            "it the default ones where there are tasks; an empty list for none."
        ),
    )
    watch: Watch | None = Field(
        default=None,
        description="a mapping with hub, bases or folders, and what is wanted",
        json_schema_extra=meaning("Where new releases of the family are looked for, and which are taken."),
    )
    _file: Path = PrivateAttr(Path())

    def model_post_init(self, context: Any) -> None:
        """Note which file this is."""
        if context:
            self._file = context["file"]

    @property
    def file(self) -> Path:
        """The family file, absolute."""
        return self._file

    @property
    def edits_wanted(self) -> bool:
        """Whether edits are made of the descendants: the family lists recipes, or has tasks that would score them.

        An empty list, `recipes: []`, says no. Without `recipes:` the default ones are made.
        """
        return bool(self.recipes) if "recipes" in self.model_fields_set else bool(self.evaluation.tasks)

    @property
    def watched_repositories(self) -> dict[str, str]:
        """The Hub repositories whose descendants are asked for, each with the model that these are compared with."""
        if self.watch is None or not self.watch.on_hub:
            return {}
        models = {model.id: model for model in self.models}
        given = self.watch.bases or [model.id for model in self.models if model.role == "base" and model.hub]
        found = {}
        for name in given:
            hub = models[name].hub if name in models else name
            if hub:
                found[hub] = self.watch.base or (name if name in models else self.only_base) or ""
        return found

    @property
    def only_base(self) -> str | None:
        """The id of the model with the role base; None where there are several or none."""
        bases = [model.id for model in self.models if model.role == "base"]
        return bases[0] if len(bases) == 1 else None

    @model_validator(mode="after")
    def _watch_agrees(self) -> Self:
        """Check what is watched against the models of this file."""
        watch = self.watch
        if watch is None:
            return self
        models = {model.id: model for model in self.models}
        for i, name in enumerate(watch.bases):
            if name in models and not models[name].hub:
                raise broken_rule(
                    f'names "{name}", which is a folder here; give its Hub repository.', "watch", "bases", i
                )
            if name not in models and not ("/" in name and re.fullmatch(REPO_ID_PATTERN, name)):
                hint = meant(name, models) or " Write org/name, or the id of a model of this file."
                message = f'names "{name}", which is neither a model of this file nor a Hub repository.{hint}'
                raise broken_rule(message, "watch", "bases", i)
        if watch.base is not None and watch.base not in models:
            hint = meant(watch.base, models)
            raise broken_rule(f'names "{watch.base}", which is no model of this file.{hint}', "watch", "base")
        if watch.on_hub and not self.watched_repositories:
            message = "is true, but no base model of this file comes from the Hub; name repositories under `bases:`."
            raise broken_rule(message, "watch", "hub")
        unclear = watch.folders or any(not base for base in self.watched_repositories.values())
        if unclear and not (watch.base or self.only_base):
            raise broken_rule("must say with `base:` which model releases are compared with.", "watch")
        return self


class _Schema(GenerateJsonSchema):
    """JSON schema of what a file may say: None and other defaults are our own, no file writes them."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


def family_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of a family file, for editors and for error messages."""
    return Family.model_json_schema(schema_generator=_Schema)
