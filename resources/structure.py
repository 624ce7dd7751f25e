"""The unit of structure work: one logical matrix, or one pair of them, read, computed, stored and dropped.

These functions run in worker processes: a task says where the checkpoint lies and which matrix is meant, the result
is a plain dictionary with the columns of the warehouse contract. A finished pair is kept in the pair store under the
hashes of both weights, so that a killed run resumes matrix by matrix and nothing is compared twice.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources.atomic import write_text
from resources.checkpoints import MatrixKey, open_checkpoint, weight_hash
from resources.comparison import change_columns
from resources.factors import FactorStore, StoredFactors
from rotoscale import versions
from rotoscale.errors import MatrixError
from rotoscale.statistics import DecompositionQuality, RotationStatistics, ScaleStatistics, SingularValues

if TYPE_CHECKING:
    import torch

    from resources.checkpoints import Checkpoint
    from rotoscale.statistics import TensorChange


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
    size = SingularValues(
        rows=weight.shape[0],
        cols=weight.shape[1],
        rank=decomposition.numerical_rank,
        singular_values=decomposition.singular_values.tolist(),
    )
    quality = DecompositionQuality(
        residual=decomposition.residual,
        orthogonality_error=decomposition.orthogonality_error,
        kernel=decomposition.kernel,
        weight_hash=hashed,
        seconds=stored.seconds,
    )
    return {
        **_place(task.key),
        **asdict(size),
        **asdict(spectrum(decomposition.singular_values)),
        **asdict(quality),
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
        rows_changed = row_change(base, post)
        scale, rotation = _statistics(task, base, hash_base, post, hash_post, change)
        del post  # as little as possible beside the simulated null's own matrices
        rotation = _with_null(rotation, task, base, hash_base, hash_post, change)
        rows = {
            "scale_statistics": asdict(scale),
            "rotation_statistics": asdict(replace(rotation, **asdict(rows_changed))),
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
) -> tuple[ScaleStatistics, RotationStatistics]:
    from rotoscale.overlap import overlaps
    from rotoscale.rotation import rotation_statistics, unturned
    from rotoscale.scale import scale_statistics

    store = FactorStore(task.factors)
    if hash_base == hash_post:
        same = store.get(hash_base, base, task.device).decomposition
        rotation = unturned(same.shape, same.numerical_rank)
        scale = scale_statistics(same.singular_values, same.singular_values)
        return scale, replace(rotation, base_error=0.0, relative_change=0.0)
    first = store.get_with_long(hash_base, base, task.device)
    second = store.get(hash_post, post, task.device).decomposition
    scale = scale_statistics(first.singular_values, second.singular_values)
    rotation = rotation_statistics(overlaps(base, first, post, second), scale.alpha_least_squares)
    post_norm = float(second.singular_values.norm())
    base_error = change.norm / post_norm if post_norm else None
    return scale, replace(rotation, base_error=base_error, relative_change=change.relative_change)


def _with_null(
    rotation: RotationStatistics,
    task: PairTask,
    base: torch.Tensor,
    hash_base: str,
    hash_post: str,
    change: TensorChange,
) -> RotationStatistics:
    """The same beside what noise of the change's size would have shown, by formula and where wanted by simulation."""
    from rotoscale.decomposition import decompose
    from rotoscale.null import gaussian_step, null_draws, null_nf
    from rotoscale.overlap import overlaps
    from rotoscale.rotation import nf_of

    if hash_base == hash_post:
        return replace(rotation, nf_null=0.0)
    first = FactorStore(task.factors).get_with_long(hash_base, base, task.device)
    null = null_nf(first.singular_values[: first.numerical_rank], change.norm, first.shape)
    rotation = replace(rotation, nf_null=null)
    if task.simulate_null and first.numerical_rank > 0:
        seed, draws = _seed(task.seed, hash_base, hash_post), null_draws(first.shape)
        cap = rotation.nf_unrelated or math.inf
        simulated = []
        for draw in range(draws):
            noisy = gaussian_step(base, change.norm, seed + draw)
            simulated.append(min(nf_of(overlaps(base, first, noisy, decompose(noisy, task.device))), cap))
        several = len(simulated) > 1
        rotation = replace(
            rotation,
            nf_null_simulated=statistics.median(simulated),
            nf_null_low=min(simulated) if several else None,
            nf_null_high=max(simulated) if several else None,
            null_draws=draws,
            null_seed=seed,
        )
    null = rotation.nf_null_simulated or null
    over = rotation.nf / null if null and rotation.nf is not None else None
    return replace(rotation, nf_over_null=over)


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
