"""Cross-model activation patching (CMAP): a donor's head outputs in a recipient, on the same prompts (EP section 6)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resources.circuits.model import require_comparable
from resources.circuits.patching import heads_at, patch_heads
from resources.circuits.recording import Recording, record, record_heads
from rotoscale.circuits.controls import other_sets
from rotoscale.circuits.heads import Head

if TYPE_CHECKING:
    import torch

    from resources.circuits.model import HeadModel
    from resources.circuits.prompts import Prompts


@dataclass(frozen=True)
class CrossPatch:
    """One group of a donor's heads in a recipient."""

    right: torch.Tensor
    """Whether the right object is named (prompts,)."""
    random: list[float]
    """Accuracy with as many random heads of the donor."""
    in_layers: bool | None
    """Whether these are as many in each layer; None where there are none."""


class Exchange:
    """A recipient and a donor on the same prompts, each run once.

    Raises CircuitError when the models have different tokenizers or layouts of heads.
    """

    def __init__(self, recipient: HeadModel, donor: HeadModel, prompts: Prompts) -> None:
        import torch

        require_comparable(recipient, donor)
        self.recipient, self.n_prompts = recipient, len(prompts)
        self._batches: list[tuple[torch.Tensor, Prompts, Recording, list[torch.Tensor]]] = []
        with torch.no_grad():
            for index in prompts.batches(recipient.prompts_per_batch(prompts.tokens.shape[1])):
                mine = prompts.take(index).to(recipient.device)
                heads = record_heads(donor, mine.tokens.to(donor.device))
                heads = [one.to(recipient.device, recipient.dtype) for one in heads]
                self._batches.append((index.cpu(), mine, record(recipient, mine.tokens), heads))

    def patch(self, heads: Sequence[Head], position: str, draws: int, seed: int = 0) -> CrossPatch:
        """Copy the donor's outputs of `heads` at a named position into the recipient."""
        import torch

        rng = random.Random(f"random heads {seed}")
        drawn, in_layers = other_sets(heads, self.recipient.n_layers, self.recipient.n_heads, draws, rng)
        sets = [tuple(heads), *drawn]
        right = torch.zeros(len(sets), self.n_prompts, dtype=torch.bool)
        for index, prompts, recorded, given in self._batches:
            at = int(prompts.position(position)[0])
            source = heads_at(given, prompts, position)
            found = patch_heads(self.recipient, recorded, prompts, at, source, sets)
            right[:, index] = found.predicted == prompts.answers.cpu()
        return CrossPatch(right[0], right[1:].double().mean(1).tolist(), in_layers if drawn else None)
