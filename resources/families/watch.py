"""What a family watches, so that new releases are found: the Hub's descendants of its models, and folders.

    watch:
      hub: true                     # descendants of the family's base models that come from the Hub
      bases: [qwen2.5-1.5b, Qwen/Qwen2.5-1.5B-Base]   # of these in their place: models of this file, or repositories
      relations: [finetune, adapter, merge]           # as the Hub states them; quantized ones are recorded, not taken
      folders: [../runs]            # folders whose finished checkpoints are taken, relative to this file
      base: qwen2.5-1.5b            # what releases are compared with where that is not plain
      authors: [Qwen, my-lab]       # only of these accounts
      names: ["*math*"]             # only repositories or folders with such a name ...
      skip_names: ["*-test"]        # ... and none with such a one
      licences: [apache-2.0, mit]
      dtypes: [bfloat16, float16]
      min_downloads: 100            # of the last 30 days
      min_likes: 5
      max_parameters: 8B
      since: 2026-01-31             # only repositories made on that day or later
      cap: 20                       # looked into and taken in one poll; the others wait for the next
      follow: true                  # a further commit of a registered model is a further model

A family without it is never asked about.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from resources.families.fields import STRICT, Count, Folder, ModelId, Positive, Text, broken_rule, meaning
from resources.families.file import Number

Relation = Literal["finetune", "adapter", "merge"]
RELATIONS: tuple[str, ...] = get_args(Relation)
Dtype = Literal["bfloat16", "float16", "float32", "float64", "float8_e4m3fn", "float8_e5m2"]

_TIMES = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}


def _size(value: Any) -> Any:
    """A number of parameters: 8000000000, 8B, 1.5B, 500M."""
    if isinstance(value, Number):
        value = str(value.value)
    if isinstance(value, str) and (found := re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMBT]?)", value.strip().upper())):
        return int(float(found[1]) * _TIMES[found[2]])
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError("no number of parameters")


_Size = Annotated[int, Field(ge=1), BeforeValidator(_size), WithJsonSchema({"type": ["integer", "string"]})]
_Pattern = Annotated[Text, Field(description='a name with "*" and "?" for what may vary')]


class Watch(BaseModel):
    """What a family watches, and which of the releases that are found there it takes. Folders are absolute."""

    model_config = ConfigDict(**STRICT, frozen=True)

    hub: bool = Field(
        default=False,
        strict=True,
        description="true or false",
        json_schema_extra=meaning("Whether the Hub is asked for descendants of the family's base models."),
    )
    bases: tuple[
        Annotated[Text, Field(description="a model of this family from the Hub, or a Hub repository")], ...
    ] = Field(
        default=(),
        description="a list of models of this family from the Hub, or of Hub repositories",
        json_schema_extra=meaning("Whose descendants are asked for, in place of the family's base models."),
    )
    relations: tuple[Annotated[Relation, Field(description="finetune, adapter or merge")], ...] = Field(
        default=("finetune", "adapter", "merge"),
        description="a list of finetune, adapter, merge",
        json_schema_extra=meaning(
            "Which kinds of descendants are taken, as the Hub states them; quantized ones are recorded, not taken."
        ),
    )
    folders: tuple[Annotated[Folder, Field(description="a folder, relative to this file")], ...] = Field(
        default=(),
        description="a list of folders, relative to this file",
        json_schema_extra=meaning("Folders whose finished checkpoints are taken."),
    )
    base: ModelId | None = Field(
        default=None, json_schema_extra=meaning("What releases are compared with where that is not plain.")
    )
    authors: tuple[Annotated[Text, Field(description="the name of an account on the Hub")], ...] = Field(
        default=(),
        description="a list of accounts on the Hub",
        json_schema_extra=meaning("Only releases of these accounts."),
    )
    names: tuple[_Pattern, ...] = Field(
        default=(), description="a list of name patterns", json_schema_extra=meaning("Only releases with such a name.")
    )
    skip_names: tuple[_Pattern, ...] = Field(
        default=(), description="a list of name patterns", json_schema_extra=meaning("No releases with such a name.")
    )
    licences: tuple[Annotated[Text, Field(description="a licence as the Hub writes it, such as apache-2.0")], ...] = (
        Field(
            default=(),
            description="a list of licences as the Hub writes them",
            json_schema_extra=meaning("Only releases under these licences."),
        )
    )
    dtypes: tuple[Annotated[Dtype, Field(description="a number format such as bfloat16")], ...] = Field(
        default=(),
        description="a list of number formats such as bfloat16",
        json_schema_extra=meaning("Only releases stored in these number formats."),
    )
    min_downloads: Count = Field(
        default=0,
        description="a whole number, 0 or more",
        json_schema_extra=meaning("Fewest downloads in the last 30 days."),
    )
    min_likes: Count = Field(
        default=0, description="a whole number, 0 or more", json_schema_extra=meaning("Fewest likes.")
    )
    max_parameters: _Size | None = Field(
        default=None,
        description="a number of parameters such as 8B or 500M",
        json_schema_extra=meaning("Largest size."),
    )
    since: Annotated[str, Field(pattern=r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$(?!\n)")] | None = Field(
        default=None,
        description="a day such as 2026-01-31",
        json_schema_extra=meaning("Only repositories made on that day or later."),
    )
    cap: Positive = Field(
        default=20,
        description="a whole number, 1 or more",
        json_schema_extra=meaning("How many are looked into and taken in one poll; the others wait for the next."),
    )
    follow: bool = Field(
        default=False,
        strict=True,
        description="true or false",
        json_schema_extra=meaning("Whether a further commit of a registered model is analysed as a further model."),
    )

    @property
    def on_hub(self) -> bool:
        """Whether anything is asked of the Hub."""
        return self.hub or bool(self.bases)

    @model_validator(mode="after")
    def _watches_something(self) -> Self:
        if not self.on_hub and not self.folders:
            raise broken_rule("watches nothing; add `hub: true`, `bases:` or `folders:`, or remove it.")
        return self

    def wants_name(self, name: str) -> bool:
        """Whether a repository or folder of this name is wanted; `org/name` matches by either part or the whole."""
        return (not self.names or _matches(name, self.names)) and not _matches(name, self.skip_names)


def _matches(name: str, patterns: Iterable[str]) -> bool:
    words = {name.casefold(), name.rpartition("/")[2].casefold()}
    return any(fnmatch.fnmatchcase(word, pattern.casefold()) for word in words for pattern in patterns)
