"""One family file as text: its YAML as plain values, and for every mistake the line it stands in.

YAML nodes are kept beside the values, because only nodes know their line and how a value was written. What the values
may be is not known here: `entries` says it, pydantic checks it, and `FamilyFile.explained` turns pydantic's answer
into file, line, key, what was expected, what was found, and what was probably meant.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from rotoscale.errors import RotoscaleError

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

MAX_FILE_BYTES = 1_000_000
_MAX_DEPTH = 40

# The first line of files that `rotoscale compare` writes: only those may be rewritten, which loses comments.
WRITTEN_BY_US = "# Written by `rotoscale compare`; entries may be changed by hand, comments are not kept.\n"

Where = tuple[str | int, ...]
"""A place in a file: the keys and list positions that lead to it."""


class FamilyFileError(RotoscaleError):
    """A family file cannot be read, or contradicts itself or another. Has `file` and, where known, `line`."""

    def __init__(self, file: Path, line: int | None, message: str):
        self.file, self.line = file, line
        super().__init__(f"{file}, line {line}: {message}" if line else f"{file}: {message}")


class Number(str):
    """A number as it was written: `1.50` may be a model id and `0123456` a commit. `value` is YAML's reading."""

    value: int | float


class Nothing:
    """A key without a value: not the same as a key that is not there, which has a default."""


def plain(value: Any) -> Any:
    """A value of the file as ordinary Python has it: numbers as numbers, nothing as None."""
    if isinstance(value, dict):
        return {key: plain(of) for key, of in value.items()}
    if isinstance(value, list):
        return [plain(of) for of in value]
    return value.value if isinstance(value, Number) else None if isinstance(value, Nothing) else value


def read_file(file: Path) -> bytes:
    """The bytes of a family file. Raises FamilyFileError when it cannot be read or is no such file by its size."""
    try:
        with open(file, "rb") as stream:
            raw = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise FamilyFileError(file, None, f"cannot be read ({error.strerror or error}).") from None
    if len(raw) > MAX_FILE_BYTES:
        raise FamilyFileError(file, None, f"larger than {MAX_FILE_BYTES:,} bytes; split the family into several files.")
    return raw


