"""Activation patching: head outputs from elsewhere put into a run at one named position, everything after it free."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from resources.circuits.ablation import MEASURES
from resources.circuits.runs import run_positions
from rotoscale.circuits.heads import Head
from rotoscale.circuits.scores import Measured

if TYPE_CHECKING:
    import torch

    from resources.circuits.model import HeadModel
    from resources.circuits.prompts import Prompts
    from resources.circuits.recording import Recording


def heads_at(heads: Sequence[torch.Tensor], prompts: Prompts, position: str) -> list[torch.Tensor]:
    """Recorded head outputs (n, length, heads * head size) of prompts at a named position, by layer."""
    import torch

    rows = torch.arange(len(prompts), device=prompts.tokens.device)
    at = prompts.position(position)
    return [one[rows, at] for one in heads]


def patch_heads(
    model: HeadModel,
    recorded: Recording,
    prompts: Prompts,
    position: int,
    source: Sequence[torch.Tensor],
    sets: Sequence[Collection[Head]],
) -> Measured:
    """Run recorded prompts with each of several sets of heads patched: (sets, prompts).

    `position` is the token position of all prompts; `source` (prompts, heads * head size) by layer is what the heads
    get there. An empty set is the clean run.
    """
    import torch

    wanted = [frozenset(heads) for heads in sets]
    distinct = list(dict.fromkeys(wanted))  # random draws of few heads repeat themselves
    mask = torch.zeros(len(distinct), model.n_layers, model.n_heads, dtype=torch.bool)
    for row, heads in enumerate(distinct):
        for layer, head in heads:
            mask[row, layer, head] = True
    mask = mask.to(model.device)
    start = min((head.layer for heads in sets for head in heads), default=model.n_layers - 1)
    where = range(position, recorded.length)
    shape = (model.n_heads, model.head_size)
    found = []
    with torch.no_grad():
        for part in mask.split(max(1, model.rows(len(where)) // recorded.n)):

            def edit(layer: int, z: torch.Tensor, part: torch.Tensor = part) -> torch.Tensor:
                z = z.clone()
                new = source[layer].unflatten(-1, shape)
                z[:, :, 0] = torch.where(part[:, None, layer, :, None], new, z[:, :, 0])
                return z

            final = run_positions(model, recorded, where, start, variants=len(part), edit_heads=edit)
            found.append(model.measure(final, prompts))
    rows = [distinct.index(heads) for heads in wanted]
    return Measured(*(torch.cat([getattr(one, name) for one in found]).cpu()[rows] for name in MEASURES))
