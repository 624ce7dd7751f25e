"""Comparing one matrix of a post-trained checkpoint with the base's: read, computed, stored.

A finished pair is kept under the hashes of both weights, so that a killed run resumes matrix by matrix and nothing is
compared twice; while the hashes are remembered, it is recognised without reading a weight. What standard depth finds
and what full depth adds are kept apart, so that asking for full depth later computes only that.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources.checkpoints import MatrixKey
from resources.comparison import change_columns
from resources.decomposing import hashed_matrix, place, read_matrix
from resources.factors import FactorStore
from resources.location import Location
from resources.records import read_record, write_record
from resources.staged import Staged
from rotoscale import versions
from rotoscale.agreement_statistics import FULL, STANDARD
from rotoscale.errors import MatrixError

if TYPE_CHECKING:
    import torch

    from resources.checkpoints import Checkpoint
    from rotoscale.decomposition import Decomposition, OnlyValues
    from rotoscale.measure import PairStatistics

Rows = dict[str, dict[str, Any]]
"""One row for each table of a comparison."""

TABLES = {
    STANDARD: ("agreement", "rotation_statistics", "scale_statistics", "tensor_changes"),
    FULL: ("agreement", "rotation_statistics"),
}
"""Which rows each depth makes; those of full depth take the place of standard depth's."""


@dataclass(frozen=True)
class PairTask:
    """Compare one matrix of a post-trained checkpoint with the base's, at `depth` standard or full."""

    base: Location
    post: Location
    key: MatrixKey
    factors: Path
    pairs: Path
    device: str
    depth: str
    null_draws: int
    seed: int

    def record(self, depth: str, hash_base: str, hash_post: str) -> Path:
        """Where what a depth finds of the pair is kept: its name covers everything that its statistics depend on."""
        post = self.post.open()
        dtype = post.structure.parts[self.key].entry.torch_dtype if post.adapter is None else "merged"
        identity = [hash_base, hash_post, dtype, versions.DECOMPOSITION, versions.COMPARISON, self.seed, depth]
        if depth == FULL:
            identity.append(self.null_draws)
        name = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
        return self.pairs / name[:2] / f"{name}.json"


@dataclass
class Loaded:
    """What a comparison needs: the rows of both depths where they were kept, else both weights with their factors.

    `same`: both weights are one, of which no number has to be read.
    """

    records: dict[str, Path]
    rows: dict[str, Rows]
    same: bool = False
    seed: int = 0
    base: torch.Tensor | None = None
    post: torch.Tensor | None = None
    base_factors: Decomposition | None = None
    post_factors: Decomposition | OnlyValues | None = None


def _load(task: PairTask) -> Loaded:
    """The rows of a finished pair, or the weights and their factors (made where the store has none).

    Raises MatrixError, naming the matrix, when the two shapes differ.
    """
    _refuse_different_shapes(task)
    base = hashed_matrix(task.base, task.key, task.factors)
    post = base if task.post == task.base else hashed_matrix(task.post, task.key, task.factors)
    depths = (STANDARD, FULL) if task.depth == FULL else (STANDARD,)
    records = {depth: task.record(depth, base.hash, post.hash) for depth in depths}
    kept = {depth: _kept(path, depth) for depth, path in records.items()}
    loaded = Loaded(records, {depth: rows for depth, rows in kept.items() if rows is not None})
    if len(loaded.rows) == len(records):
        return loaded
    store = FactorStore(task.factors)
    found = store.find(base.hash, task.device)
    if base.hash == post.hash:
        loaded.same = True
        found = found or store.get(base.hash, read_matrix(task.base, task.key, base), task.device)
        loaded.base_factors = found.decomposition
        return loaded
    loaded.base = read_matrix(task.base, task.key, base)
    loaded.post = read_matrix(task.post, task.key, post)
    loaded.base_factors = (found or store.get(base.hash, loaded.base, task.device)).decomposition
    of_post = store.get if task.depth == FULL else store.get_values
    loaded.post_factors = of_post(post.hash, loaded.post, task.device).decomposition
    loaded.seed = _seed(task.seed, base.hash, post.hash)
    return loaded


def _compute(task: PairTask, loaded: Loaded) -> dict[str, tuple[Path | None, Rows]]:
    """The rows of each depth, and where they are to be kept unless they come from there."""
    if len(loaded.rows) < len(loaded.records):
        fresh = _measured(task, loaded)
    return {
        depth: (None, loaded.rows[depth]) if depth in loaded.rows else (path, fresh[depth])
        for depth, path in loaded.records.items()
    }


