"""The settings of a LoRA adapter: what is supported, what is refused by name, and the scale of each module.

Rank and alpha patterns follow PEFT: the first pattern that matches the module's name, whole or behind a dot, counts.
They come from an untrusted file and are matched in bounded time (``name_patterns``).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resources.checkpoints.errors import AdapterError, shown
from resources.checkpoints.files import MAX_CONFIG_BYTES, Roots, read_json, safe_member
from resources.checkpoints.name_patterns import Alternatives, Character, Name, UnsupportedPattern, parse

ADAPTER_CONFIG = "adapter_config.json"

#: One for each module of the largest models, written out, with some to spare; and all their characters.
MAX_PATTERNS = 1024
MAX_PATTERN_TEXT = 2**16

#: Patterns and items of them tried for one adapter: more than twice what 900 patterns for 900 modules take.
MAX_WORK = 2_000_000

#: Initialisations that leave the base as it is. PiSSA, OLoRA, CorDA, LoftQ, LoRA-GA change it and save only A and B.
_PLAIN_STARTS = (True, False, None, "gaussian", "eva", "orthogonal")

#: Settings that change what the adapter computes -> what it is called.
_UNSUPPORTED = {
    "use_dora": "DoRA",
    "use_qalora": "QALoRA",
    "use_bdlora": "block-diagonal LoRA",
    "alora_invocation_tokens": "activated LoRA",
    "arrow_config": "Arrow routing",
    "monteclora_config": "MonteCLoRA",
    "kasa_config": "KaSA",
    "velora_config": "VeLoRA",
    "layer_replication": "layer replication",
    "trainable_token_indices": "trainable tokens",
    "target_parameters": "LoRA on parameters (stacked experts)",
    "megatron_config": "Megatron parallel layers",
}

_REMEDY = "Merge it with PEFT (merge_and_unload), save the merged model, and give that folder."


@dataclass(frozen=True)
class LoraSettings:
    """The part of adapter_config.json that decides the merged weights."""

    path: Path
    rank: int
    alpha: float
    rank_pattern: dict[str, Any]
    alpha_pattern: dict[str, Any]
    rslora: bool
    tie: bool


class ModuleScales:
    """The scale of each module that an adapter changes."""

    def __init__(self, settings: LoraSettings) -> None:
        self.settings = settings
        self.ranks = PatternTable("rank_pattern", settings.rank_pattern, settings.path)
        self.alphas = PatternTable("alpha_pattern", settings.alpha_pattern, settings.path)

    def scale(self, module: str, rank_found: int) -> float:
        """``alpha / r`` of a module, or ``alpha / sqrt(r)`` with rslora; the rank on disk must be as configured."""
        path = self.settings.path
        rank = self.ranks.find(module, self.settings.rank)
        alpha = self.alphas.find(module, self.settings.alpha)
        if rank != rank_found:
            raise AdapterError(
                f"{path}: module {shown(module)!r}: expected rank {shown(rank)} (r, rank_pattern), found lora_A with "
                f"{rank_found} rows. Restore the adapter_config.json that was saved with these weights."
            )
        if not _is_number(alpha):
            raise AdapterError(f"{path}: lora_alpha of {shown(module)!r}: expected a number, found {shown(alpha)}.")
        return float(alpha) / (math.sqrt(rank) if self.settings.rslora else rank)


@dataclass(frozen=True)
class _Pattern:
    """A parsed pattern, with what any name that it matches must end in and, where it is fixed, the match's length."""

    tree: Alternatives
    tail: str
    length: int | None


