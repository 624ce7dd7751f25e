"""Making one edited checkpoint: matrix by matrix, from stored factors, straight into the new folder.

One matrix of each model is in memory at a time. Factors come from the factor store, so that no SVD is done twice: the
pair's own are there since `decompositions`, and those of a noise control (base plus noise of the change's size) are
stored under their own weight's hash like any others.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources.checkpoints import MatrixKey, open_checkpoint, weight_hash
from resources.comparison import common_matrices
from resources.edits.plan import NOISE, EditPlan, PlanError
from resources.factors import FactorStore
from resources.threads import arithmetic_threads
from resources.weight_hashes import WeightHashes
from rotoscale import versions
from rotoscale.errors import MatrixError
from rotoscale.recipes import least_squares_alpha, noise_control, policy_alphas

if TYPE_CHECKING:
    import torch

    from resources.checkpoints import Checkpoint
    from rotoscale.decomposition import Decomposition
    from rotoscale.pair import MatrixPair

Progress = Callable[[int, int], None]

_WORTH_THREADS = 1e9
"""Work on one matrix (m n min(m, n)) from which more than one BLAS thread pays."""


@dataclass(frozen=True)
class BuiltEdit:
    """An edited checkpoint on disk and what was measured while it was written."""

    path: Path
    bytes: int
    weight_error: float | None
    """|W_edit - W_post|_F / |W_post|_F over the edited matrices, as stored; None when they are all zero."""
    base_error: float | None
    """The same of the base's own matrices: what doing nothing would have missed."""
    base_distance: float | None
    """|W_edit - W_base|_F / |W_post - W_base|_F: 0 at the base, 1 as far as the post model; None without a change."""
    matrices: int
    seconds: float

    def content_hash(self) -> str:
        """SHA-256 over all tensors, whatever the sharding."""
        return open_checkpoint(self.path).content_hash()


class Builder:
    """Makes edits of one pair of models. `seed` is that of the noise controls."""

    def __init__(
        self, base: Checkpoint, post: Checkpoint, factors: FactorStore, *, device: str = "cpu", seed: int = 0
    ) -> None:
        self.base = base
        self.post = post
        self.factors = factors
        self.device = device
        self.seed = seed
        self.common = common_matrices(base, post)
        self._base_hashes = WeightHashes(base, factors.folder)
        self._post_hashes = WeightHashes(post, factors.folder)
        self._least_squares: dict[str, dict[MatrixKey, float]] = {}

    def build(
        self, plan: EditPlan, out: Path, *, facts: dict[str, Any] | None = None, progress: Progress | None = None
    ) -> BuiltEdit:
        """Write the edited checkpoint to the folder `out` and measure it.

        `facts` (names of the models, the edit's own) go into its `edit.json` and card with what was measured.

        Raises PlanError when nothing is in scope, RecipeError or MatrixError when the recipe cannot be applied,
        CheckpointError when the checkpoint cannot be written. `out` is then as it was before.
        """
        from resources.checkpoints.writer import write_edited

        start = time.perf_counter()
        keys = self.scope(plan)
        with self.threads():
            alphas = self._alphas(plan, keys)
        source = self.base if plan.around == "base" else self.post
        error, base_error, from_base = _Difference(), _Difference(), _Difference()
        manifest = {**(facts or {}), **_described(plan), "seed": self.seed, "edit_version": versions.EDIT}

        def edit(key: MatrixKey, matrix: torch.Tensor) -> torch.Tensor:
            base = matrix if source is self.base else self.base.read(key)
            post = matrix if source is self.post else self.post.read(key)
            try:
                new = self._new_weight(plan, key, base, post, alphas.get(key)).cpu()
            except MatrixError as problem:
                raise MatrixError(f"{plan.label} of {key}: {problem}") from problem
            stored = new.to(_stored_dtype(source, key))
            error.add(stored, post)
            base_error.add(base, post)
            from_base.add(stored, base)
            # Filled in while the matrices are written, so that the card has them when the last one is done.
            manifest.update(matrices_edited=error.count, weight_error=error.value, base_error=base_error.value)
            return stored

        with self.threads():
            write_edited(source, Path(out), edit, keys=keys, manifest=manifest, progress=progress)
        self._base_hashes.save()
        self._post_hashes.save()
        size = sum(file.stat().st_size for file in Path(out).rglob("*") if file.is_file())
        return BuiltEdit(
            path=Path(out),
            bytes=size,
            weight_error=error.value,
            base_error=base_error.value,
            base_distance=from_base.norm / base_error.norm if base_error.norm else None,
            matrices=error.count,
            seconds=round(time.perf_counter() - start, 3),
        )

    def threads(self) -> AbstractContextManager[Any]:
        """One BLAS thread for small matrices: a second one mostly waits, which on a shared machine costs the most."""
        shapes = [self.post.shape(key) for key in self.common]
        return arithmetic_threads(1 if max(m * n * min(m, n) for m, n in shapes) < _WORTH_THREADS else None)

    def scope(self, plan: EditPlan) -> list[MatrixKey]:
        """The matrices that a plan edits.

        Raises PlanError naming types or layers that the models do not have.
        """
        types = list(dict.fromkeys(key.matrix for key in self.common))
        layers = sorted({key.layer for key in self.common})
        unknown = [word for word in plan.matrices or () if word not in types]
        if unknown:
            raise PlanError(f"no matrix type {', '.join(unknown)} in {self.post.path}; it has {', '.join(types)}")
        beyond = [layer for layer in plan.layers or () if layer not in layers]
        if beyond:
            raise PlanError(f"no layer {beyond[0]} in {self.post.path}; it has {layers[0]} to {layers[-1]}")
        keys = [key for key in self.common if plan.chosen(key)]
        if not keys:
            raise PlanError(f"nothing of {self.post.path} is in the scope of {plan.label}; widen matrices or layers")
        return keys

    def _new_weight(
        self, plan: EditPlan, key: MatrixKey, base: torch.Tensor, post: torch.Tensor, alpha: float | None
    ) -> torch.Tensor:
        arguments = dict(plan.parameters)
        if plan.definition.seeded:
            arguments["seed"] = self._noise_seed(key, base, post)
        pair = self._pair(plan, key, base, post)
        if plan.definition.takes_alpha:
            arguments["alpha"] = _own_alpha(pair) if alpha is None else alpha
        return plan.definition.apply(pair, **arguments)

    def _pair(self, plan: EditPlan, key: MatrixKey, base: torch.Tensor, post: torch.Tensor) -> MatrixPair:
        """What the recipe works on: the base, beside the post model or beside its noise control."""
        from rotoscale.pair import MatrixPair

        post_hash = ""
        if plan.of == NOISE:
            seed = self._noise_seed(key, base, post)
            post = noise_control().apply(MatrixPair(base, post), seed=seed).to(base.dtype)
            post_hash = weight_hash(post)
        if not plan.definition.uses_factors:
            return MatrixPair(base, post)
        base_hash = self._base_hashes.of(key, base)
        post_hash = post_hash or self._post_hashes.of(key, post)
        first = self._factors(base_hash, base)
        return MatrixPair(base, post, first, first if base_hash == post_hash else self._factors(post_hash, post))

    def _factors(self, hashed: str, weight: torch.Tensor) -> Decomposition:
        # As all factors are made, so that they are the same bits whoever makes them (resources/workers.py).
        with arithmetic_threads(1):
            return self.factors.get(hashed, weight, self.device).decomposition

    def _noise_seed(self, key: MatrixKey, base: torch.Tensor, post: torch.Tensor) -> int:
        """A seed of its own for every pair of matrices, the same wherever that pair occurs."""
        text = f"noise:{self.seed}:{self._base_hashes.of(key, base)}:{self._post_hashes.of(key, post)}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")

    def _alphas(self, plan: EditPlan, keys: Iterable[MatrixKey]) -> dict[MatrixKey, float]:
        """Scale factors by matrix; empty where each matrix is given its own, which needs no first pass."""
        if not plan.definition.takes_alpha:
            return {}
        policy = dict(plan.parameters)["alpha"]
        if policy == "one":
            return dict.fromkeys(keys, 1.0)
        if policy == "matrix":
            return {}
        if plan.of not in self._least_squares:
            self._least_squares[plan.of] = {key: self._first_pass(plan, key) for key in self.common}
        found = self._least_squares[plan.of]
        return policy_alphas(policy, found, {key: key.matrix for key in found})

    def _first_pass(self, plan: EditPlan, key: MatrixKey) -> float:
        return _own_alpha(self._pair(plan, key, self.base.read(key), self.post.read(key)))


