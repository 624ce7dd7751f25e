"""Architectures as data: the YAML files of ``architectures/`` read into records, and sizes worked out from config.json.

The meaning of every key is described in ``architectures/__init__.py``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import yaml

from resources.checkpoints.errors import BadConfig, RemoteCode, UnknownArchitecture, listed, shown

FOLDER = Path(__file__).parent / "architectures"

#: Where multimodal configurations keep the language model's own.
_TEXT_KEYS = ("text_config", "llm_config", "language_config")


@dataclass(frozen=True)
class TensorSpec:
    """One tensor of a block: which parts it holds, along which axis, how often repeated."""

    tensor: str
    parts: dict[str, str]
    in_features: str
    groups: str = "1"
    stored: str = "out_in"
    experts: str | None = None

    @property
    def stacked(self) -> bool:
        """All experts in one tensor with a leading axis."""
        return self.experts is not None and "{expert}" not in self.tensor


@dataclass(frozen=True)
class Block:
    """A part of each layer with its alternative variants; ``optional`` when layers may go without."""

    name: str
    optional: bool
    variants: dict[str, tuple[TensorSpec, ...]]
    when: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Layout:
    """One file of ``architectures/``."""

    name: str
    model_types: dict[str, dict[str, Any]]
    prefixes: tuple[str, ...]
    layer: str
    embedding: str
    head: str
    sizes: dict[str, list[str]]
    blocks: tuple[Block, ...]
    qk_norm: tuple[str, ...] = ()
    aliases: tuple[tuple[str, str], ...] = ()
    skipped: tuple[tuple[re.Pattern[str], str], ...] = ()
    extra_layers: str | None = None

    @cached_property
    def longest_first(self) -> tuple[str, ...]:
        """The prefixes in the order in which they are stripped."""
        return tuple(sorted(filter(None, self.prefixes), key=len, reverse=True))

    def canonical(self, name: str) -> str:
        """The tensor's name without the decoder's prefix, so that nested and plain checkpoints compare as equal."""
        for prefix in self.longest_first:
            if name.startswith(prefix):
                name = name[len(prefix) :]
                break
        for old, new in self.aliases:
            name = name.replace(old, new)
        return name

    def reason(self, canonical: str) -> str | None:
        """Why the tensor is not a principal matrix; None when no rule says so."""
        for pattern, reason in self.skipped:
            if pattern.search(canonical):
                return reason
        return None


@dataclass
class Sizes:
    """The numbers of one configuration by the layout's names (``heads``, ``hidden``), and formulas over them."""

    path: Path
    config: dict[str, Any]
    defaults: dict[str, Any]
    rules: dict[str, list[str]]
    _known: dict[str, int] = field(default_factory=dict)
    _open: list[str] = field(default_factory=list)

    def __getitem__(self, formula: str) -> int:
        """The value of a name, a config key or a formula of ``+``, ``*``, ``/`` over them.

        Raises BadConfig naming the key when the configuration has no such number.
        """
        if formula not in self._known:
            value = self._formula(formula)
            if value is None:
                keys = ", ".join(self.rules.get(formula, [formula]))
                raise BadConfig(
                    f"{self.path}: expected a positive whole number for {formula} (keys tried: {keys}), found none. "
                    "Restore the configuration from the model's source."
                )
            self._known[formula] = value
        return self._known[formula]

    def agrees(self, conditions: dict[str, Any]) -> bool:
        """Whether the configuration, or what its silence means, has all these values."""
        said = (self.config[key] if key in self.config else self.defaults.get(key) for key in conditions)
        return all(value == wanted for value, wanted in zip(said, conditions.values(), strict=True))

    def get(self, name: str) -> int | None:
        """The value, or None when the configuration lacks it."""
        try:
            return self[name]
        except BadConfig:
            return None

    def _formula(self, formula: str) -> int | None:
        total = 0
        for term in formula.split("+"):
            product: int | None = None
            for operator, token in re.findall(r"([*/]?)\s*([\w.]+)", term):
                value = self._token(token)
                if value is None:
                    return None
                if product is None:
                    product = value
                elif operator == "*":
                    product *= value
                else:
                    if product % value:
                        raise BadConfig(
                            f"{self.path}: {formula} is {product}/{value}, which is no whole number. "
                            "Restore the configuration from the model's source."
                        )
                    product //= value
            if product is None:
                return None
            total += product
        return total

    def _first(self, alternatives: list[str]) -> int | None:
        """The first alternative with a value: what config.json says goes before what its silence means."""
        said = [key for key in alternatives if self.config.get(key) is not None]
        return next((value for value in map(self._formula, [*said, *alternatives]) if value is not None), None)

    def _token(self, token: str) -> int | None:
        if token.isdigit():
            return int(token)
        if token in self.rules and token not in self._open:
            if token not in self._known:
                self._open.append(token)
                try:
                    value = self._first(self.rules[token])
                finally:
                    self._open.pop()
                if value is None:
                    return None
                self._known[token] = value
            return self._known[token]
        value = self.config.get(token)
        if value is None:
            value = self.defaults.get(token)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**31:
            raise BadConfig(
                f"{self.path}: {token}: expected a positive whole number, found {shown(value)!r}. "
                "Restore the configuration from the model's source."
            )
        return value


