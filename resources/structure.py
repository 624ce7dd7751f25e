"""The unit of structure work: one logical matrix, or one pair of them, read, computed, stored and dropped.

These functions run in worker processes: a task says where the checkpoint lies and which matrix is meant, the result
is a plain dictionary with the columns of the warehouse contract. A finished pair is kept in the pair store under the
hashes of both weights, so that a killed run resumes matrix by matrix and nothing is compared twice.
"""

from __future__ import annotations

import functools
import hashlib
import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources.atomic import write_text
from resources.checkpoints import MatrixKey, open_checkpoint, weight_hash
from resources.comparison import change_columns
from resources.factors import FactorStore, StoredFactors
from rotoscale import versions
from rotoscale.errors import MatrixError

if TYPE_CHECKING:
    import torch

    from resources.checkpoints import Checkpoint
    from rotoscale.change import TensorChange


@dataclass(frozen=True)
class Location:
    """Where a checkpoint lies: its folder, and for an adapter the folder of its base."""

    path: Path
    base: Path | None = None

    def open(self) -> Checkpoint:
        """The checkpoint, opened once per process."""
        return _opened(self)


@functools.lru_cache(maxsize=4)
def _opened(location: Location) -> Checkpoint:
    return open_checkpoint(location.path, base=location.base)


@dataclass(frozen=True)
class DecompositionTask:
    """Decompose one matrix of one checkpoint."""

    location: Location
    key: MatrixKey
    factors: Path
    device: str


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


def decompose_matrix(task: DecompositionTask) -> dict[str, Any]:
    """Row of `decompositions` for one matrix; its factors end in the factor store."""
    from rotoscale.spectra import spectrum

    weight, hashed, stored = _factors(task.location, task.key, task.factors, task.device)
    decomposition = stored.decomposition
    return {
        **_place(task.key),
        "rows": weight.shape[0],
        "cols": weight.shape[1],
        "rank": decomposition.numerical_rank,
        "singular_values": decomposition.singular_values.tolist(),
        **asdict(spectrum(decomposition.singular_values)),
        "residual": decomposition.residual,
        "orthogonality_error": decomposition.orthogonality_error,
        "kernel": decomposition.kernel,
        "weight_hash": hashed,
        "seconds": stored.seconds,
    }


def compare_matrices(task: PairTask) -> dict[str, dict[str, Any]]:
    """Rows of `scale_statistics`, `rotation_statistics` and `tensor_changes` for one pair of matrices.

    Raises MatrixError, naming the matrix, when the two shapes differ.
    """
    from rotoscale.change import row_change, tensor_change

    base = task.base.open().read(task.key)
    post = base if task.post == task.base else task.post.open().read(task.key)
    if base.shape != post.shape:
        raise MatrixError(
            f"{task.key}: {tuple(base.shape)} in {task.base.path} and {tuple(post.shape)} in {task.post.path}; "
            "only matrices of equal shape are compared: give the checkpoint this one was trained from"
        )
    hash_base = weight_hash(base)
    hash_post = hash_base if post is base else weight_hash(post)
    identity = [hash_base, hash_post, versions.DECOMPOSITION, versions.COMPARISON, task.simulate_null, task.seed]
    name = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
    finished = task.pairs / name[:2] / f"{name}.json"
    rows = _finished_pair(finished)
    if rows is None:
        change = tensor_change(base, post)
        turned_rows = asdict(row_change(base, post))
        scale, rotation = _statistics(task, base, hash_base, post, hash_post, change)
        del post  # as little as possible beside the simulated null's own matrices
        rotation |= _null(task, base, hash_base, hash_post, change, rotation)
        rows = {
            "scale_statistics": scale,
            "rotation_statistics": {**rotation, **turned_rows},
            "tensor_changes": {**change_columns(change), "shape": list(base.shape)},
        }
        write_text(finished, json.dumps(rows))
    place = _place(task.key)
    rows["scale_statistics"].update(place)
    rows["rotation_statistics"].update(place)
    rows["tensor_changes"].update(tensor=_stored_name(task.post.open(), task.key), principal=True)
    return rows