class _Loader(yaml.SafeLoader):
    """Composes nodes only; refuses aliases, a few lines of which can blow up, and nesting that exhausts the stack."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        problem = "lists and mappings are nested too deeply" if self.depth >= _MAX_DEPTH else None
        if isinstance(event, yaml.AliasEvent):
            problem = "aliases (*name) are not allowed here; write the value out"
        if problem:
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


class FamilyFile:
    """The values of one family file and their places.

    `values` are mappings, lists, texts, booleans, `Number` and `Nothing`; `lines` says where each key or list item
    stands. Raises FamilyFileError when `raw`, the file's bytes, is no YAML of this simple kind.
    """

    def __init__(self, file: Path, raw: bytes):
        self.file = file
        self.lines: dict[Where, int] = {}
        self._nodes: dict[Where, yaml.Node] = {}
        self.is_ours = raw.startswith(WRITTEN_BY_US.encode())
        try:
            self._loader = _Loader(raw.decode("utf-8-sig"))
            node = self._loader.get_single_node()
        except UnicodeDecodeError as error:
            message = f"byte {error.start} is not UTF-8; save the file as UTF-8 text."
            raise FamilyFileError(file, None, message) from None
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            what = "; ".join(t for t in (error.context, error.problem) if t)
            message = f"not valid YAML here: {what}. Check the indentation, colons and quotes."
            raise FamilyFileError(file, mark.line + 1 if mark else None, message) from None
        except yaml.YAMLError as error:
            message = f"not valid YAML: {str(error).splitlines()[0]}; remove that character."
            raise FamilyFileError(file, None, message) from None
        if node is None:
            raise FamilyFileError(file, None, "empty; expected at least the keys family and models.")
        self.values = self._value(node, ())

    def error(self, where: Where, message: str, line: int | None = None) -> FamilyFileError:
        """Return (not raise) the error about the key at `where`."""
        return FamilyFileError(self.file, line or self.lines.get(where), f"{_label(where)} {message}")

    def explained(self, error: ValidationError, schema: Mapping[str, Any]) -> FamilyFileError:
        """Return the first thing that pydantic found wrong, in the order of the file, as an error with its line.

        Args:
            error: what pydantic raised.
            schema: the JSON schema of the file; its descriptions are what is said to be expected.
        """
        # A default that waits for a wrong value is no mistake of its own.
        details = [e for e in error.errors(include_url=False) if e["type"] != "default_factory_not_called"]
        # A key that is missing is often there misspelt, and rules over several keys presume that each is right.
        found = [(e["type"] in ("missing", RULE), self._explained(e, schema)) for e in details]
        return min(found, key=lambda pair: (pair[0], pair[1].line or 0))[1]

    def _explained(self, details: ErrorDetails, schema: Mapping[str, Any]) -> FamilyFileError:
        where: Where = tuple(details["loc"])
        if details["type"] == RULE:
            context = details["ctx"]
            other = f"line {self.lines[*where, *context['other']]}" if context["other"] else ""
            return self.error((*where, *context["at"]), context["message"].replace("{other}", other))
        *above, key = where or ("",)
        if details["type"] == "missing":
            message = f'lacks the key "{key}": {_parts(schema, where)[0].get("description")}.'
            return self.error(tuple(above), message, self._nodes[tuple(above)].start_mark.line + 1)
        if details["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            known = next(part["properties"] for part in _parts(schema, tuple(above)) if "properties" in part)
            hint = meant(str(key), known) or f" Known here: {', '.join(known)}."
            return self.error(where, f"is not a known key.{hint}")
        while where not in self._nodes:
            where = where[:-1]  # a text that stands for a mapping: `gsm8k` for `{name: gsm8k}`
        node, parts = self._nodes[where], _parts(schema, where)
        message = f"must be {parts[0].get('description')}; found {_shown(node)}."
        if isinstance(node, yaml.ScalarNode) and (words := parts[0].get("enum")):
            message += meant(node.value, words)
        if node.tag.endswith(":bool") and any("string" in part.get("type", ()) for part in parts):
            message += " Put it in quotes if it is meant as text."
        return self.error(where, message, node.start_mark.line + 1)

    def _value(self, node: yaml.Node, where: Where) -> Any:
        """Return the value of a node and note where it stands."""
        self._nodes[where] = node
        self.lines.setdefault(where, node.start_mark.line + 1)
        kind = str(node.tag).removeprefix("tag:yaml.org,2002:")
        if isinstance(node, yaml.MappingNode) and kind == "map":
            return self._mapping(node, where)
        if isinstance(node, yaml.SequenceNode) and kind == "seq":
            return [self._value(child, (*where, i)) for i, child in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and kind in _SCALARS:
            return self._scalar(node, kind, where)
        raise self.error(where, f"has the tag {node.tag}; remove it, tags are not allowed here.")

    def _mapping(self, node: yaml.MappingNode, where: Where) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag.endswith(":null"):
                raise self.error(where, "has a key that is no word; keys are single words.", line)
            key = str(key_node.value)
            here = (*where, key)
            if key in found:
                raise self.error(here, f"is given twice, first in line {self.lines[here]}; remove one.", line)
            self.lines[here] = line
            found[key] = self._value(value_node, here)
        return found

    def _scalar(self, node: yaml.ScalarNode, kind: str, where: Where) -> Any:
        if kind == "null":
            return Nothing()
        if kind not in ("bool", "int", "float"):
            return str(node.value)  # dates are texts here
        try:
            value = self._loader.construct_object(node)
        except (ValueError, OverflowError, KeyError):
            message = f"cannot be read as {_SCALARS[kind]}: {quoted(node.value)}; write it out, or quote it."
            raise self.error(where, message, node.start_mark.line + 1) from None
        if kind == "bool":
            return value
        number = Number(node.value)
        number.value = value
        return number


RULE = "family_file_rule"
"""The type of pydantic errors that carry their own sentence: see `entries.broken_rule`."""

_SCALARS = {
    **{"str": "text", "int": "integer", "float": "number", "bool": "boolean", "null": "nothing"},
    **{"timestamp": "text", "merge": "text", "value": "text"},
}


def _parts(schema: Mapping[str, Any], where: Where) -> list[Mapping[str, Any]]:
    """The part of a JSON schema that is about a place in the file, then the alternatives that it allows."""

    def alternatives(part: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        target = schema["$defs"][part["$ref"].rpartition("/")[2]] if "$ref" in part else {}
        return [{**target, **part}, *(a for option in part.get("anyOf", ()) for a in alternatives(option))]

    parts = alternatives(schema)
    for step in where:
        inner = "items" if isinstance(step, int) else "properties"
        found: Mapping[str, Any] = next((part[inner] for part in parts if inner in part), {})
        parts = alternatives(found if isinstance(step, int) else found.get(step, {}))
    return parts


def _label(where: Where) -> str:
    """Name a place in the file, as in `models[2].base`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where)
    return text.removeprefix(".") or "the file"


def _shown(node: yaml.Node) -> str:
    """Say what stands there, cut short: it may be anything."""
    if isinstance(node, yaml.ScalarNode):
        return "nothing" if node.tag.endswith(":null") else quoted(node.value)
    empty = "an empty " if not node.value else "a "
    return empty + ("mapping" if isinstance(node, yaml.MappingNode) else "list")


def quoted(value: object) -> str:
    """Quote a value of the file, cut short: it may be anything."""
    text = str(value)
    return f'"{text[:80]}..."' if len(text) > 80 else f'"{text}"'


def meant(word: str, known: Iterable[str]) -> str:
    """Return a sentence that asks after the closest known word, or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f' Did you mean "{close[0]}"?' if close else ""
