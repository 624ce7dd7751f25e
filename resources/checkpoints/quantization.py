"""Quantized weights: fp8 with its scales is read exactly, everything packed is refused by name.

Evidence is taken from both sides: what ``quantization_config`` says and what the tensors' names and dtypes are. A scale
that is missing is an error, because fp8 numbers without it are wrong by a factor of thousands.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources.checkpoints.errors import QuantizedFormat, ShapeMismatch, listed, shown
from resources.checkpoints.header import FP8, TensorEntry
from resources.checkpoints.inventory import Inventory

if TYPE_CHECKING:
    import torch

    from resources.checkpoints.tensors import Scale

#: quant_method words whose tensors are plain fp8 with scales beside them.
_FP8_METHODS = ("fp8", "fbgemm_fp8", "compressed-tensors", "modelopt", "finegrained_fp8")

#: names that only packed formats use -> the format
_PACKED_NAMES = (
    (re.compile(r"\.(qweight|qzeros|g_idx)$"), "GPTQ or AWQ"),
    (re.compile(r"\.(absmax|nested_absmax|quant_map|quant_state\b.*|SCB|weight_format)$"), "bitsandbytes"),
    (re.compile(r"\.weight_(packed|zero_point|g_idx|shape)$"), "compressed-tensors (packed)"),
    (re.compile(r"_(blocks|scales)$"), "MXFP4"),
    (re.compile(r"\.(codebooks|codes)$"), "AQLM"),
    (re.compile(r"\.(W_q|W_q_meta)$"), "HQQ"),
    (re.compile(r"\.weight\._(data|scale|qdata)$"), "quanto or torchao"),
)

_REMEDY = "Use the unquantized checkpoint (bf16, fp16, fp32) or its fp8 release."


def stated_packing(config: dict[str, Any]) -> str | None:
    """The packed format that a ``config.json`` alone states; None when it states none, or fp8, which is read.

    For a checkpoint that is not here yet: ``refuse_packed`` judges the tensors too.
    """
    nested = config.get("text_config")
    stated = config.get("quantization_config") or (
        nested.get("quantization_config") if isinstance(nested, dict) else None
    )
    if not stated:
        return None
    method = _method(stated) if isinstance(stated, dict) else "an unnamed method"
    return None if method.partition(" ")[0] in _FP8_METHODS else method


def refuse_packed(config: dict[str, Any], inventory: Inventory) -> str | None:
    """``"fp8"`` for fp8 weights, None for plain ones; QuantizedFormat naming the format for all others."""
    quantization = config.get("quantization_config")
    if quantization is None and isinstance(config.get("text_config"), dict):
        quantization = config["text_config"].get("quantization_config")
    if quantization is not None and not isinstance(quantization, dict):
        raise QuantizedFormat(
            f"{inventory.folder}: quantization_config is {shown(quantization)!r}, expected a table. {_REMEDY}"
        )
    packed = _packed_tensor(inventory)
    has_fp8 = any(entry.dtype in FP8 for entry in inventory.tensors.values())
    if quantization:
        method = _method(quantization)
        word = method.partition(" ")[0]
        if word not in _FP8_METHODS or packed or not has_fp8:
            evidence = f"; tensor {shown(packed[0])!r} is packed" if packed else ""
            raise QuantizedFormat(
                f"{inventory.folder}: quantized with {shown(method)} (quantization_config{evidence}), which cannot be "
                f"read exactly. {_REMEDY}"
            )
    elif packed:
        raise QuantizedFormat(
            f"{inventory.folder}: tensor {shown(packed[0])!r} belongs to a packed format, {packed[1]}, which cannot "
            f"be read exactly. {_REMEDY}"
        )
    return "fp8" if has_fp8 else None


def _method(quantization: dict[str, Any]) -> str:
    method = str(quantization.get("quant_method") or "")
    if not method:
        if quantization.get("load_in_4bit") or quantization.get("load_in_8bit"):
            method = "bitsandbytes"
        else:
            method = "an unnamed method"
    detail = (
        quantization.get("bits")
        or quantization.get("format")
        or ("4-bit" if quantization.get("load_in_4bit") else None)
    )
    return f"{method} ({detail})" if detail else method


def _packed_tensor(inventory: Inventory) -> tuple[str, str] | None:
    """The first tensor that only a packed format has, with the format's name."""
    for name, entry in inventory.tensors.items():
        for pattern, what in _PACKED_NAMES:
            if pattern.search(name):
                return name, what
        integer = entry.dtype in ("U8", "I8", "I16", "U16", "I32", "U32", "I64", "U64", "F4", "F6_E2M3", "F6_E3M2")
        if integer and name.endswith(".weight") and len(entry.shape) >= 2:
            return name, f"{entry.dtype} weights"
    return None


