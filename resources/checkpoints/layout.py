"""Architectures as data: the records that the YAML files are read into, and sizes worked out from config.json.

The meaning of every key is described in ``architectures/__init__.py``, which files there are in ``known_layouts``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from resources.checkpoints.errors import BadConfig, shown


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
    """One architecture file: where its models keep their matrices."""

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
                    "Restore the configuration from the model's source, or correct the size in the architecture file."
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
