"""One YAML file of an architecture, checked key by key: what is wrong is said with its line and what was expected.

The meaning of the keys stands in ``architectures/__init__.py``. Nodes are walked rather than loaded values, because
only nodes know their line.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from resources.checkpoints.errors import BadArchitectureFile, shown

Where = tuple[str | int, ...]
"""A place in a file: the keys and list positions that lead to it."""

_FORMULA = re.compile(r"\s*[\w.]+(\s*[+*/]\s*[\w.]+)*\s*")


@dataclass(frozen=True)
class ArchitectureFile:
    """The plain content of a file, and the line of each place in it."""

    path: Path
    content: dict[str, Any]
    lines: dict[Where, int]

    def wrong(self, where: Where, message: str) -> BadArchitectureFile:
        """The error about a place in the file, or about the nearest one around it that stands there."""
        nearest = where
        while nearest not in self.lines:
            nearest = nearest[:-1]
        label = "".join(f"[{part}]" if isinstance(part, int) else f".{shown(part, 60)}" for part in where)
        return BadArchitectureFile(
            f"{self.path}, line {self.lines[nearest]}: {label.removeprefix('.') or 'the file'}: {message}"
        )


def read_architecture(path: Path) -> ArchitectureFile:
    """Read and check one file by itself. Raises BadArchitectureFile."""
    file = _composed(path)
    _check_table(file, (), file.content, _KEYS)
    return file


def read_wrappers(path: Path) -> ArchitectureFile:
    """Read ``wrappers.yaml``: the words of multimodal models, and of the language models inside them."""
    file = _composed(path)
    _check_table(file, (), file.content, {"model_types": _table_of(_text)})
    return file


def check_architecture(file: ArchitectureFile, merged: dict[str, Any]) -> None:
    """What can be checked only with what the file extends: that nothing is missing and ``when`` speaks of variants."""
    for key in ("model_types", "prefixes", "layer", "embedding", "head", "blocks"):
        if not merged.get(key):
            raise file.wrong((), f"lacks {key}, which it must have itself or from the file that it extends.")
    variants = {variant for block in merged["blocks"].values() for variant in block}
    for variant in merged.get("when", {}):
        if variant not in variants:
            raise file.wrong(("when", variant), f"expected a variant of a block.{meant(variant, variants)}")


def meant(word: object, known: Iterable[str]) -> str:
    """A sentence that asks after the closest known word, or lists the words if there are few, or nothing."""
    words = sorted(known)
    close = difflib.get_close_matches(str(word), words, n=1)
    if close:
        return f" Did you mean {close[0]!r}?"
    return f" Known here: {', '.join(words)}." if len(words) <= 16 else ""


def _composed(path: Path) -> ArchitectureFile:
    """The file's values and lines, without any check of their meaning."""
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise BadArchitectureFile(f"{path}: cannot be read ({shown(error)}). Save it as UTF-8 text.") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise BadArchitectureFile(
            f"{path}{line}: not valid YAML: {shown(error.problem)}. Check the indentation, colons and quotes."
        ) from None
    except yaml.YAMLError as error:
        raise BadArchitectureFile(f"{path}: not valid YAML: {shown(error)}. Remove that character.") from None
    file = ArchitectureFile(path, {}, {(): 1})
    content = _value(file, node, ()) if node is not None else {}
    if not isinstance(content, dict):
        raise file.wrong((), f"expected a table, found {_found(content)}.")
    return ArchitectureFile(path, content, file.lines)