def _own_alpha(pair: MatrixPair) -> float:
    return least_squares_alpha(*pair.spectra)


def _described(plan: EditPlan) -> dict[str, Any]:
    """The plan for `edit.json`, with what the recipe means in words."""
    definition = plan.definition
    return {
        "recipe": plan.recipe,
        "formula": definition.formula,
        "text": definition.text,
        "question": definition.question,
        **({"note": plan.note} if plan.note else {}),
        "is_control": plan.is_control,
        "other_tensors_of": plan.around,
        "parameters": plan.as_json(),
    }


def _stored_dtype(source: Checkpoint, key: MatrixKey) -> torch.dtype:
    """The number format that the edited matrix is rounded to when it is stored."""
    import torch

    return getattr(torch, source.structure.parts[key].entry.torch_dtype)


_ROWS = 128
"""Rows looked at together: few enough to stay in the processor's cache."""


def _square(X: torch.Tensor) -> float:
    """|X|_F^2, summed in float64, in which the square of no float32 overflows."""
    import torch

    return float(torch.linalg.vector_norm(X, dtype=torch.float64)) ** 2


class _Difference:
    """Relative Frobenius distance over many matrices: differences in float32, as they are stored, sums in float64."""

    def __init__(self) -> None:
        self.count = 0
        self._difference = 0.0
        self._reference = 0.0

    def add(self, matrix: torch.Tensor, reference: torch.Tensor) -> None:
        self.count += 1
        for rows, expected in zip(matrix.split(_ROWS), reference.split(_ROWS), strict=True):
            expected = expected.float()
            self._difference += _square(rows.float() - expected)
            self._reference += _square(expected)

    @property
    def norm(self) -> float:
        """Of the difference itself."""
        return self._difference**0.5

    @property
    def value(self) -> float | None:
        return (self._difference / self._reference) ** 0.5 if self._reference else None