class PatternTable:
    """Values for modules: of the first pattern that is the module's whole name, or what follows one of its dots.

    That is PEFT's ``(.*\\.)?(pattern)$``. Raises AdapterError for more than ``MAX_PATTERNS`` patterns, for one outside
    the grammar of ``name_patterns``, and when matching takes more than ``MAX_WORK`` tries.
    """

    def __init__(self, setting: str, values: dict[str, Any], path: Path) -> None:
        self.setting, self.values, self.path, self.work = setting, values, path, 0
        if len(values) > MAX_PATTERNS:
            raise AdapterError(f"{path}: {setting}: {len(values)} patterns, expected at most {MAX_PATTERNS}. {_REMEDY}")
        if (length := sum(map(len, values))) > MAX_PATTERN_TEXT:
            raise AdapterError(
                f"{path}: {setting}: patterns of {length} characters in all, expected at most {MAX_PATTERN_TEXT}. "
                f"{_REMEDY}"
            )
        self.patterns = {text: self._parsed(text) for text in values}

    def find(self, module: str, default: Any) -> Any:
        """The module's value."""
        name = Name(module)
        starts = name.start | name.where.get(".", 0) << 1
        return self.values.get(next(self._matching(name, module, starts), module), default)

    def _matching(self, name: Name, module: str, starts: int) -> Iterator[str]:
        """The patterns that match, in order."""
        for text, pattern in self.patterns.items():
            reached, before = 0, name.work
            if module.endswith(pattern.tail) and len(module) >= (pattern.length or 0):
                possible = starts if pattern.length is None else starts & (name.end >> pattern.length)
                reached = name.after(pattern.tree, possible) if possible else 0
            self.work += 1 + name.work - before
            if self.work > MAX_WORK:
                raise AdapterError(
                    f"{self.path}: {self.setting}: {len(self.values)} patterns for so many modules take too long to "
                    f"match. {_REMEDY}"
                )
            if reached & name.end:
                yield text

    def _parsed(self, text: str) -> _Pattern:
        try:
            tree = parse(text)
        except UnsupportedPattern as error:
            raise AdapterError(
                f"{self.path}: {self.setting}: the pattern {shown(text)!r} cannot be used: {shown(error)}. Write the "
                "module names out instead."
            ) from None
        items = tree.sequences[0] if len(tree.sequences) == 1 else ()
        fixed = [isinstance(item, Character) and not item.optional and not item.endless for item in items]
        tail = ""
        for item, once in zip(reversed(items), reversed(fixed), strict=True):
            if not once or not (letter := item.of.only if isinstance(item, Character) else ""):
                break
            tail = letter + tail
        return _Pattern(tree, tail, len(items) if items and all(fixed) else None)


def read_settings(folder: Path, roots: Roots) -> LoraSettings:
    """Read and check ``adapter_config.json``; AdapterError names what is not supported."""
    path = safe_member(folder, ADAPTER_CONFIG, roots)
    config = read_json(path, MAX_CONFIG_BYTES, AdapterError)
    kind = config.get("peft_type")
    if kind != "LORA":
        raise AdapterError(f"{path}: peft_type is {shown(kind)!r}, only LORA can be merged on the fly. {_REMEDY}")
    for setting, name in _UNSUPPORTED.items():
        if config.get(setting):
            raise AdapterError(f"{path}: {name} ({setting}) is not supported. {_REMEDY}")
    start = config.get("init_lora_weights")
    if not any(start is plain or (isinstance(plain, str) and start == plain) for plain in _PLAIN_STARTS):
        raise AdapterError(
            f"{path}: init_lora_weights is {shown(start)!r}: the adapter belongs to a base that this initialisation "
            f"changed, which is not saved with it. {_REMEDY}"
        )
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if not isinstance(rank, int) or isinstance(rank, bool) or not 0 < rank < 2**31:
        raise AdapterError(f"{path}: r: expected a positive whole number, found {shown(rank)}. {_REMEDY}")
    if alpha is None or not _is_number(alpha):
        raise AdapterError(f"{path}: lora_alpha: expected a number, found {shown(alpha)}. {_REMEDY}")
    patterns = [config.get(key) or {} for key in ("rank_pattern", "alpha_pattern")]
    if not all(isinstance(pattern, dict) for pattern in patterns):
        raise AdapterError(f"{path}: rank_pattern and alpha_pattern: expected tables. {_REMEDY}")
    return LoraSettings(
        path,
        rank,
        float(alpha),
        patterns[0],
        patterns[1],
        bool(config.get("use_rslora")),
        bool(config.get("ensure_weight_tying")),
    )


def base_name(folder: Path, roots: Roots) -> str:
    """``base_model_name_or_path`` as the adapter's makers wrote it."""
    config = read_json(safe_member(folder, ADAPTER_CONFIG, roots), MAX_CONFIG_BYTES, AdapterError)
    return str(config.get("base_model_name_or_path") or "")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e30 and value == value
