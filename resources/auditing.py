"""Audits of checkpoints, one tensor at a time: was this adapter merged, and are these two copies equal?

Rows of `rotoscale.audit`: principal matrices by what they are, whatever tensor of the file they lie in, then every
other tensor.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources import progress
from resources.checkpoints import AdapterError, CheckpointError, MatrixKey, open_checkpoint
from resources.checkpoints.checkpoint import is_adapter
from rotoscale.audit import AuditRow, audit_change, audit_copy

if TYPE_CHECKING:
    import torch

    from resources.checkpoints import Checkpoint

Name = MatrixKey | str
"""A principal matrix, or the canonical name of another tensor."""


def open_merge(base: Path, adapter: Path, merged: Path) -> tuple[Checkpoint, Checkpoint, Checkpoint]:
    """The base, the adapter on it, and the merged checkpoint.

    Raises AdapterError when the second is no adapter, or the first or third is one; CheckpointError when one of them
    cannot be read, or the merged checkpoint is of another architecture.
    """
    if is_adapter(base):
        raise AdapterError(f"{base}: an adapter, expected its base model. Give BASE, ADAPTER and MERGED in this order.")
    if not is_adapter(adapter):
        raise AdapterError(
            f"{adapter}: no LoRA adapter (it has no adapter_config.json). To compare two whole models, give these two "
            "alone: rotoscale audit A B."
        )
    if is_adapter(merged):
        raise AdapterError(f"{merged}: an adapter, expected the merged checkpoint. Give the folder that was saved.")
    opened = open_checkpoint(base), open_checkpoint(adapter, base=base), open_checkpoint(merged)
    _require_alike(opened[0], opened[2])
    return opened


def open_copies(first: Path, second: Path) -> tuple[Checkpoint, Checkpoint]:
    """Two whole checkpoints.

    Raises AdapterError when one of them is an adapter; CheckpointError when one of them cannot be read, or they are of
    different architectures.
    """
    for folder in (first, second):
        if is_adapter(folder):
            raise AdapterError(
                f"{folder}: an adapter, which is no copy of a model. To see whether it was merged, give its base, the "
                "adapter and the merged checkpoint: rotoscale audit BASE ADAPTER MERGED."
            )
    opened = open_checkpoint(first), open_checkpoint(second)
    _require_alike(*opened)
    return opened


def _require_alike(first: Checkpoint, second: Checkpoint) -> None:
    if not set(first.matrices()) & set(second.matrices()):
        raise CheckpointError(
            f"{second.path} ({second.architecture}) and {first.path} ({first.architecture}) have no matrix in common. "
            "Give checkpoints of one architecture."
        )
    shapes = [
        key for key in first.matrices() if key in set(second.matrices()) and first.shape(key) != second.shape(key)
    ]
    if shapes and len(shapes) == len(first.matrices()):
        raise CheckpointError(
            f"{second.path}: {shapes[0]} is {list(second.shape(shapes[0]))}, in {first.path} "
            f"{list(first.shape(shapes[0]))}, and no other matrix fits either. Give checkpoints of one model."
        )


def audit_merge(base: Checkpoint, adapted: Checkpoint, merged: Checkpoint) -> Iterator[AuditRow]:
    """One row for each tensor of the base or the merged checkpoint."""
    assert adapted.adapter is not None
    touched = adapted.adapter.touched()
    for name in _names(base, merged, "audit"):
        targeted = _canonical(base, name) in touched
        found = _presence(base, merged, name, targeted)
        if found is None:
            yield _of_merge(base, adapted, merged, name, targeted)
        else:
            yield found


def audit_copies(first: Checkpoint, second: Checkpoint) -> Iterator[AuditRow]:
    """One row for each tensor of either checkpoint."""
    for name in _names(first, second, "audit"):
        found = _presence(first, second, name, False)
        yield found if found is not None else _of_copies(first, second, name)


def scale_hints(adapted: Checkpoint) -> list[tuple[float, str]]:
    """The scales that known mistakes of merging leave, over the adapter's own, each in words."""
    assert adapted.adapter is not None
    settings = adapted.adapter.settings
    scales = {change.scale for change in adapted.adapter.low_rank.values()}
    r = settings.rank
    found = [(2.0, "as if merged twice"), (-1.0, "as if subtracted")]
    if len(scales) == 1:
        scale = scales.pop()
        found.append((1 / scale, "as if lora_alpha / r were left out"))
        found.append((settings.alpha / scale, "as if lora_alpha were not divided"))
    if settings.rslora:
        found.append((r**-0.5, "as if divided by r and not by its root (use_rslora overlooked)"))
    else:
        found.append((r**0.5, "as if divided by the root of r (use_rslora, which this adapter does not ask for)"))
    return [(scale, text) for scale, text in found if scale != 1]


@dataclass(frozen=True)
class _Read:
    """One tensor (m x n) and the format that it is stored in."""

    values: torch.Tensor
    stored: str


