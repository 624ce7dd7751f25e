"""Writing an edited checkpoint: the source's files again, with some matrices changed and every other byte the same.

The new folder has the source's file names, sharding, tensor order, names, dtypes and headers. It is written beside its
place under a temporary name, flushed to disk and renamed, so that a killed run leaves nothing that could be taken for a
checkpoint. One tensor (of stacked experts, one expert) is in memory at a time.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from resources.checkpoints.errors import CheckpointError, MissingTensor, WriteError, listed, shown
from resources.checkpoints.files import opened, read_exactly
from resources.checkpoints.header import PLAIN
from resources.checkpoints.keys import MatrixKey
from resources.checkpoints.place import carried_files, replacing
from resources.checkpoints.tensors import CHUNK, TensorReader, count_bad

if TYPE_CHECKING:
    from resources.checkpoints.checkpoint import Checkpoint
    from resources.checkpoints.header import Header, TensorEntry
    from resources.checkpoints.parts import Part

Edit = Callable[[MatrixKey, torch.Tensor], torch.Tensor | None]
Progress = Callable[[int, int], None]

MANIFEST = "edit.json"
_BLOCK = 8 * 2**20


def write_edited(
    source: Checkpoint,
    out: Path,
    edit: Edit,
    *,
    keys: Iterable[MatrixKey],
    manifest: dict[str, Any],
    progress: Progress | None = None,
) -> Path:
    """Write ``source`` to the folder ``out`` with the matrices of ``keys`` changed by ``edit``; gives ``out``.

    ``edit(key, matrix)`` gets a matrix in float32, out_features x in_features, and returns the new one of the
    same shape, or None to leave it as it is. It is rounded to the stored dtype and put back where it came from (fused,
    interleaved, transposed, stacked). All other tensors are copied byte for byte. An adapter gives a full checkpoint,
    merged, in its base's layout and dtype. ``manifest`` goes into ``edit.json``, with what ``edit`` put into it;
    ``progress(bytes done, bytes in all)``.

    Raises WriteError when the folder is taken, the disk is full, the source is fp8 or an edit is not finite;
    MissingTensor for an unknown key. Whatever happens, ``out`` is either as before or complete.
    """
    out = Path(out).absolute()
    chosen = _chosen(source, keys)
    _manifest(manifest, chosen)  # one that cannot be written fails before any work
    _refuse_what_cannot_be_written(source, chosen)
    files = carried_files(source)
    total = sum(header.file_size for header in source.inventory.headers)
    with replacing(out, MANIFEST, total, source.files()) as folder:
        done = 0
        for header in source.inventory.headers:
            target = folder / header.path.relative_to(source.inventory.folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            _write_file(source, header, target, edit, chosen, done, total, progress)
            done += header.file_size
        for name, path in files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            _copy_file(path, target)
        _write_text(folder / MANIFEST, _manifest(manifest, chosen))
        _write_text(folder / "README.md", _card(source, manifest, len(chosen)))
    return out


def _chosen(source: Checkpoint, keys: Iterable[MatrixKey]) -> dict[str, list[MatrixKey]]:
    """The keys to edit, by the tensor that holds them."""
    chosen: dict[str, list[MatrixKey]] = defaultdict(list)
    parts = source.structure.parts
    for key in dict.fromkeys(keys):
        if key not in parts:
            raise MissingTensor(f"{source.path}: no matrix {key} to edit. Choose from matrices().")
        chosen[parts[key].entry.name].append(key)
    return dict(chosen)


def _refuse_what_cannot_be_written(source: Checkpoint, chosen: dict[str, list[MatrixKey]]) -> None:
    """Everything that can be known to fail before the first byte is written."""
    adapter = source.adapter
    touched = {source.structure.canonical.get(name) for name in adapter.touched()} if adapter else set()
    for name, entry in source.inventory.tensors.items():
        if (name in chosen or name in touched) and entry.dtype not in PLAIN:
            raise WriteError(
                f"{entry.path}: tensor {shown(name)!r} is stored as {entry.dtype}: an edit would have to be quantized "
                "again. Use the bf16 or fp16 checkpoint of this model."
            )
    if adapter is None:
        return
    if source.structure.tied and not source.tied_embeddings:
        raise WriteError(
            f"{source.path}: the adapter changes one of embedding and output head, which its base ties together, so "
            "the result has no place in the base's layout. Merge it with PEFT (merge_and_unload) and give the merged "
            "model."
        )
    for name, entry in adapter.replaced.items():
        if entry.shape != source.structure.stored_shape(name):
            raise WriteError(
                f"{entry.path}: tensor {shown(name)!r} has another vocabulary than the base. Merge the adapter with "
                "PEFT (merge_and_unload) and give the merged model."
            )


def _write_file(
    source: Checkpoint,
    header: Header,
    target: Path,
    edit: Edit,
    chosen: dict[str, list[MatrixKey]],
    done: int,
    total: int,
    progress: Progress | None,
) -> None:
    """One weight file: the header's bytes, then each tensor in its place."""
    with opened(header.path) as (descriptor, status), target.open("wb") as file:
        if (status.st_size, status.st_mtime_ns) != (header.file_size, header.modified_ns):
            raise CheckpointError(f"{header.path}: the file was replaced while it was in use. Start again.")
        _copy_range(header.path, descriptor, file, 0, header.data_start)
        for entry in header.tensors:
            if not _write_changed(source, entry, file, edit, chosen.get(entry.name, [])):
                _copy_range(header.path, descriptor, file, entry.start, entry.end)
            if file.tell() != entry.end:
                raise WriteError(
                    f"{target}: tensor {shown(entry.name)!r} ends at byte {file.tell()}, expected {entry.end}. "
                    "Start again, and report this."
                )
            if progress is not None:
                progress(done + entry.end, total)
        _flush(file)