def _value(file: ArchitectureFile, node: yaml.Node, where: Where) -> Any:
    file.lines.setdefault(where, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        return [_value(file, item, (*where, number)) for number, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            here = (*where, str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "a key")
            if here in file.lines:
                raise file.wrong(here, f"stands there twice, again in line {key_node.start_mark.line + 1}. Remove one.")
            file.lines[here] = key_node.start_mark.line + 1
            found[str(here[-1])] = _value(file, value_node, here)
        return found
    try:
        return yaml.SafeLoader("").construct_object(node)
    except (yaml.YAMLError, ValueError):
        raise file.wrong(where, f"expected a plain value, found {shown(node.value)!r}.") from None


def _found(value: object) -> str:
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "a list"
    return "nothing" if value is None else repr(shown(value))


# What may stand where: a check raises the error of its place.

Check = Callable[[ArchitectureFile, Where, Any], None]


def _text(file: ArchitectureFile, where: Where, value: Any) -> None:
    if not isinstance(value, str):
        raise file.wrong(where, f"expected a text, found {_found(value)}.")


def _layer(file: ArchitectureFile, where: Where, value: Any) -> None:
    if not isinstance(value, str) or value.count("{layer}") != 1 or re.search(r"[{}]", value.replace("{layer}", "")):
        raise file.wrong(where, f"expected a start of names, as in 'layers.{{layer}}.', found {_found(value)}.")


def _formula(file: ArchitectureFile, where: Where, value: Any) -> None:
    number = isinstance(value, int) and not isinstance(value, bool) and value > 0
    if not number and not (isinstance(value, str) and _FORMULA.fullmatch(value)):
        raise file.wrong(
            where, f"expected a size, a key of config.json or a formula of +, *, / over them, found {_found(value)}."
        )


def _orientation(file: ArchitectureFile, where: Where, value: Any) -> None:
    if value not in ("out_in", "in_out"):
        raise file.wrong(
            where, f"expected out_in or in_out, found {_found(value)}.{meant(value, ('out_in', 'in_out'))}"
        )


def _scalar(file: ArchitectureFile, where: Where, value: Any) -> None:
    if not isinstance(value, str | int | float | bool):
        raise file.wrong(where, f"expected a number, a truth value or a text, found {_found(value)}.")


def _list_of(check: Check) -> Check:
    def checked(file: ArchitectureFile, where: Where, value: Any) -> None:
        if not isinstance(value, list) or not value:
            raise file.wrong(where, f"expected a list, found {'an empty one' if value == [] else _found(value)}.")
        for number, item in enumerate(value):
            check(file, (*where, number), item)

    return checked


def _table_of(check: Check) -> Check:
    """Any keys, one kind of value."""

    def checked(file: ArchitectureFile, where: Where, value: Any) -> None:
        if not isinstance(value, dict) or not value:
            raise file.wrong(where, f"expected a table, found {'an empty one' if value == {} else _found(value)}.")
        for key, item in value.items():
            check(file, (*where, key), item)

    return checked


def _or_nothing(check: Check) -> Check:
    def checked(file: ArchitectureFile, where: Where, value: Any) -> None:
        if value is not None and value != {}:
            check(file, where, value)

    return checked


def _pair(file: ArchitectureFile, where: Where, value: Any) -> None:
    if not isinstance(value, list) or len(value) != 2 or not all(isinstance(item, str) for item in value):
        raise file.wrong(where, f"expected a list of two texts, found {_found(value)}.")


def _rule(file: ArchitectureFile, where: Where, value: Any) -> None:
    _pair(file, where, value)
    try:
        re.compile(value[0])
    except re.error as error:
        raise file.wrong(where, f"{shown(value[0])!r} is no regular expression ({error}).") from None


def _tensor(file: ArchitectureFile, where: Where, value: Any) -> None:
    if not isinstance(value, dict):
        example = "{tensor: NAME, parts: {q: ROWS}, in: COLUMNS}"
        raise file.wrong(where, f"expected a tensor, as in {example}, found {_found(value)}.")
    _check_table(file, where, value, _TENSOR)
    for key in ("tensor", "parts", "in"):
        if key not in value:
            raise file.wrong(where, f"lacks {key}.")


def _check_table(file: ArchitectureFile, where: Where, table: dict[str, Any], checks: dict[str, Check]) -> None:
    for key, value in table.items():
        if key not in checks:
            raise file.wrong((*where, key), f"is not a known key.{meant(key, checks)}")
        checks[key](file, (*where, key), value)


_TENSOR: dict[str, Check] = {
    "tensor": _text,
    "parts": _table_of(_formula),
    "in": _formula,
    "groups": _formula,
    "stored": _orientation,
    "experts": _formula,
}
_KEYS: dict[str, Check] = {
    "extends": _text,
    "model_types": _table_of(_or_nothing(_table_of(_scalar))),
    "prefixes": _list_of(_text),
    "layer": _layer,
    "embedding": _text,
    "head": _text,
    "sizes": _table_of(_list_of(_formula)),
    "qk_norm": _list_of(_text),
    "aliases": _list_of(_pair),
    "skipped": _list_of(_rule),
    "extra_layers": _text,
    "when": _table_of(_table_of(_scalar)),
    "blocks": _table_of(_or_nothing(_table_of(_list_of(_tensor)))),
}