def _of_merge(base: Checkpoint, adapted: Checkpoint, merged: Checkpoint, name: Name, targeted: bool) -> AuditRow:
    import torch

    before, found = _read(base, name), _read(merged, name)
    before, found, note = _common_rows(before, found)
    facts: dict[str, Any] = {"tensor": _stored_name(merged, name), "is_matrix": _is_matrix(base, name)}
    if targeted:
        after = _read(adapted, name).values[: len(before.values)]
        if not torch.equal(after, before.values):
            verdict = audit_change(
                before.values,
                after.double() - before.values.double(),
                found.values,
                stored=found.stored,
                expected=before.stored,
                elsewhere=lambda: _other_changes(base, adapted, name),
            )
            return AuditRow(targeted=True, note=note, verdict=verdict, **facts)
        note = "the adapter's change of it is zero"
    copy = audit_copy(before.values, found.values, of_original=before.stored, of_copy=found.stored)
    return AuditRow(note=note, verdict=copy, **facts)


def _of_copies(first: Checkpoint, second: Checkpoint, name: Name) -> AuditRow:
    one, two, note = _common_rows(_read(first, name), _read(second, name))
    return AuditRow(
        tensor=_stored_name(second, name),
        note=note,
        is_matrix=_is_matrix(first, name),
        verdict=audit_copy(one.values, two.values, of_original=one.stored, of_copy=two.stored),
    )


def _other_changes(base: Checkpoint, adapted: Checkpoint, name: Name) -> Iterator[tuple[str, torch.Tensor]]:
    """The adapter's changes of matrices of the same shape: of the same layer, and of the layers beside it."""
    if not isinstance(name, MatrixKey):
        return
    for other in base.matrices():
        near = other.layer == name.layer or (other.matrix == name.matrix and abs(other.layer - name.layer) <= 1)
        if near and other != name and base.shape(other) == base.shape(name):
            change = adapted.read(other).double() - base.read(other).double()
            if bool(change.any()):
                yield str(other), change


def _names(first: Checkpoint, second: Checkpoint, label: str) -> Iterator[Name]:
    """Every tensor of either checkpoint, those stored once under two names once."""
    matrices = list(dict.fromkeys([*first.matrices(), *second.matrices()]))
    stored = first.structure.canonical.keys() | second.structure.canonical.keys()
    others = sorted({*first.others(), *second.others()} & stored)
    names: list[Name] = [*matrices, *others]
    for done, name in enumerate(names):
        progress.report(label, done, len(names))
        yield name
    progress.report(label, len(names), len(names))


def _presence(first: Checkpoint, second: Checkpoint, name: Name, targeted: bool) -> AuditRow | None:
    """The row of a tensor that cannot be compared; None of one that can."""
    there = [_has(checkpoint, name) for checkpoint in (first, second)]
    if not all(there):
        holder = first if there[0] else second
        return AuditRow(
            tensor=_stored_name(holder, name), targeted=targeted, presence="first" if there[0] else "second",
            is_matrix=_is_matrix(holder, name),
        )  # fmt: skip
    shapes = [_shape(checkpoint, name) for checkpoint in (first, second)]
    if shapes[0] == shapes[1] or (
        len(shapes[0]) == len(shapes[1]) and shapes[0][1:] == shapes[1][1:] and len(shapes[0]) > 1
    ):
        return None
    return AuditRow(
        tensor=_stored_name(second, name), targeted=targeted, presence="shape",
        note=f"{list(shapes[0])} and {list(shapes[1])}", is_matrix=_is_matrix(first, name),
    )  # fmt: skip


def _common_rows(first: _Read, second: _Read) -> tuple[_Read, _Read, str]:
    """Both without the rows that only one has, as of a vocabulary that grew, and a note of it."""
    m = [len(first.values), len(second.values)]
    if m[0] == m[1]:
        return first, second, ""
    n = min(m)
    return _Read(first.values[:n], first.stored), _Read(second.values[:n], second.stored), f"the {n} common rows of {m}"


def _read(checkpoint: Checkpoint, name: Name) -> _Read:
    if isinstance(name, MatrixKey):
        values, entry = checkpoint.read(name), checkpoint.structure.parts[name].entry
    else:
        values, entry = checkpoint.read_other(name), checkpoint.structure.others[name]
        values = values.flatten(1) if values.ndim > 1 else values.reshape(1, -1)
    scaled = checkpoint.fp8_scale(entry) is not None  # fp8 times its scales, which is no number of that format
    return _Read(values.float(), "float32" if scaled else entry.torch_dtype)


def _has(checkpoint: Checkpoint, name: Name) -> bool:
    structure = checkpoint.structure
    return name in structure.parts if isinstance(name, MatrixKey) else name in structure.others


def _shape(checkpoint: Checkpoint, name: Name) -> tuple[int, ...]:
    return checkpoint.shape(name) if isinstance(name, MatrixKey) else checkpoint.other_shape(name)


def _is_matrix(checkpoint: Checkpoint, name: Name) -> bool:
    return len(_shape(checkpoint, name)) > 1


def _canonical(checkpoint: Checkpoint, name: Name) -> str:
    if isinstance(name, str):
        return name
    parts = checkpoint.structure.parts
    return checkpoint.layout.canonical(parts[name].entry.name) if name in parts else ""


def _stored_name(checkpoint: Checkpoint, name: Name) -> str:
    """The tensor's name in the file, with the matrix where it holds several."""
    if isinstance(name, str):
        return checkpoint.structure.canonical.get(name, name)
    part = checkpoint.structure.parts[name]
    alone = len(checkpoint.structure.by_tensor[part.entry.name]) == 1
    return part.entry.name if alone else f"{part.entry.name} ({name})"
