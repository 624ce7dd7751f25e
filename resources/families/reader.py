"""Reading one family file along its schema, with line numbers: every mistake is answered with where it stands.

YAML nodes are walked, not loaded values, because only nodes know their line.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from resources.families.schema import family_schema
from rotoscale.errors import RotoscaleError

MAX_FILE_BYTES = 1_000_000
_MAX_DEPTH = 40

Where = tuple[str | int, ...]
"""A place in a file: the keys and list positions that lead to it."""


class FamilyFileError(RotoscaleError):
    """A family file cannot be read, or contradicts itself or another. Has `file` and, where known, `line`."""

    def __init__(self, file: Path, line: int | None, message: str):
        self.file, self.line = file, line
        super().__init__(f"{file}, line {line}: {message}" if line else f"{file}: {message}")


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


class Reader:
    """Turns the YAML nodes of one file into plain values along the schema; `lines` says where each stood."""

    _KINDS = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "null": "null"}  # noqa: RUF012

    def __init__(self, file: Path):
        self.file = file
        self.lines: dict[Where, int] = {}

    def read(self) -> dict[str, Any]:
        """Parse and check the whole file; raises FamilyFileError."""
        try:
            with open(self.file, "rb") as stream:
                raw = stream.read(MAX_FILE_BYTES + 1)
            if len(raw) > MAX_FILE_BYTES:
                message = f"larger than {MAX_FILE_BYTES:,} bytes; split the family into several files."
                raise FamilyFileError(self.file, None, message)
            self.loader = _Loader(raw.decode("utf-8-sig"))
            node = self.loader.get_single_node()
        except OSError as error:
            raise FamilyFileError(self.file, None, f"cannot be read ({error.strerror or error}).") from None
        except UnicodeDecodeError as error:
            message = f"byte {error.start} is not UTF-8; save the file as UTF-8 text."
            raise FamilyFileError(self.file, None, message) from None
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            what = "; ".join(t for t in (error.context, error.problem) if t)
            message = f"not valid YAML here: {what}. Check the indentation, colons and quotes."
            raise FamilyFileError(self.file, mark.line + 1 if mark else None, message) from None
        except yaml.YAMLError as error:
            message = f"not valid YAML: {str(error).splitlines()[0]}; remove that character."
            raise FamilyFileError(self.file, None, message) from None
        if node is None:
            raise FamilyFileError(self.file, None, "empty; expected at least the keys family and models.")
        return self._value(node, family_schema(), ())

    def fail(self, where: Where, message: str, line: int | None = None) -> FamilyFileError:
        """Return (not raise) the error about the key at `where`."""
        return FamilyFileError(self.file, line or self.lines.get(where), f"{_label(where)} {message}")

    def _value(self, node: yaml.Node, schema: Mapping[str, Any], where: Where) -> Any:
        """Return the value of a node that has to be what the schema says."""
        line = node.start_mark.line + 1
        self.lines.setdefault(where, line)
        wanted = schema.get("type", ["string", "integer", "number", "boolean", "null", "array", "object"])
        wanted = [wanted] if isinstance(wanted, str) else wanted
        expected = schema.get("description", " or ".join(wanted))
        kind = self._kind(node, where)
        if kind != "string" and "string" in wanted and kind in ("integer", "number") and kind not in wanted:
            kind = "string"  # an unquoted 1.5 or 0e12 where a text belongs: a model id, a commit
        if kind not in wanted:
            found = {"object": "a mapping", "array": "a list", "null": "nothing"}.get(kind) or quoted(node.value)
            hint = " Put it in quotes if it is meant as text." if kind == "boolean" and "string" in wanted else ""
            raise self.fail(where, f"must be {expected}; found {found}.{hint}", line)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, schema, where)
        if isinstance(node, yaml.SequenceNode):
            if len(node.value) < schema.get("minItems", 0):
                raise self.fail(where, f"must be {expected}; found an empty list.", line)
            of = schema.get("items", {})
            return [self._value(child, of, (*where, i)) for i, child in enumerate(node.value)]
        result = self._scalar(node, kind, where)
        bad = (
            ("enum" in schema and result not in schema["enum"])
            or ("pattern" in schema and not re.fullmatch(schema["pattern"], result))
            or (kind == "string" and len(result.strip()) < schema.get("minLength", 0))
            or (kind == "integer" and result < schema.get("minimum", result))
        )
        if bad:
            hint = meant(result, schema["enum"]) if "enum" in schema else ""
            raise self.fail(where, f"must be {expected}; found {quoted(result)}.{hint}", line)
        return result

    def _mapping(self, node: yaml.MappingNode, schema: Mapping[str, Any], where: Where) -> dict[str, Any]:
        known: Mapping[str, Any] = schema.get("properties", {})
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if self._kind(key_node, where) in ("array", "object", "null"):
                raise self.fail(where, "has a key that is no word; keys are single words.", line)
            key = str(key_node.value)
            here = (*where, key)
            if key in found:
                raise self.fail(here, f"is given twice, first in line {self.lines[here]}; remove one.", line)
            if key not in known and schema.get("additionalProperties") is False:
                hint = meant(key, known) or f" Known here: {', '.join(known)}."
                raise self.fail(here, f"is not a known key.{hint}", line)
            self.lines[here] = line
            found[key] = self._value(value_node, known.get(key, {}), here)
        for key in schema.get("required", ()):
            if key not in found:
                what = known[key]["description"]
                raise self.fail(where, f'lacks the key "{key}": {what}.', node.start_mark.line + 1)
        return found

    def _kind(self, node: yaml.Node, where: Where) -> str:
        """Return the JSON type of a node. Dates are texts here."""
        word = str(node.tag).removeprefix("tag:yaml.org,2002:")
        if isinstance(node, yaml.MappingNode) and word == "map":
            return "object"
        if isinstance(node, yaml.SequenceNode) and word == "seq":
            return "array"
        if isinstance(node, yaml.ScalarNode) and word in {*self._KINDS, "timestamp", "merge", "value"}:
            return self._KINDS.get(word, "string")
        message = f"has the tag {node.tag}; remove it, tags are not allowed here."
        raise self.fail(where, message, node.start_mark.line + 1)

    def _scalar(self, node: yaml.Node, kind: str, where: Where) -> Any:
        if kind == "string":
            return str(node.value)
        try:
            return self.loader.construct_object(node)
        except (ValueError, OverflowError, KeyError):
            message = f"cannot be read as {kind}: {quoted(node.value)}; write it out, or quote it."
            raise self.fail(where, message, node.start_mark.line + 1) from None


def _label(where: Where) -> str:
    """Name a place in the file, as in `models[2].base`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where)
    return text.removeprefix(".") or "the file"


def quoted(value: object) -> str:
    """Quote a value of the file, cut short: it may be anything."""
    text = str(value)
    return f'"{text[:80]}..."' if len(text) > 80 else f'"{text}"'


def meant(word: str, known: Iterable[str]) -> str:
    """Return a sentence that asks after the closest known word, or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f' Did you mean "{close[0]}"?' if close else ""
