"""The settings of a LoRA adapter: what is supported, what is refused by name, and the scale of each module.

Rank and alpha patterns follow PEFT: the first pattern that matches the module's name, whole or behind a dot, counts.
The patterns are regular expressions from an untrusted file, so those that could take exponential time are refused.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resources.checkpoints.errors import AdapterError, shown
from resources.checkpoints.files import MAX_CONFIG_BYTES, Roots, read_json, safe_member

ADAPTER_CONFIG = "adapter_config.json"

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

    def scale(self, module: str, rank_found: int) -> float:
        """``alpha / r`` of a module, or ``alpha / sqrt(r)`` with rslora; the rank on disk must be as configured."""
        rank = self.rank_pattern.get(_first_match(self.rank_pattern, module, self.path), self.rank)
        alpha = self.alpha_pattern.get(_first_match(self.alpha_pattern, module, self.path), self.alpha)
        if rank != rank_found:
            raise AdapterError(
                f"{self.path}: module {shown(module)!r}: expected rank {shown(rank)} (r, rank_pattern), found lora_A "
                f"with {rank_found} rows. Restore the adapter_config.json that was saved with these weights."
            )
        if not _is_number(alpha):
            raise AdapterError(
                f"{self.path}: lora_alpha of {shown(module)!r}: expected a number, found {shown(alpha)}."
            )
        return float(alpha) / (math.sqrt(rank) if self.rslora else rank)


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


def _first_match(patterns: dict[str, Any], module: str, path: Path) -> str:
    """The first pattern that matches as PEFT matches; the module's own name when none does."""
    for pattern in patterns:
        if re.fullmatch(r"[\w.]+", pattern) and "." not in pattern:
            matched = module == pattern or module.endswith("." + pattern)
        else:
            matched = _compiled(pattern, path).match(module) is not None
        if matched:
            return pattern
    return module


def _compiled(pattern: str, path: Path) -> re.Pattern[str]:
    """The pattern as PEFT builds it, unless it could take for ever: repeats of a group, or many repeats of anything."""
    repeated = re.findall(r"(\\.|\[[^\]]*\]|.)(?:[*+]|\{\d*,?\d*\})", pattern)
    wide = [atom for atom in repeated if atom not in (r"\d", "[0-9]", r"\.") and not atom.isalnum()]
    try:
        if len(pattern) > 4096 or len(repeated) > 6 or len(wide) > 2 or ")" in repeated:
            raise re.error("too many repeats, or a repeated group")
        return re.compile(rf"(.*\.)?({pattern})$")
    except (re.error, RecursionError, OverflowError) as error:
        raise AdapterError(
            f"{path}: the pattern {shown(pattern)!r} cannot be used ({shown(error)}). "
            "Write the module names out instead."
        ) from None