def _measured(task: PairTask, loaded: Loaded) -> dict[str, Rows]:
    """Rows of the depths that are not kept."""
    from rotoscale import measure
    from rotoscale.change_in_base import change_in_base
    from rotoscale.decomposition import Decomposition

    assert loaded.base_factors is not None
    if loaded.same:
        return {
            depth: _rows(measure.unchanged_statistics(loaded.base_factors, depth), depth) for depth in loaded.records
        }
    base, post, base_factors, post_factors = loaded.base, loaded.post, loaded.base_factors, loaded.post_factors
    assert base is not None  # all four are there unless the rows are
    assert post is not None
    assert post_factors is not None
    change = change_in_base(base_factors, base, post)
    fresh = {}
    if STANDARD in loaded.rows:
        standard = _statistics(loaded.rows[STANDARD])
    else:
        standard = measure.standard_statistics(base, post, base_factors, post_factors, seed=loaded.seed, change=change)
        fresh[STANDARD] = _rows(standard, STANDARD)
    if FULL in loaded.records and FULL not in loaded.rows:
        assert isinstance(post_factors, Decomposition)
        full = measure.full_statistics(
            standard, base, post, base_factors, post_factors,
            seed=loaded.seed, null_draws=task.null_draws, change=change,
        )  # fmt: skip
        fresh[FULL] = _rows(full, FULL)
    return fresh


def _rows(found: PairStatistics, depth: str) -> Rows:
    rows = {  # vars, not asdict, which copies every list number by number
        "agreement": vars(found.agreement),
        "rotation_statistics": vars(found.rotation),
        "scale_statistics": vars(found.scale),
        "tensor_changes": vars(found.change),
    }
    return {table: rows[table] for table in TABLES[depth]}


def _statistics(rows: Rows) -> PairStatistics:
    """What the rows of standard depth were made from."""
    from rotoscale.agreement_statistics import AgreementStatistics
    from rotoscale.measure import PairStatistics
    from rotoscale.statistics import RotationStatistics, ScaleStatistics, TensorChange

    return PairStatistics(
        agreement=AgreementStatistics(**rows["agreement"]),
        rotation=RotationStatistics(**rows["rotation_statistics"]),
        scale=ScaleStatistics(**rows["scale_statistics"]),
        change=TensorChange(**rows["tensor_changes"]),
    )


def _kept(path: Path, depth: str) -> Rows | None:
    return read_record(path, version=versions.COMPARISON, check=lambda found: sorted(found) == sorted(TABLES[depth]))


def _store(task: PairTask, computed: dict[str, tuple[Path | None, Rows]]) -> Rows:
    rows: Rows = {}
    for record, found in computed.values():
        if record is not None:
            with suppress(OSError):  # a full disk costs the keeping, not the result
                write_record(record, found, version=versions.COMPARISON)
        rows |= found
    post = task.post.open()
    where = place(task.key)
    rows = {table: row | where for table, row in rows.items()}
    rows["tensor_changes"] = change_columns(rows["tensor_changes"]) | {
        "tensor": _stored_name(post, task.key),
        "principal": True,
        "shape": list(post.shape(task.key)),
    }
    return rows


compare_matrices = Staged(_load, _compute, _store)
"""Rows of `agreement`, `scale_statistics`, `rotation_statistics` and `tensor_changes` for one pair of matrices.

The q values of agreement are missing: they need all matrices of the model.

Raises MatrixError, naming the matrix, when the two shapes differ.
"""


def _refuse_different_shapes(task: PairTask) -> None:
    base, post = task.base.open().shape(task.key), task.post.open().shape(task.key)
    if base != post:
        raise MatrixError(
            f"{task.key}: {base} in {task.base.path} and {post} in {task.post.path}; "
            "only matrices of equal shape are compared: give the checkpoint this one was trained from"
        )


def _stored_name(checkpoint: Checkpoint, key: MatrixKey) -> str:
    """Name of the tensor that holds a matrix; where it holds several (fused, stacked), with the matrix appended."""
    part = checkpoint.structure.parts[key]
    alone = part.whole and part.expert is None
    return part.entry.name if alone else f"{part.entry.name} [{key}]"


def _seed(seed: int, *hashes: str) -> int:
    """A seed of its own for every pair, so that no two matrices share their noise."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{':'.join(hashes)}".encode()).digest()[:6], "big")
