"""Attention knock-out: which layers need which token to see which other token.

In a window of layers the attention from one named position to another is forbidden for all heads; what the answer loses
says that information passes there. Windows slide over the layers, a fifth of them wide.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resources.circuits.ablation import MEASURES
from resources.circuits.runs import run_positions
from rotoscale.circuits.heads import LAST, PREVIOUS_LABEL, QUERY_LABEL
from rotoscale.circuits.scores import Measured, relative_change

if TYPE_CHECKING:
    from resources.circuits.batches import Batch, Batches
    from resources.circuits.model import HeadModel

OBJECT = "object"
PAIRS = (
    (LAST, OBJECT),
    (LAST, PREVIOUS_LABEL),
    (LAST, QUERY_LABEL),
    (QUERY_LABEL, PREVIOUS_LABEL),
    (QUERY_LABEL, OBJECT),
    (PREVIOUS_LABEL, OBJECT),
)
"""(query, key): who may not see whom. `object` is the queried object where it is told."""


@dataclass(frozen=True)
class Knockout:
    """One window of layers without one attention edge."""

    query: str
    key: str
    first_layer: int
    last_layer: int
    accuracy: float
    probability_change: float
    """Mean relative change of the right object's probability."""


def knock_out(model: HeadModel, batches: Batches) -> Iterator[Knockout]:
    """Knock out every pair of positions in every window of layers."""
    import torch

    width = max(1, model.n_layers // 5)
    answers = batches.prompts.answers.cpu()
    for query, key in PAIRS:
        for first in range(model.n_layers - width + 1):
            layers = range(first, first + width)
            change, right = torch.zeros(len(answers)), torch.zeros(len(answers), dtype=torch.bool)
            with torch.no_grad():
                for batch in batches:
                    found, index = _blocked(model, batch, query, key, layers), batch.index.cpu()
                    change[index] = relative_change(found, batch.clean).cpu()
                    right[index] = found.predicted.cpu() == answers[index]
            yield Knockout(query, key, first, layers[-1], float(right.double().mean()), float(change.mean()))


def _blocked(model: HeadModel, batch: Batch, query: str, key: str, layers: range) -> Measured:
    at = batch.at(query)
    told = batch.prompts.slots.objects[int(batch.prompts.queried[0])]
    seen = told if key == OBJECT else batch.at(key)
    blocked = {layer: [(at, seen)] for layer in layers}
    final = run_positions(model, batch.recorded, range(at, batch.recorded.length), layers[0], blocked=blocked)
    measured = model.measure(final, batch.prompts)
    return Measured(*(getattr(measured, name)[0] for name in MEASURES))