def scale_of(entry: TensorEntry, inventory: Inventory, config: dict[str, Any]) -> Scale | None:
    """The scale that belongs to an fp8 tensor; None for other dtypes.

    ``<weight>_scale_inv`` (DeepSeek) and ``<weight>_scale`` are both multiplied. Raises QuantizedFormat when there is
    none, ShapeMismatch when it fits neither the tensor, its rows nor its blocks.
    """
    if entry.dtype not in FP8:
        return None
    from resources.checkpoints.tensors import Scale, read_whole

    candidates = [entry.name + "_scale_inv", entry.name + "_scale"]
    found = next((inventory.tensors[name] for name in candidates if name in inventory.tensors), None)
    if found is None:
        raise QuantizedFormat(
            f"{entry.path}: tensor {shown(entry.name)!r} is {entry.dtype} but has no scale (looked for "
            f"{listed(candidates)}); without it the weights are wrong by orders of magnitude. Download the checkpoint "
            "again, or use the unquantized one."
        )
    values = read_whole(found).float()
    return Scale(*_aligned(values, entry, found, _block_size(config, inventory.folder)))


def _block_size(config: dict[str, Any], folder: Path) -> tuple[int, int] | None:
    quantization = (
        config.get("quantization_config") or (config.get("text_config") or {}).get("quantization_config") or {}
    )
    block = quantization.get("weight_block_size")
    if block is None:
        return None
    if isinstance(block, list) and len(block) == 2 and all(isinstance(n, int) and 0 < n < 2**31 for n in block):
        return block[0], block[1]
    raise QuantizedFormat(
        f"{folder}: quantization_config.weight_block_size: expected two whole numbers, found {shown(block)}. Restore "
        "config.json from the model's source."
    )


def _aligned(
    values: torch.Tensor, entry: TensorEntry, scale: TensorEntry, block: tuple[int, int] | None
) -> tuple[torch.Tensor, tuple[int, ...]]:
    """Scales with one axis for each of the weight's, and how many elements share one on each axis."""
    shape = entry.shape
    if values.numel() == 1:
        return values.reshape([1] * len(shape)), shape
    if values.dim() == 1 and values.shape[0] == shape[0]:
        values = values.reshape(-1, *[1] * (len(shape) - 1))
    sharing: list[int] = []
    blocks = (1,) * (len(shape) - 2) + (block or (0, 0))
    if values.dim() == len(shape):
        for size, scales, step in zip(shape, values.shape, blocks, strict=True):
            if step > 1 and scales == -(-size // step):
                sharing.append(step)
            elif scales == size:
                sharing.append(1)
            elif scales == 1:
                sharing.append(max(1, size))
            else:
                break
    if len(sharing) != len(shape):
        expected = f"blocks of {list(block)}" if block else "one scale, or one for each output row"
        raise ShapeMismatch(
            f"{scale.path}: tensor {shown(scale.name)!r}: expected {expected} of {shown(entry.name)!r} {list(shape)}, "
            f"found {list(scale.shape)}. Restore quantization_config.weight_block_size from the model's source."
        )
    return values, tuple(sharing)
