"""Runs of circuits: what a model does with only some of its heads, the others replaced by what carries no answer.

The replacement is the mean output by layer, head and position, or the output on the counterfactual prompt at the same
position; circuits depend on which (docs/methods.md, section 4). A circuit keeps its heads at their group's position
only. Everything else is then constant: one run with all heads replaced is recorded, and a circuit is a partial run of
at most three positions over it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from resources.circuits.recording import Recording, record
from resources.circuits.runs import run_positions
from rotoscale.circuits.heads import POSITIONS, Component, Head
from rotoscale.circuits.scores import Measured

if TYPE_CHECKING:
    import torch

    from resources.circuits.batches import Batch, Batches, Means
    from resources.circuits.model import HeadModel

MEASURES = ("log_probability", "logit_difference", "predicted")


class CircuitRuns:
    """Circuits of one model on one set of prompts under one ablation: by means if given, else by counterfactuals.

    Every method returns what is measured on all prompts, (circuits, prompts).
    """

    def __init__(self, model: HeadModel, batches: Batches, means: Means | None = None) -> None:
        self.model, self.batches, self.means = model, batches, means
        self._empty: dict[int, Recording] = {}

    @property
    def answers(self) -> torch.Tensor:
        """Tokens of the right objects (prompts,)."""
        return self.batches.prompts.answers

    def full(self) -> Measured:
        """The whole model."""
        return self._over_batches(1, lambda batch: _one(batch.clean))

    def empty(self) -> Measured:
        """The model without any head of its own."""
        return self._over_batches(1, lambda batch: _one(self.model.measure(self._emptied(batch).final, batch.prompts)))

    def circuits(self, kept: Sequence[frozenset[Component]]) -> Measured:
        """Only these heads, each at its position."""
        import torch

        used = [name for name in POSITIONS if any(one.position == name for circuit in kept for one in circuit)]
        if not used:
            return _repeated(self.empty(), len(kept))
        used = sorted({*used, POSITIONS[-1]}, key=POSITIONS.index)  # the answer is read at the last token
        start = min(one.head.layer for circuit in kept for one in circuit)
        mask = self._mask(kept, used)

        def run(batch: Batch) -> Measured:
            where = [batch.at(name) for name in used]
            recorded = self._emptied(batch)

            def compute(part: torch.Tensor) -> torch.Tensor:
                def edit(layer: int, z: torch.Tensor) -> torch.Tensor:
                    other = self._replacement(batch, layer, where)
                    return torch.where(part[:, None, :, layer, :, None], z, other)

                return run_positions(self.model, recorded, where, start, variants=len(part), edit_heads=edit)

            return self._in_parts(batch, mask, len(where), compute)

        return self._over_batches(len(kept), run)

    def without(self, removed: Sequence[frozenset[Component]]) -> Measured:
        """The whole model, these heads replaced at their positions."""
        import torch

        if not any(removed):
            return _repeated(self.full(), len(removed))
        used = [name for name in POSITIONS if any(one.position == name for out in removed for one in out)]
        start = min(one.head.layer for out in removed for one in out)
        mask = self._mask(removed, used)

        def run(batch: Batch) -> Measured:
            at = [batch.at(name) for name in used]
            where = range(at[0], batch.recorded.length)
            rows = [where.index(one) for one in at]

            def compute(part: torch.Tensor) -> torch.Tensor:
                def edit(layer: int, z: torch.Tensor) -> torch.Tensor:
                    z = z.clone()
                    gone = part[:, None, :, layer, :, None]
                    z[:, :, rows] = torch.where(gone, self._replacement(batch, layer, at), z[:, :, rows])
                    return z

                return run_positions(self.model, batch.recorded, where, start, variants=len(part), edit_heads=edit)

            return self._in_parts(batch, mask, len(where), compute)

        return self._over_batches(len(removed), run)

    def whole_heads(self, kept: Sequence[frozenset[Head]]) -> Measured:
        """Only these heads, at every position: what a curve up to the whole model is made of."""
        import torch

        mask = torch.zeros(len(kept), self.model.n_layers, self.model.n_heads, dtype=torch.bool)
        for row, heads in enumerate(kept):
            for layer, head in heads:
                mask[row, layer, head] = True
        mask = mask.to(self.model.device)

        def run(batch: Batch) -> Measured:
            where = range(batch.recorded.length)

            def compute(part: torch.Tensor) -> torch.Tensor:
                def edit(layer: int, z: torch.Tensor) -> torch.Tensor:
                    other = self._replacement(batch, layer, where)
                    return torch.where(part[:, None, None, layer, :, None], z, other)

                return run_positions(self.model, batch.recorded, where, 0, variants=len(part), edit_heads=edit)

            return self._in_parts(batch, mask, len(where), compute)

        return self._over_batches(len(kept), run)

    def accuracy(self, measured: Measured) -> torch.Tensor:
        """Share of prompts (circuits,) whose most likely token is the right object."""
        return (measured.predicted == self.answers.cpu()).double().mean(-1)

    def _mask(self, sets: Sequence[frozenset[Component]], used: Sequence[str]) -> torch.Tensor:
        import torch

        mask = torch.zeros(len(sets), len(used), self.model.n_layers, self.model.n_heads, dtype=torch.bool)
        for row, components in enumerate(sets):
            for position, (layer, head) in components:
                mask[row, used.index(position), layer, head] = True
        return mask.to(self.model.device)

    def _replacement(self, batch: Batch, layer: int, where: Sequence[int]) -> torch.Tensor:
        """Replacing head outputs (prompts or 1, positions, heads, head size)."""
        heads = batch.other[layer] if self.means is None else self.means[layer][None]
        return heads[:, list(where)].unflatten(-1, (self.model.n_heads, self.model.head_size))

    def _emptied(self, batch: Batch) -> Recording:
        import torch

        key = int(batch.index[0])
        if key in self._empty:
            return self._empty[key]
        with torch.no_grad():
            made = record(self.model, batch.prompts.tokens, batch.other if self.means is None else self.means)
        if self.batches.keeps:
            self._empty[key] = made
        return made

    def _in_parts(
        self, batch: Batch, mask: torch.Tensor, positions: int, compute: Callable[[torch.Tensor], torch.Tensor]
    ) -> Measured:
        import torch

        at_once = max(1, self.model.rows(positions) // len(batch.prompts))
        found = [self.model.measure(compute(part), batch.prompts) for part in mask.split(at_once)]
        return Measured(*(torch.cat([getattr(one, name) for one in found]) for name in MEASURES))

    def _over_batches(self, n: int, run: Callable[[Batch], Measured]) -> Measured:
        import torch

        shape = (n, len(self.batches.prompts))
        made = Measured(torch.zeros(shape), torch.zeros(shape), torch.zeros(shape, dtype=torch.long))
        with torch.no_grad():
            for batch in self.batches:
                found, index = run(batch), batch.index.cpu()
                for name in MEASURES:
                    getattr(made, name)[:, index] = getattr(found, name).cpu()
        return made


def removals(
    runs: CircuitRuns, circuit: frozenset[Component], position: str
) -> Callable[[Sequence[frozenset[Head]]], list[float]]:
    """What `minimality` asks: accuracies of the circuit without sets of heads at one position."""

    def evaluate(sets: Sequence[frozenset[Head]]) -> list[float]:
        kept = [circuit - {Component(position, head) for head in out} for out in sets]
        return list(_accuracies(runs, kept))

    return evaluate


def _accuracies(runs: CircuitRuns, kept: Sequence[frozenset[Component]]) -> Iterator[float]:
    if kept:
        yield from runs.accuracy(runs.circuits(kept)).tolist()


def _one(measured: Measured) -> Measured:
    return Measured(*(getattr(measured, name)[None] for name in MEASURES))


def _repeated(measured: Measured, n: int) -> Measured:
    return Measured(*(getattr(measured, name).expand(n, -1) for name in MEASURES))