def _write_changed(source: Checkpoint, entry: TensorEntry, file: Any, edit: Edit, keys: list[MatrixKey]) -> bool:
    """Write a tensor that is edited or merged; False when it is to be copied as it is."""
    canonical = source.layout.canonical(entry.name)
    merged = source.adapter is not None and canonical in source.adapter.touched()
    if not keys and not merged:
        return False
    parts = source.structure.by_tensor.get(entry.name, {})
    if not parts:
        with TensorReader(entry) as reader:
            dtype = reader.dtype
        values = source.read_other(canonical)
        _refuse_non_finite(values, dtype, entry, canonical)
        _write_values(file, values.to(dtype))
        return True
    slabs: dict[int | None, dict[MatrixKey, Part]] = defaultdict(dict)
    for key, part in parts.items():
        slabs[part.expert][key] = part
    for expert in sorted(slabs, key=lambda number: number or 0):
        _write_slab(source, entry, slabs[expert], set(keys), merged, edit, file)
    return True


def _write_slab(
    source: Checkpoint,
    entry: TensorEntry,
    parts: dict[MatrixKey, Part],
    keys: set[MatrixKey],
    merged: bool,
    edit: Edit,
    file: Any,
) -> None:
    """One whole tensor, or one expert of a stacked one: read as stored, the changed parts put in, written."""
    first = next(iter(parts.values()))
    full, columns = first.groups * first.stride, first.shape[1]
    with TensorReader(entry) as reader:
        slab = reader.elements((first.expert or 0) * full * columns, full * columns)
    for key, part in parts.items():
        if key not in keys and not merged:
            continue
        matrix = source.read(key)
        changed = edit(key, matrix) if key in keys else None
        if changed is None:
            if not merged:
                continue
            changed = matrix
        if tuple(changed.shape) != part.shape:
            raise WriteError(
                f"{entry.path}: the edit of {key} has shape {list(changed.shape)}, expected {list(part.shape)}. "
                "Correct the edit."
            )
        values = changed.detach().cpu()
        _refuse_non_finite(values, slab.dtype, entry, str(key))
        rows = slice(part.start, part.start + part.size)
        if part.transposed:
            place = slab.view(columns, part.groups, part.stride)[:, :, rows]
            place.copy_(values.t().unflatten(1, (part.groups, part.size)))
        else:
            slab.view(part.groups, part.stride, columns)[:, rows].copy_(values.unflatten(0, (part.groups, part.size)))
    _write_values(file, slab)


def _refuse_non_finite(values: torch.Tensor, dtype: torch.dtype, entry: TensorEntry, what: str) -> None:
    """WriteError when values are not finite, or no longer so in the stored dtype; looked at a few at a time."""
    rows = max(1, CHUNK // max(1, values[0].numel())) if values.dim() > 1 else CHUNK
    bad = sum(count_bad(block.to(dtype).float()) for block in values.split(rows))
    if bad:
        raise WriteError(
            f"{entry.path}: the new {what} (tensor {shown(entry.name)!r}) holds {bad} values of {values.numel()} that "
            f"are not finite in {entry.torch_dtype}. Check the edit."
        )


def _write_values(file: Any, values: torch.Tensor) -> None:
    file.write(values.contiguous().view(-1).view(torch.uint8).numpy().data)


def _copy_range(path: Path, descriptor: int, file: Any, start: int, end: int) -> None:
    """Bytes ``start`` to ``end`` of an open file, a block at a time."""
    block = bytearray(min(_BLOCK, end - start))
    for offset in range(start, end, _BLOCK):
        view = memoryview(block)[: min(_BLOCK, end - offset)]
        read_exactly(path, descriptor, view, offset)
        file.write(view)


def _copy_file(path: Path, target: Path) -> None:
    with opened(path) as (descriptor, status), target.open("wb") as file:
        _copy_range(path, descriptor, file, 0, status.st_size)
        _flush(file)


def _write_text(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        _flush(file)


def _flush(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def _manifest(manifest: dict[str, Any], chosen: dict[str, list[MatrixKey]]) -> str:
    content = {
        "format": "rotoscale edit",
        "format_version": 1,
        "edited": sorted(str(key) for keys in chosen.values() for key in keys),
        "manifest": manifest,
    }
    try:
        return json.dumps(content, indent=2, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise WriteError(f"the manifest of the edit cannot be written as JSON ({shown(error)}). Correct it.") from None


def _card(source: Checkpoint, manifest: dict[str, Any], tensors: int) -> str:
    """A model card that says what this is, for whoever finds the folder later."""
    names = listed(
        f"{key}: {json.dumps(value)}" for key, value in manifest.items() if not isinstance(value, dict | list)
    )
    rest = "every other tensor copied byte for byte"
    if source.adapter is not None:
        rest = "its adapter merged into its base, and every tensor that neither touches copied byte for byte"
    return (
        f"---\ntags:\n- rotoscale\n- edited\n---\n\n# Edited copy of {shown(source.path.name)}\n\nWritten by "
        f"Rotoscale: the {source.architecture} checkpoint {shown(source.path.name)}, with matrices in {tensors} "
        f"tensors changed, {rest}. Made to measure what a change does, not to be used for anything else.\n\nRecipe: "
        f"{names}\n\nThe full record is in `{MANIFEST}`. The licence of the source applies.\n"
    )
