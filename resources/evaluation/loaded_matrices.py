"""The principal matrices of a loaded model, to be replaced in place and put back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rotoscale.errors import RotoscaleError

if TYPE_CHECKING:
    import torch

    from resources.checkpoints import Checkpoint, MatrixKey


class NotInPlace(RotoscaleError):  # noqa: N818 (reads as what it says)
    """A matrix that is not found among the loaded model's parameters as it lies on disk."""


class LoadedMatrices:
    """Writable views of the matrices `keys` of a model that was loaded from `checkpoint` (or from its merged copy).

    Every view is compared with the checkpoint's own matrix first, so that a model whose parameters are arranged
    otherwise than its files is refused and never edited in the wrong place.

    Raises NotInPlace naming the matrix.
    """

    def __init__(self, model: Any, checkpoint: Checkpoint, keys: Iterable[MatrixKey]) -> None:
        import torch

        parameters = dict(model.named_parameters())
        self._views: dict[MatrixKey, tuple[torch.Tensor, bool]] = {}
        for key in keys:
            part = checkpoint.structure.parts[key]
            names = (part.entry.name, checkpoint.layout.canonical(part.entry.name))
            found = next((parameters[name] for name in names if name in parameters), None)
            if found is None or tuple(found.shape) != tuple(part.entry.shape):
                raise NotInPlace(f"{key} of {checkpoint.path} is no parameter of the loaded model under its own name")
            slab = found.data if part.expert is None else found.data[part.expert]
            rows = slice(part.start, part.start + part.size)
            if part.transposed:
                view = slab.view(slab.shape[0], part.groups, part.stride)[:, :, rows]
            else:
                view = slab.view(part.groups, part.stride, slab.shape[-1])[:, rows]
            self._views[key] = (view, part.transposed)
            stored = checkpoint.read(key)
            if not torch.allclose(self.read(key).cpu().float(), stored.to(view.dtype).float(), rtol=1e-2, atol=1e-6):
                raise NotInPlace(f"{key} of {checkpoint.path} is arranged otherwise in the loaded model than on disk")

    def read(self, key: MatrixKey) -> torch.Tensor:
        """A copy of a matrix (out x in) as the model computes with it."""
        view, transposed = self._views[key]
        if transposed:
            return view.reshape(view.shape[0], -1).t().clone()
        return view.reshape(-1, view.shape[-1]).clone()

    def write(self, key: MatrixKey, matrix: torch.Tensor) -> None:
        """Replace a matrix (out x in), rounded to the model's own number format."""
        view, transposed = self._views[key]
        view.copy_((matrix.t() if transposed else matrix).reshape(view.shape))

    @contextmanager
    def replaced(self, matrices: Mapping[MatrixKey, torch.Tensor]) -> Iterator[None]:
        """Other matrices for the duration of a block."""
        before = {key: self.read(key) for key in matrices}
        try:
            for key, matrix in matrices.items():
                self.write(key, matrix)
            yield
        finally:
            for key, matrix in before.items():
                self.write(key, matrix)
