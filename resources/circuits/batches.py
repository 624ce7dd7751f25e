"""Prompts recorded in batches: a clean run of each, and what patched heads get instead of their clean output."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resources.circuits.recording import Recording, record, record_heads

if TYPE_CHECKING:
    import torch

    from resources.circuits.model import HeadModel
    from resources.circuits.prompts import Prompts
    from rotoscale.circuits.scores import Measured

COUNTERFACTUAL, MEAN = "counterfactual", "mean"
ABLATIONS = (COUNTERFACTUAL, MEAN)
"""What a head's output is replaced by: its output on the counterfactual prompt, or its mean at that position."""

Means = list["torch.Tensor"]
"""Mean head outputs (length, heads * head size) by layer."""


@dataclass
class Batch:
    """Prompts that query one box, their clean run, and the other head outputs."""

    index: torch.Tensor
    """Which of all prompts these are."""
    prompts: Prompts
    recorded: Recording
    clean: Measured
    other: list[torch.Tensor]
    """Head outputs of the counterfactual prompts (n, length, heads * head size) by layer."""
    counterfactual: Prompts

    def at(self, position: str) -> int:
        """Where a named position is in all prompts of the batch."""
        return int(self.prompts.position(position)[0])

    def source(self, position: str, means: Means | None = None) -> list[torch.Tensor]:
        """Head outputs (n, heads * head size) by layer that a sender at a named position gets.

        A counterfactual's are taken at its own position of that name (choice; they differ for the previous query
        label, where only so the patch says that another box is queried); means at the same position.
        """
        import torch

        if means is not None:
            return [mean[self.at(position)].expand(len(self.prompts), -1) for mean in means]
        rows = torch.arange(len(self.prompts), device=self.prompts.tokens.device)
        at = self.counterfactual.position(position)
        return [heads[rows, at] for heads in self.other]


class Batches:
    """Prompts with counterfactuals, recorded in batches; kept if all of them fit into half of the model's memory."""

    def __init__(self, model: HeadModel, prompts: Prompts, counterfactual: Prompts) -> None:
        self.model, self.prompts, self.counterfactual = model, prompts, counterfactual
        fitting = model.prompts_per_batch(prompts.tokens.shape[1])
        self.keeps = len(prompts) <= fitting
        self._index = list(prompts.batches(fitting))
        self._kept: list[Batch] = []

    def __len__(self) -> int:
        return len(self._index)

    def __iter__(self) -> Iterator[Batch]:
        if self._kept:
            yield from self._kept
            return
        made = []
        for index in self._index:
            batch = self._made(index)
            if self.keeps:
                made.append(batch)
            yield batch
        self._kept = made

    def _made(self, index: torch.Tensor) -> Batch:
        import torch

        with torch.no_grad():
            prompts, other = self.prompts.take(index), self.counterfactual.take(index)
            recorded = record(self.model, prompts.tokens)
            clean = self.model.measure(recorded.final, prompts)
            return Batch(index, prompts, recorded, clean, record_heads(self.model, other.tokens), other)


def mean_heads(model: HeadModel, prompts: Prompts) -> Means:
    """Mean head outputs (length, heads * head size) by layer over prompts (docs/methods.md, section 4)."""
    import torch

    total: list[torch.Tensor] = []
    with torch.no_grad():
        for index in prompts.batches(model.prompts_per_batch(prompts.tokens.shape[1])):
            sums = [heads.double().sum(0) for heads in record_heads(model, prompts.tokens[index])]
            total = [a + b for a, b in zip(total, sums, strict=True)] if total else sums
    return [(one / len(prompts)).to(model.dtype) for one in total]
