"""The first-order form of path patching: every head's score from a few forward and backward passes.

Later head outputs are given, so the gradient reaches a head's output only along the path that path patching patches:
the residual stream, norms and MLPs at one position, and from there the answer or the receivers' vectors. All heads are
moved from clean to counterfactual together in five steps (integrated gradients); estimates are changes of the log
probability, put on the scale of EP's score by `exp(.) - 1`, and of the logit difference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from resources.circuits.path_patching import Path, PathScores
from resources.circuits.runs import EditVectors, run_layer_frozen, run_positions
from rotoscale.circuits.heads import LOGITS, Step
from rotoscale.circuits.scores import Measured

if TYPE_CHECKING:
    import torch

    from resources.circuits.batches import Batch, Batches
    from resources.circuits.model import HeadModel

GRADIENT_STEPS = 5

Vectors = dict[tuple[int, int], "torch.Tensor"]
"""Receivers' vectors (prompts, head size) by layer and index among that layer's q, k or v."""


def screen_paths(
    model: HeadModel,
    batches: Batches,
    step: Step,
    paths: Sequence[Path],
    progress: Callable[[float], None] | None = None,
) -> PathScores:
    """Estimate the scores that `patch_paths` computes exactly, for paths with any receivers."""
    import torch

    paths = tuple(paths)
    estimates = torch.zeros(2, len(paths), len(batches.prompts))
    targets = sorted(_targets(model, step, paths))
    for done, batch in enumerate(batches, 1):
        found = _to_logits(model, batch, step) if step.receivers == LOGITS else _to_vectors(model, batch, step, targets)
        index = batch.index.cpu()
        for row, path in enumerate(paths):
            layer, head = path.sender
            if step.receivers == LOGITS:
                mine = found[:, 0, layer, :, head]
            else:
                wanted = {(one.layer, model.vector_index(step.via, one.head)) for one in path.receivers}
                mine = found[:, [targets.index(one) for one in sorted(wanted)], layer, :, head].sum(1)
            estimates[:, row, index] = mine.cpu()
        if progress:
            progress(done / len(batches))
    return PathScores(paths, torch.expm1(estimates[0]), estimates[1])


def _targets(model: HeadModel, step: Step, paths: Sequence[Path]) -> set[tuple[int, int]]:
    return {(one.layer, model.vector_index(step.via, one.head)) for path in paths for one in path.receivers}


def _to_logits(model: HeadModel, batch: Batch, step: Step) -> torch.Tensor:
    """Estimates (2 scores, 1, layers, prompts, heads) of the effect on the logits."""
    import torch

    total: Any = 0
    for share in _shares():
        moved, change = _moved(model, batch, step, share)
        measured = model.measure(_stream(model, batch, step, moved), batch.prompts)
        gradients = _both(measured, [moved], keep=False)
        total = total + torch.stack([_by_head(model, gradient[0] * change) for gradient in gradients])
    return total[:, None] / GRADIENT_STEPS


def _to_vectors(model: HeadModel, batch: Batch, step: Step, targets: Sequence[tuple[int, int]]) -> torch.Tensor:
    """Estimates (2 scores, receivers, layers, prompts, heads) of the effect through each receiver's vector."""
    import torch

    weights = _receiver_gradients(model, batch, step, targets)
    total: Any = 0
    for share in _shares():
        moved, change = _moved(model, batch, step, share)
        vectors = _vectors(model, batch, step, targets, moved)
        rows = []
        for score in range(2):
            for target in targets:
                # Through one vector: its pull on the answer, carried back to the senders' outputs.
                pulled = (weights[score][target] * vectors[target]).sum()
                gradient = torch.autograd.grad(pulled, moved, retain_graph=True)[0]
                rows.append(_by_head(model, gradient * change))
        total = total + torch.stack(rows).unflatten(0, (2, len(targets)))
    return total / GRADIENT_STEPS