@cache
def _raw(name: str) -> dict[str, Any]:
    """One YAML file, with what it extends merged in."""
    own: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    parent = own.pop("extends", None)
    if parent is None:
        return own
    inherited = {key: value for key, value in _raw(parent).items() if key != "model_types"}
    merged = inherited | own
    for table in ("blocks", "sizes"):
        merged[table] = inherited.get(table, {}) | own.get(table, {})
    merged["blocks"] = {key: value for key, value in merged["blocks"].items() if value is not None}
    return merged


@cache
def layouts() -> dict[str, Layout]:
    """Every known layout by ``model_type``."""
    common = _raw("common")
    found: dict[str, Layout] = {}
    for path in sorted(FOLDER.glob("*.yaml")):
        if path.stem in ("common", "wrappers"):
            continue
        raw = _raw(path.stem)
        rules = [*raw.get("skipped", []), *common["skipped"]]
        layout = Layout(
            name=path.stem,
            model_types={key: value or {} for key, value in raw["model_types"].items()},
            prefixes=tuple(raw["prefixes"]),
            layer=raw["layer"],
            embedding=raw["embedding"],
            head=raw["head"],
            sizes=common["sizes"] | raw.get("sizes", {}),
            blocks=tuple(_block(name, variants, raw.get("when", {})) for name, variants in raw["blocks"].items()),
            qk_norm=tuple(raw.get("qk_norm", ())),
            aliases=tuple((old, new) for old, new in raw.get("aliases", ())),
            skipped=tuple((re.compile(pattern), reason) for pattern, reason in rules),
            extra_layers=raw.get("extra_layers"),
        )
        for model_type in layout.model_types:
            if model_type in found:
                raise ValueError(f"{path}: {model_type} is also in {found[model_type].name}.yaml")
            found[model_type] = layout
    return found


def _block(name: str, variants: dict[str, list[dict[str, Any]]], when: dict[str, dict[str, Any]]) -> Block:
    return Block(
        name=name.rstrip("?"),
        optional=name.endswith("?"),
        variants={key: tuple(_spec(entry) for entry in entries) for key, entries in variants.items()},
        when=when,
    )


def _spec(entry: dict[str, Any]) -> TensorSpec:
    unknown = set(entry) - {"tensor", "parts", "in", "groups", "stored", "experts"}
    if unknown or entry.get("stored", "out_in") not in ("out_in", "in_out"):
        raise ValueError(f"architectures: {entry}: unknown keys {sorted(unknown)} or orientation")
    return TensorSpec(
        tensor=entry["tensor"],
        parts={part: str(rows) for part, rows in entry["parts"].items()},
        in_features=str(entry["in"]),
        groups=str(entry.get("groups", 1)),
        stored=entry.get("stored", "out_in"),
        experts=entry.get("experts"),
    )


def text_config(config: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The language model's own model_type and configuration, inside a multimodal one or not."""
    model_type = str(config.get("model_type", ""))
    wrappers: dict[str, str] = _raw("wrappers")["model_types"]
    nested = next((config[key] for key in _TEXT_KEYS if isinstance(config.get(key), dict)), None)
    if nested is not None and (model_type in wrappers or model_type not in layouts() or "hidden_size" not in config):
        return str(nested.get("model_type") or wrappers.get(model_type, "")), nested
    if model_type in wrappers and nested is None:
        return wrappers[model_type], config
    return model_type, config


def find_layout(config: dict[str, Any], config_path: Path, tensor_names: list[str]) -> tuple[Layout, Sizes]:
    """The layout that describes this configuration, with its sizes.

    Raises UnknownArchitecture listing the tensor names found, and RemoteCode when only its own code would know.
    """
    model_type, text = text_config(config)
    layout = layouts().get(model_type)
    if layout is not None:
        return layout, Sizes(config_path, text, layout.model_types[model_type], layout.sizes)
    outer = shown(config.get("model_type"))
    known = ", ".join(sorted(layouts()))
    names = listed(sorted(tensor_names))
    if config.get("auto_map"):
        raise RemoteCode(
            f"{config_path}: model_type {outer!r} needs code from the model's own repository (auto_map: "
            f"{shown(config['auto_map'])}), which is never executed, and no file in architectures/ describes "
            f"it. Tensors found: {names}. Describe the layout in resources/checkpoints/architectures/<name>.yaml. "
            f"Known: {known}."
        )
    raise UnknownArchitecture(
        f"{config_path}: unknown architecture, model_type {outer!r}"
        + (f" with text model {shown(model_type)!r}" if shown(model_type) != outer else "")
        + f". Tensors found: {names}. Describe where its matrices live in "
        "resources/checkpoints/architectures/<name>.yaml, or add the model_type to a file of the same tensor names. "
        f"Known: {known}."
    )
