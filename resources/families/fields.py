"""The types of the values in a family file: texts, ids, folders, numbers, recipes, and what is said of a wrong one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

from resources.families.file import RULE, Number, Where, plain

# Dots in a row are kept out of ids because Dagster reserves "..." for ranges of partitions.
MODEL_ID_PATTERN = r"^(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._-]{0,127}$(?!\n)"
# Patterns look ahead, which only Python's own engine can.
STRICT = ConfigDict(extra="forbid", regex_engine="python-re")


def broken_rule(message: str, *at: str | int, other: Where = ()) -> PydanticCustomError:
    """Return the error about a rule that several keys break together.

    Args:
        message: the sentence; `{other}` in it becomes the line of `other`.
        at: the key, from where pydantic is.
        other: a second place, from there too.
    """
    return PydanticCustomError(RULE, "{message}", {"message": message, "at": at, "other": other})


def meaning(text: str) -> dict[str, Any]:
    """What a key is for, to be laid into its JSON schema: editors and the documentation show it."""
    return {"meaning": text}


def _number(value: Any) -> Any:
    return value.value if isinstance(value, Number) else value


def _beside(value: Any, info: ValidationInfo) -> Any:
    """The absolute, link-free form of a folder given relative to the file."""
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value.strip():
        raise ValueError("no name of a folder")
    folder = info.context["file"].parent if info.context else Path()
    try:
        return (folder / os.path.expanduser(value)).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise broken_rule(f"is no folder name ({error}); correct it.") from None


def _recipe(value: Any) -> Any:
    if isinstance(value, dict):
        return plain(value)
    if isinstance(value, str) and value.strip():
        return str(value)
    raise ValueError("no recipe")


Text = Annotated[str, Field(pattern=r"\S")]
ModelId = Annotated[
    str,
    Field(
        pattern=MODEL_ID_PATTERN,
        description='a model id: letters, digits, ".", "_" and "-", first a letter or digit, no "..", at most 128',
    ),
]
Count = Annotated[int, Field(strict=True, ge=0), BeforeValidator(_number)]
Positive = Annotated[int, Field(strict=True, ge=1), BeforeValidator(_number)]
Folder = Annotated[Path, BeforeValidator(_beside, json_schema_input_type=Text)]
RecipeEntry = Annotated[
    str | dict[str, Any],
    BeforeValidator(_recipe),
    WithJsonSchema(
        {"type": ["string", "object"], "pattern": r"\S", "description": "an edit recipe: a name or a mapping"}
    ),
]
