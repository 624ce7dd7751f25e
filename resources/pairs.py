"""Comparing one matrix of a post-trained checkpoint with the base's: read, computed, stored.

A finished pair is kept under the hashes of both weights, so that a killed run resumes matrix by matrix and nothing is
compared twice; while the hashes are remembered, it is recognised without reading a weight.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources.checkpoints import MatrixKey
from resources.comparison import change_columns
from resources.decomposing import hashed_matrix, place
from resources.factors import FactorStore
from resources.location import Location
from resources.records import read_record, write_record
from resources.staged import Staged
from rotoscale import versions
from rotoscale.errors import MatrixError

if TYPE_CHECKING:
    import torch

    from resources.checkpoints import Checkpoint
    from rotoscale.decomposition import Decomposition

Rows = dict[str, dict[str, Any]]
"""One row for each table of a comparison."""

_TABLES = ("scale_statistics", "rotation_statistics", "tensor_changes")


@dataclass(frozen=True)
class PairTask:
    """Compare one matrix of a post-trained checkpoint with the base's."""

    base: Location
    post: Location
    key: MatrixKey
    factors: Path
    pairs: Path
    device: str
    simulate_null: bool
    seed: int

    def record(self, hash_base: str, hash_post: str) -> Path:
        """Where the finished pair is kept: its name covers everything that its statistics depend on."""
        identity = [hash_base, hash_post, versions.DECOMPOSITION, versions.COMPARISON, self.simulate_null, self.seed]
        name = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
        return self.pairs / name[:2] / f"{name}.json"


@dataclass
class Loaded:
    """What a comparison needs: the rows of a finished pair, or both weights with their factors."""

    record: Path
    rows: Rows | None = None
    base: torch.Tensor | None = None
    post: torch.Tensor | None = None
    base_factors: Decomposition | None = None
    post_factors: Decomposition | None = None
    null_seed: int | None = None


def _load(task: PairTask) -> Loaded:
    """A finished pair's rows, or the weights and their factors (made where the store has none).

    Raises MatrixError, naming the matrix, when the two shapes differ.
    """
    _refuse_different_shapes(task)
    base = hashed_matrix(task.base, task.key, task.factors)
    post = base if task.post == task.base else hashed_matrix(task.post, task.key, task.factors)
    loaded = Loaded(task.record(base.hash, post.hash))
    loaded.rows = read_record(
        loaded.record, version=versions.COMPARISON, check=lambda found: sorted(found) == sorted(_TABLES)
    )
    if loaded.rows is not None:
        return loaded
    loaded.base = task.base.open().read(task.key) if base.weight is None else base.weight
    store = FactorStore(task.factors)
    if base.hash == post.hash:
        loaded.post = loaded.base
        loaded.base_factors = loaded.post_factors = store.get(base.hash, loaded.base, task.device).decomposition
        return loaded
    loaded.post = task.post.open().read(task.key) if post.weight is None else post.weight
    loaded.base_factors = store.get_with_long(base.hash, loaded.base, task.device)
    loaded.post_factors = store.get(post.hash, loaded.post, task.device).decomposition
    loaded.null_seed = _seed(task.seed, base.hash, post.hash) if task.simulate_null else None
    return loaded


def _compute(task: PairTask, loaded: Loaded) -> tuple[Path | None, Rows]:
    """The rows, and where they are to be kept unless they come from there."""
    from rotoscale.measure import pair_statistics, with_simulated_null

    if loaded.rows is not None:
        return None, loaded.rows
    assert loaded.base is not None  # all four are there unless the rows are
    assert loaded.post is not None
    assert loaded.base_factors is not None
    assert loaded.post_factors is not None
    found = pair_statistics(loaded.base, loaded.post, loaded.base_factors, loaded.post_factors)
    loaded.post = loaded.post_factors = None  # as little as possible beside the simulated null's own matrices
    if loaded.null_seed is not None:
        found = with_simulated_null(found, loaded.base, loaded.base_factors, loaded.null_seed)
    rows = {
        "scale_statistics": asdict(found.scale),
        "rotation_statistics": asdict(found.rotation),
        "tensor_changes": {**change_columns(found.change), "shape": list(loaded.base.shape)},
    }
    return loaded.record, rows


def _store(task: PairTask, computed: tuple[Path | None, Rows]) -> Rows:
    record, rows = computed
    if record is not None:
        with suppress(OSError):  # a full disk costs the keeping, not the result
            write_record(record, rows, version=versions.COMPARISON)
    where = place(task.key)
    name = _stored_name(task.post.open(), task.key)
    return {
        "scale_statistics": rows["scale_statistics"] | where,
        "rotation_statistics": rows["rotation_statistics"] | where,
        "tensor_changes": rows["tensor_changes"] | {"tensor": name, "principal": True},
    }


compare_matrices = Staged(_load, _compute, _store)
"""Rows of `scale_statistics`, `rotation_statistics` and `tensor_changes` for one pair of matrices.

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


_EVERYWHERE = 2e11
"""Work (sum of m n min(m, n)) up to which a decomposition of the whole model is a matter of a minute."""


def layers_with_null(n_layers: int, shapes: Sequence[tuple[int, int]], setting: int | None) -> set[int]:
    """Which layers get a simulated null: `setting` of them evenly spread, or by the size of the model.

    A simulated null costs one more decomposition. Small models get it everywhere, large ones in one layer of eight.
    """
    work = sum(m * n * min(m, n) for m, n in shapes)
    by_size = n_layers if work <= _EVERYWHERE else -(-n_layers // 8)
    wanted = min(by_size if setting is None else setting, n_layers)
    return {(2 * i + 1) * n_layers // (2 * wanted) for i in range(wanted)}
