"""Cross-model activation patching (CMAP): a donor's head outputs in a recipient, on the same prompts (EP section 6)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resources.circuits.model import require_comparable
from resources.circuits.patching import heads_at, patch_heads
from resources.circuits.recording import record, record_heads
from rotoscale.circuits.controls import matched_heads
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
    """Accuracy with random heads of the donor, as many in each layer."""


def cross_patch(
    recipient: HeadModel,
    donor: HeadModel,
    prompts: Prompts,
    heads: Sequence[Head],
    position: str,
    draws: int,
    seed: int = 0,
) -> CrossPatch:
    """Copy the donor's outputs of `heads` at a named position into the recipient.

    Raises CircuitError when the models have different tokenizers or layouts of heads.
    """
    import torch

    require_comparable(recipient, donor)
    rng = random.Random(f"random heads {seed}")
    sets = [tuple(heads), *(matched_heads(heads, recipient.n_heads, rng) for _ in range(draws))]
    right = torch.zeros(len(sets), len(prompts), dtype=torch.bool)
    with torch.no_grad():
        for index in prompts.batches(recipient.prompts_per_batch(prompts.tokens.shape[1]), position):
            mine = prompts.take(index)
            theirs = mine.to(donor.device)
            source = heads_at(record_heads(donor, theirs.tokens), theirs, position)
            source = [one.to(recipient.device, recipient.dtype) for one in source]
            at = int(mine.position(position)[0])
            found = patch_heads(recipient, record(recipient, mine.tokens), mine, at, source, sets)
            right[:, index.cpu()] = found.predicted == mine.answers.cpu()
    return CrossPatch(right[0], right[1:].double().mean(1).tolist())
