"""Layout and inventory brought together: where each principal matrix lies, and what every other tensor is.

Everything here works on headers alone; no weight is read.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from resources.checkpoints.ends import describe_attention, find_ends
from resources.checkpoints.errors import MissingTensor, QuantizedFormat, ShapeMismatch, listed, shown
from resources.checkpoints.header import FP8, PLAIN, TensorEntry
from resources.checkpoints.inventory import Inventory
from resources.checkpoints.keys import ANALYSED, SKIPPED, UNEXPLAINED, MatrixKey, TensorCoverage
from resources.checkpoints.layout import Block, Layout, Sizes, TensorSpec
from resources.checkpoints.parts import Part, Structure

SCALE = "fp8 scale"
_BUFFERS = ("rotary buffer", "attention mask buffer")
_SCALE_NAME = re.compile(r"(^|\.)(input|activation|weight|k|v|q)_scale(_inv|_ub)?$")
_SCALE_END = re.compile(r"_scale(_inv)?$")


def build(layout: Layout, sizes: Sizes, inventory: Inventory, config: dict[str, Any], quantized: bool) -> Structure:
    """The structure of a checkpoint.

    Raises MissingTensor naming the layer and the tensors found in it, ShapeMismatch naming both shapes.
    """
    found = Structure(layout, inventory)
    prefix = _decoder_prefix(layout, inventory)
    by_layer = _layers(layout, sizes, inventory, prefix)
    for layer in range(sizes["layers"]):
        start = prefix + layout.layer.format(layer=layer)
        for block in layout.blocks:
            found.parts.update(_bind_block(block, layer, start, sizes, inventory, by_layer.get(layer, [])))
    principal = {part.entry.name for part in found.parts.values()}
    _name_others(found, layout, sizes, inventory, principal, quantized)
    find_ends(found, layout, sizes, inventory, config, prefix)
    describe_attention(found, layout, sizes, inventory, prefix)
    return found


def _decoder_prefix(layout: Layout, inventory: Inventory) -> str:
    """Where the decoder's layers sit: the first of the layout's prefixes under which there are layers."""
    stem = layout.layer.partition("{layer}")[0]
    for prefix in layout.prefixes:
        if any(name.startswith(prefix + stem) for name in inventory.tensors):
            return prefix
    raise MissingTensor(
        f"{inventory.folder}: expected layers named {shown(layout.prefixes[0] + stem)}0... as {layout.name}.yaml "
        f"says, found {listed(sorted(inventory.tensors))}. Check that config.json belongs to these weights, or "
        "describe the layout in resources/checkpoints/architectures/."
    )


def _layers(layout: Layout, sizes: Sizes, inventory: Inventory, prefix: str) -> dict[int, list[str]]:
    """Tensor names by layer; a layer beyond the configuration's number is an error unless the layout knows of it."""
    stem = prefix + layout.layer.partition("{layer}")[0]
    by_layer: dict[int, list[str]] = defaultdict(list)
    for name in inventory.tensors:
        number = name[len(stem) :].partition(".")[0] if name.startswith(stem) else ""
        if number.isdecimal() and len(number) < 7:
            by_layer[int(number)].append(name)
    beyond = sorted(layer for layer in by_layer if layer >= sizes["layers"])
    if beyond and layout.extra_layers is None:
        raise ShapeMismatch(
            f"{inventory.folder}: config.json says {sizes['layers']} layers, found tensors of layer {beyond[0]} "
            f"({listed(by_layer[beyond[0]], 2)}). Restore the configuration from the model's source."
        )
    return by_layer


def _names(spec: TensorSpec, start: str, sizes: Sizes) -> Iterator[tuple[int | None, str]]:
    """The tensor names that one spec stands for, with the expert each belongs to."""
    if spec.experts is not None and not spec.stacked:
        for expert in range(sizes[spec.experts]):
            yield expert, start + spec.tensor.replace("{expert}", str(expert))
    else:
        yield None, start + spec.tensor


