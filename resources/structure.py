"""The tasks that structure work on a model consists of: for the assets that run them, and for whoever begins ahead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from resources.comparison import OthersTask, common_matrices, compare_others
from resources.decomposing import DecompositionTask, decompose_matrix
from resources.depth import depth_of
from resources.pairs import PairTask, compare_matrices
from resources.reading import ReadingTask, read_tensor
from resources.workers import Batch, Work
from rotoscale.agreement_statistics import FULL
from rotoscale.errors import RotoscaleError

if TYPE_CHECKING:
    from resources.checkpoints import StoredTensor
    from resources.workspace import Workspace


def reading(space: Workspace, model: str, tensors: Sequence[StoredTensor]) -> Batch[Any, Any]:
    """Reading through every stored tensor of a model."""
    location = space.location(model)
    sizes = [Work.of_reading(tensor.nbytes, tensor.held) for tensor in tensors]
    return Batch(read_tensor, [ReadingTask(location, tensor) for tensor in tensors], sizes)


def decomposing(space: Workspace, model: str) -> Batch[Any, Any]:
    """Decomposing every principal matrix of a model.

    A base's vectors are always wanted, a descendant's at full depth; whatever needs more later makes it then.
    """
    settings, location = space.settings, space.location(model)
    checkpoint = location.open()
    keys = checkpoint.matrices()
    shapes = [checkpoint.shape(key) for key in keys]
    vectors = space.registry.model(model).base is None or depth_of(settings.depth, shapes) == FULL
    tasks = [DecompositionTask(location, key, settings.factors, settings.device, vectors) for key in keys]
    return Batch(decompose_matrix, tasks, _sizes(shapes))


def comparing(space: Workspace, base_id: str, model: str) -> Batch[Any, Any]:
    """Comparing every principal matrix of a model with the one of a reference.

    Raises MatrixError when matrices of the same name differ in shape, or none is in both.
    """
    base, post, settings = space.location(base_id), space.location(model), space.settings
    keys = common_matrices(base.open(), post.open())
    shapes = [post.open().shape(key) for key in keys]
    folders, depth = (settings.factors, settings.pairs), depth_of(settings.depth, shapes)
    tasks = [
        PairTask(base, post, key, *folders, settings.device, depth, settings.null_draws, settings.seed) for key in keys
    ]
    return Batch(compare_matrices, tasks, _sizes(shapes))


def comparing_others(space: Workspace, base_id: str, model: str) -> Batch[Any, Any]:
    """Comparing all that is not a principal matrix, as one task."""
    task = OthersTask(space.location(base_id), space.location(model), space.settings.pairs)
    return Batch(compare_others, [task], [Work.of_reading(*task.size)])


def begin(space: Workspace, models: Sequence[str]) -> None:
    """Begin the structure work on local models, each after its references, where workers are being prepared for it.

    What stands in the way of it is said by the asset whose work it is.
    """
    entries = [space.registry.model(model) for model in models]
    if space.settings.device != "cpu" or not all(entry.path for entry in entries):
        return
    batches: list[Batch[Any, Any]] = []
    try:
        unread = [entry.id for entry in entries if not space.tables.read("models", entry.id)]
        batches += [reading(space, model, space.checkpoint(model).stored()) for model in unread]
        for entry in entries:  # model by model, so that one is finished while workers are at the next
            batches.append(decomposing(space, entry.id))
            for base in entry.all_references:
                batches += [comparing_others(space, base, entry.id), comparing(space, base, entry.id)]
    except RotoscaleError:
        return
    space.begin(batches)


def _sizes(shapes: Sequence[tuple[int, int]]) -> list[Work]:
    return [Work.on_matrix(*shape) for shape in shapes]