def _stored_name(checkpoint: Checkpoint, key: MatrixKey) -> str:
    """Name of the tensor that holds a matrix; where it holds several (fused, stacked), with the matrix appended."""
    part = checkpoint.structure.parts[key]
    alone = part.whole and part.expert is None
    return part.entry.name if alone else f"{part.entry.name} [{key}]"


def _finished_pair(path: Path) -> dict[str, dict[str, Any]] | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        path.unlink(missing_ok=True)  # damaged by hand: computed again
        return None


def _statistics(
    task: PairTask, base: torch.Tensor, hash_base: str, post: torch.Tensor, hash_post: str, change: TensorChange
) -> tuple[dict[str, Any], dict[str, Any]]:
    from rotoscale.overlap import overlaps
    from rotoscale.rotation import rotation_statistics, unturned
    from rotoscale.scale import scale_statistics

    store = FactorStore(task.factors)
    if hash_base == hash_post:
        same = store.get(hash_base, base, task.device).decomposition
        scale = scale_statistics(same.singular_values, same.singular_values)
        rotation = asdict(unturned(same.shape, same.numerical_rank))
        return asdict(scale), {**rotation, "base_error": 0.0, "relative_change": 0.0}
    first = store.get_with_long(hash_base, base, task.device)
    second = store.get(hash_post, post, task.device).decomposition
    scale = scale_statistics(first.singular_values, second.singular_values)
    rotation = asdict(rotation_statistics(overlaps(base, first, post, second), scale.alpha_least_squares))
    post_norm = float(second.singular_values.norm())
    rotation["base_error"] = change.norm / post_norm if post_norm else None
    rotation["relative_change"] = change.relative_change
    return asdict(scale), rotation


_NULL = (
    "nf_null",
    "nf_null_simulated",
    "nf_null_low",
    "nf_null_high",
    "null_draws",
    "null_seed",
    "nf_over_null",
)


def _null(
    task: PairTask, base: torch.Tensor, hash_base: str, hash_post: str, change: TensorChange, rotation: dict[str, Any]
) -> dict[str, Any]:
    """What noise of the change's size would have shown, by formula and where wanted by simulation."""
    from rotoscale.decomposition import decompose
    from rotoscale.null import gaussian_step, null_draws, null_nf
    from rotoscale.overlap import overlaps
    from rotoscale.rotation import nf_of

    found: dict[str, Any] = dict.fromkeys(_NULL)
    found["nf_null"] = 0.0
    if hash_base == hash_post:
        return found
    first = FactorStore(task.factors).get_with_long(hash_base, base, task.device)
    found["nf_null"] = null_nf(first.singular_values[: first.numerical_rank], change.norm, first.shape)
    if task.simulate_null and first.numerical_rank > 0:
        found["null_seed"] = _seed(task.seed, hash_base, hash_post)
        found["null_draws"] = null_draws(first.shape)
        simulated = []
        for draw in range(found["null_draws"]):
            noisy = gaussian_step(base, change.norm, found["null_seed"] + draw)
            nf = nf_of(overlaps(base, first, noisy, decompose(noisy, task.device)))
            simulated.append(min(nf, rotation["nf_unrelated"]))
        found["nf_null_simulated"] = statistics.median(simulated)
        if len(simulated) > 1:
            found["nf_null_low"], found["nf_null_high"] = min(simulated), max(simulated)
    null = found["nf_null_simulated"] or found["nf_null"]
    if null and rotation["nf"] is not None:
        found["nf_over_null"] = rotation["nf"] / null
    return found


def _factors(location: Location, key: MatrixKey, factors: Path, device: str) -> tuple[torch.Tensor, str, StoredFactors]:
    weight = location.open().read(key)
    hashed = weight_hash(weight)
    return weight, hashed, FactorStore(factors).get(hashed, weight, device)


def _place(key: MatrixKey) -> dict[str, Any]:
    return {"layer": key.layer, "matrix": key.matrix, "expert": key.expert}


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