def _bind_block(
    block: Block, layer: int, start: str, sizes: Sizes, inventory: Inventory, in_layer: list[str]
) -> dict[MatrixKey, Part]:
    """The principal matrices of one block of one layer, in the layout's order, expert by expert."""
    best: tuple[int, str, list[str]] = (-1, "", [])
    complete: list[str] = []
    there = inventory.tensors
    for variant, specs in block.variants.items():
        if not sizes.agrees(block.when.get(variant, {})):
            continue
        missing: list[str] = []
        present = 0
        for spec in specs:
            if spec.experts is not None and sizes.get(spec.experts) is None:
                missing.append(start + spec.tensor)
                continue
            for _, name in _names(spec, start, sizes):
                if name in there:
                    present += 1
                else:
                    missing.append(name)
                    if len(missing) > 64:  # a configuration may claim any number of experts
                        break
        if not missing:
            complete.append(variant)
        elif present > best[0]:
            best = (present, variant, missing)
    if len(complete) > 1:
        raise ShapeMismatch(
            f"{inventory.folder}: layer {layer} holds its {block.name} matrices twice ({' and '.join(complete)}): "
            f"{listed(sorted(in_layer))}. Export the checkpoint again with one of them."
        )
    if not complete:
        if block.optional and best[0] <= 0:
            return {}
        raise MissingTensor(
            f"{inventory.folder}: layer {layer} lacks {listed(best[2], 4)} ({block.name}: {best[1]}). Tensors found "
            f"in this layer: {listed(sorted(in_layer))}. Download the checkpoint again, or describe its layout in "
            "resources/checkpoints/architectures/."
        )
    parts: list[tuple[MatrixKey, Part]] = []
    for spec in block.variants[complete[0]]:
        for expert, name in _names(spec, start, sizes):
            parts.extend(_parts(spec, layer, expert, there[name], sizes))
    return dict(sorted(parts, key=lambda item: item[0].expert))  # a stable sort keeps q k v o


def _parts(
    spec: TensorSpec, layer: int, expert: int | None, entry: TensorEntry, sizes: Sizes
) -> Iterator[tuple[MatrixKey, Part]]:
    """The parts of one tensor, after its shape has been checked against the configuration."""
    if entry.dtype not in PLAIN + FP8:
        raise QuantizedFormat(
            f"{entry.path}: tensor {shown(entry.name)!r} holds weights as {entry.dtype}, expected one of "
            f"{', '.join(PLAIN + FP8)}. Use the unquantized checkpoint."
        )
    rows = {part: sizes[formula] for part, formula in spec.parts.items()}
    groups, columns = sizes[spec.groups], sizes[spec.in_features]
    stride = sum(rows.values())
    transposed = spec.stored == "in_out"
    expected: tuple[int, ...] = (columns, groups * stride) if transposed else (groups * stride, columns)
    if spec.stacked:
        expected = (sizes[str(spec.experts)], *expected)
    if entry.shape != expected:
        formula = f"{spec.groups} * ({' + '.join(spec.parts.values())}) outputs, {spec.in_features} inputs"
        raise ShapeMismatch(
            f"{entry.path}: tensor {shown(entry.name)!r}: expected {list(expected)} from config.json ({formula}), "
            f"found {list(entry.shape)}. Restore the configuration that belongs to these weights."
        )
    slabs: list[int | None] = list(range(expected[0])) if spec.stacked else [None]
    for slab in slabs:
        offset = 0
        for part, size in rows.items():
            number = slab if slab is not None else expert
            key = MatrixKey(layer, part, -1 if number is None else number)
            yield key, Part(entry, (groups * size, columns), groups, stride, offset, transposed, slab)
            offset += size


def _name_others(
    found: Structure, layout: Layout, sizes: Sizes, inventory: Inventory, principal: set[str], quantized: bool
) -> None:
    """Canonical names, and for every tensor on disk a line of coverage."""
    last = sizes["layers"]
    stem = layout.layer.partition("{layer}")[0]
    for name in sorted(inventory.tensors):
        entry = inventory.tensors[name]
        canonical = layout.canonical(name)
        if canonical in found.canonical:
            canonical = name
        found.canonical[canonical] = name
        if name in principal:
            found.coverage.append(TensorCoverage(name, ANALYSED, "", entry.numel))
            found.n_parameters += entry.numel
            continue
        number = canonical[len(stem) :].partition(".")[0] if canonical.startswith(stem) else ""
        if quantized and _is_scale(name, inventory):
            reason = SCALE
        elif number.isdecimal() and int(number) >= last:
            reason = layout.extra_layers or UNEXPLAINED
        else:
            reason = layout.reason(canonical) or UNEXPLAINED
        found.coverage.append(TensorCoverage(name, SKIPPED, reason, entry.numel))
        if reason != SCALE and reason not in _BUFFERS:
            found.others[canonical] = entry
            found.n_parameters += entry.numel


def _is_scale(name: str, inventory: Inventory) -> bool:
    """A scale by its name: of an activation, or of a tensor that is there."""
    of = _SCALE_END.sub("", name)
    return _SCALE_NAME.search(name) is not None or (of != name and of in inventory.tensors)
