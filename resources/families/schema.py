"""What the keys of a family file are for, in two forms: a JSON schema for editors, and tables for the documentation.

Both are made from the pydantic models in `entries`: `scripts/family_schema.py` writes them, a test holds them current.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from resources.families.entries import family_schema

SCHEMA_FILE = "schema.json"
"""Its name in the folder of shipped family files."""


def editor_schema() -> dict[str, Any]:
    """The JSON schema of a family file with what each key is for in its description, which editors show."""
    return _for_editors(family_schema())


def keys() -> Iterator[tuple[str, str, str, str, bool]]:
    """Every key of a family file: mapping, key, what it is for, what it may be, whether it must be there.

    A mapping is named by the key that it stands under, the file itself by nothing.
    """
    schema = family_schema()
    waiting: list[tuple[str, Mapping[str, Any]]] = [("", schema)]
    for mapping, part in waiting:
        for key, about in part["properties"].items():
            yield mapping, key, about.get("meaning", ""), about.get("description", ""), key in part.get("required", ())
            waiting += [(key, schema["$defs"][name]) for name in _referred(about)]


def key_tables() -> str:
    """The keys as Markdown, a table for each mapping."""
    lines: list[str] = []
    last = None
    for mapping, key, what_for, may_be, must in keys():
        if mapping != last:
            title = f"Under `{mapping}`" if mapping else "A family file"
            lines += ["", f"**{title}**", "", "| key | what it is for | what it may be |", "|---|---|---|"]
            last = mapping
        lines.append(f"| `{key}`{' (required)' if must else ''} | {what_for} | {may_be} |")
    return "\n".join(lines[1:]) + "\n"


def meaning_of(mapping: str, key: str) -> str:
    """What a key is for; `mapping` as in `keys`."""
    return next(what_for for found, name, what_for, _, _ in keys() if (found, name) == (mapping, key))


def _referred(part: Any) -> Iterator[str]:
    """The mappings that a part of the schema refers to."""
    if isinstance(part, list):
        for one in part:
            yield from _referred(one)
    elif isinstance(part, Mapping):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"].rpartition("/")[2]
        for one in part.values():
            yield from _referred(one)


def _for_editors(part: Any) -> Any:
    if isinstance(part, list):
        return [_for_editors(one) for one in part]
    if not isinstance(part, Mapping):
        return part
    made = {key: _for_editors(value) for key, value in part.items() if key != "meaning"}
    if isinstance(part.get("meaning"), str):
        made["description"] = f"{part['meaning']} Expected: {part.get('description', 'a value')}."
    return made
