"""Two checkpoints side by side beyond their principal matrices: every other tensor, and what became of each."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources.location import Location
from resources.records import read_record, write_record
from resources.weight_hashes import signature
from rotoscale import versions
from rotoscale.errors import MatrixError

if TYPE_CHECKING:
    from resources.checkpoints import Checkpoint, MatrixKey

_BYTES = 4
"""Of an element, at most as a rule: enough to tell large work from small."""


def common_matrices(base: Checkpoint, post: Checkpoint) -> list[MatrixKey]:
    """Principal matrices of the post model that the base has too, after checking that their shapes agree.

    Raises MatrixError naming the matrices and both shapes when some differ, or when there is nothing in common.
    """
    in_base = set(base.matrices())
    common = [key for key in post.matrices() if key in in_base]
    different = [key for key in common if base.shape(key) != post.shape(key)]
    if different:
        shown = ", ".join(f"{key} {base.shape(key)} against {post.shape(key)}" for key in different[:3])
        more = f" and {len(different) - 3} more" if len(different) > 3 else ""
        raise MatrixError(
            f"{post.path} cannot be compared with {base.path}: {shown}{more}. Only checkpoints of one shape are "
            "compared; give the base that this one was trained from"
        )
    if not common:
        raise MatrixError(f"{post.path} and {base.path} have no principal matrix in common; give another base")
    return common


@dataclass(frozen=True)
class OthersTask:
    """Compare all that is not a principal matrix in two checkpoints, and keep it in the folder `kept`."""

    base: Location
    post: Location
    kept: Path

    @property
    def size(self) -> tuple[int, int]:
        """Bytes that are read, and those in memory at a time: the largest tensor of both."""
        sizes = [
            [math.prod(checkpoint.other_shape(name)) * _BYTES for name in checkpoint.others()]
            for checkpoint in (self.base.open(), self.post.open())
        ]
        return sum(map(sum, sizes)), sum(max(some, default=0) for some in sizes)


def compare_others(task: OthersTask) -> list[dict[str, Any]]:
    """`other_changes` of a task, in whatever process."""
    return other_changes(task.base.open(), task.post.open(), task.kept)


def other_changes(base: Checkpoint, post: Checkpoint, kept: Path | None = None) -> list[dict[str, Any]]:
    """Rows of `tensor_changes` for every tensor that is not a principal matrix and that both checkpoints have.

    Rows carry the name that the post model stores the tensor under. Where only the first dimension differs (a
    vocabulary that grew) the common rows are compared; tensors of otherwise different shape are left to `coverage`.
    With a folder `kept` they are kept there, under the names, sizes and times of both checkpoints' files.
    """
    if kept is None:
        return list(_other_changes(base, post))
    files = [signature(base), signature(post)]
    name = hashlib.sha256(json.dumps([*files, "other tensors"]).encode()).hexdigest()
    record = kept / name[:2] / f"{name}.json"
    rows = read_record(record, version=versions.COMPARISON, check=lambda found: all("tensor" in row for row in found))
    if rows is None:
        rows = list(_other_changes(base, post))
        if files == [signature(base), signature(post)]:  # not written over while they were read
            with suppress(OSError):  # a full disk costs the keeping, not the result
                write_record(record, rows, version=versions.COMPARISON)
    return rows


def _other_changes(base: Checkpoint, post: Checkpoint) -> Iterator[dict[str, Any]]:
    from rotoscale.change import tensor_change

    in_base = set(base.others())
    for name in post.others():
        if name not in in_base or not _comparable(base.other_shape(name), post.other_shape(name)):
            continue
        if not {name} & (base.structure.canonical.keys() | post.structure.canonical.keys()):
            continue  # an output matrix tied in both: the embedding's row says it all
        b, p = base.read_other(name), post.read_other(name)
        if b.shape != p.shape:
            rows = min(b.shape[0], p.shape[0])
            b, p = b[:rows], p[:rows]
        yield {
            "tensor": post.structure.canonical.get(name, name),
            "principal": False,
            "shape": list(p.shape),
            **change_columns(asdict(tensor_change(b, p))),
        }


def change_columns(change: Mapping[str, Any]) -> dict[str, Any]:
    """Columns of `tensor_changes` among the fields of one tensor's change."""
    return {name: value for name, value in change.items() if name != "norm"}


def _comparable(first: tuple[int, ...], second: tuple[int, ...]) -> bool:
    return first == second or (len(first) == len(second) > 0 and first[1:] == second[1:])


def coverage(base: Checkpoint, post: Checkpoint) -> list[dict[str, Any]]:
    """Rows of `coverage`: what became of every tensor of either checkpoint.

    A tensor that only one of them stores still counts as analysed where the other stores the same matrices another
    way (fused, stacked, sharded), and a tied output matrix is the embedding under another name.
    """
    ours = {entry.name: entry for entry in post.coverage()}
    theirs = {entry.name: entry for entry in base.coverage()}
    same_matrices = set(base.matrices()) == set(post.matrices())
    shapes_differ = _different_shapes(base, post)
    rows = []
    for name in sorted(ours.keys() | theirs.keys()):
        entry = ours.get(name) or theirs[name]
        state, reason = entry.state, entry.reason
        if name in shapes_differ:
            state, reason = "shape", shapes_differ[name]
        elif name not in ours or name not in theirs:
            holder, where = ("base", "only_base") if name not in ours else ("post model", "only_post")
            stored_otherwise = same_matrices if state == "analysed" else _has(base, post, name)
            if stored_otherwise:
                reason = f"{reason}; stored another way outside the {holder}".removeprefix("; ")
            else:
                state, reason = where, f"only the {holder} has it" + (f" ({reason})" if reason else "")
        rows.append({"tensor": name, "state": state, "reason": reason, "parameters": entry.parameters})
    return rows


def _has(base: Checkpoint, post: Checkpoint, stored_name: str) -> bool:
    """Whether both checkpoints know the non-principal tensor that one of them stores under this name."""
    return all(
        any(checkpoint.layout.canonical(stored_name) == name for name in checkpoint.others())
        for checkpoint in (base, post)
    )


def _different_shapes(base: Checkpoint, post: Checkpoint) -> dict[str, str]:
    in_base = set(base.others())
    found = {}
    for name in post.others():
        if name in in_base and base.other_shape(name) != post.other_shape(name):
            b, p = base.other_shape(name), post.other_shape(name)
            note = f"{b} in the base, {p} in the post model"
            if _comparable(b, p):
                note += f"; the {min(b[0], p[0])} common rows are compared"
            found[post.structure.others[name].name] = note
    return found