def _receiver_gradients(
    model: HeadModel, batch: Batch, step: Step, targets: Sequence[tuple[int, int]]
) -> list[Vectors]:
    """Gradients of both scores with respect to each receiver's vector, on the way to where all senders move it."""
    import torch

    with torch.no_grad():
        clean = _vectors(model, batch, step, targets, _moved(model, batch, step, 0.0)[0])
        other = _vectors(model, batch, step, targets, _moved(model, batch, step, 1.0)[0])
    position = batch.at(step.position)
    where, start = range(position, batch.recorded.length), min(layer for layer, _ in targets)
    totals: list[Vectors] = [{}, {}]
    for share in _shares():
        leaves = {key: (clean[key] + share * (other[key] - clean[key])).requires_grad_() for key in targets}
        edits: dict[tuple[int, str], EditVectors] = {
            (layer, step.via): _putting({index: leaves[at, index] for at, index in targets if at == layer})
            for layer in {layer for layer, _ in targets}
        }
        final = run_positions(model, batch.recorded, where, start, edit_vectors=edits)
        measured = model.measure(final, batch.prompts)
        for total, gradients in zip(totals, _both(measured, list(leaves.values()), keep=False), strict=True):
            for key, gradient in zip(leaves, gradients, strict=True):
                total[key] = total.get(key, 0) + gradient / GRADIENT_STEPS
    return totals


def _putting(vectors: dict[int, torch.Tensor]) -> EditVectors:
    def edit(view: torch.Tensor) -> None:
        for index, vector in vectors.items():
            view[0, :, 0, index] = vector

    return edit


def _both(measured: Measured, leaves: Sequence[torch.Tensor], keep: bool) -> list[tuple[torch.Tensor, ...]]:
    """Gradients of the log probability and of the logit difference; prompts do not touch each other."""
    import torch

    first = torch.autograd.grad(measured.log_probability.sum(), leaves, retain_graph=True, allow_unused=False)
    second = torch.autograd.grad(measured.logit_difference.sum(), leaves, retain_graph=keep)
    return [first, second]


def _shares() -> list[float]:
    """Midpoints of five equal pieces of the way from clean to counterfactual."""
    return [(i + 0.5) / GRADIENT_STEPS for i in range(GRADIENT_STEPS)]


def _moved(model: HeadModel, batch: Batch, step: Step, share: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Head outputs of all layers (layers, prompts, heads * head size) part of the way, and the whole way's change."""
    import torch

    position = batch.at(step.position)
    clean = torch.stack([heads[:, position] for heads in batch.recorded.heads])
    change = torch.stack(batch.source(step.position)) - clean
    return (clean + share * change).requires_grad_(), change


def _stream(model: HeadModel, batch: Batch, step: Step, moved: torch.Tensor) -> torch.Tensor:
    hidden = batch.recorded.residuals[0][:, batch.at(step.position)]
    for layer, block in enumerate(model.blocks):
        hidden = run_layer_frozen(model, batch.recorded, layer, hidden, block.output(moved[layer]))
    return hidden


def _vectors(
    model: HeadModel, batch: Batch, step: Step, targets: Sequence[tuple[int, int]], moved: torch.Tensor
) -> Vectors:
    """The receivers' vectors when the senders' outputs are `moved`."""
    found: Vectors = {}
    hidden = batch.recorded.residuals[0][:, batch.at(step.position)]
    for layer in range(max(layer for layer, _ in targets) + 1):
        mine = [index for at, index in targets if at == layer]

        def look(into: torch.Tensor, layer: int = layer, mine: list[int] = mine) -> None:
            vectors = model.blocks[layer].projections[step.via](into)
            found.update({(layer, index): vectors[:, index] for index in mine})

        output = model.blocks[layer].output(moved[layer])
        hidden = run_layer_frozen(model, batch.recorded, layer, hidden, output, look if mine else None)
    return found


def _by_head(model: HeadModel, products: torch.Tensor) -> torch.Tensor:
    """Sum of (layers, prompts, heads * head size) over each head: (layers, prompts, heads)."""
    return products.unflatten(-1, (model.n_heads, model.head_size)).sum(-1)
