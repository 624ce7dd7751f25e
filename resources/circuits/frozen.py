"""The first run of path patching: one head changed, all later head outputs frozen, one position computed.

With head outputs frozen no position hears of another one after the sender, so what follows the sender is the residual
stream at its own position: its layer's and all later norms and MLPs, plus the clean attention outputs. Senders of all
layers climb together: at each layer those that start there join.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resources.circuits.runs import run_layer_frozen
from rotoscale.circuits.heads import Head

if TYPE_CHECKING:
    import torch

    from resources.circuits.model import HeadModel
    from resources.circuits.recording import Recording

Seen = dict[tuple[int, str], "torch.Tensor"]
"""q, k or v vectors (senders below that layer, prompts, heads, head size) by layer and via."""


@dataclass(frozen=True)
class FrozenRun:
    """What senders did to the residual stream at their position."""

    final: torch.Tensor | None
    """What leaves the last layer (senders, prompts, width), if the run went so far."""
    seen: Seen


def run_frozen(
    model: HeadModel,
    recorded: Recording,
    position: int,
    senders: Sequence[Head],
    source: Sequence[torch.Tensor],
    see: Collection[tuple[int, str]] = (),
) -> FrozenRun:
    """Patch each of `senders` (ascending by layer) at a position by `source` (prompts, heads * head size) by layer.

    With `see`, (layer, via) pairs, the run records what later layers would compute there and ends at the highest;
    without, it goes on to the end.
    """
    import torch

    top = max((layer for layer, _ in see), default=model.n_layers - 1)
    n, hidden, seen = recorded.n, recorded.residuals[0].new_empty(0, model.width), {}
    for layer in range(senders[0].layer, top + 1):
        block, clean = model.blocks[layer], recorded.heads[layer][:, position]
        below = len(hidden)
        starting = [sender.head for sender in senders if sender.layer == layer]
        attention = block.output(clean).repeat(below // n, 1)
        if starting:
            patched = _with_heads(model, clean, source[layer], starting)
            attention = torch.cat([attention, block.output(patched).flatten(0, 1)])
            hidden = torch.cat([hidden, recorded.residuals[layer][:, position].repeat(len(starting), 1)])
        vias = [via for at, via in see if at == layer] if below else []

        def look(into: torch.Tensor, layer: int = layer, below: int = below, vias: list[str] = vias) -> None:
            for via in vias:
                vectors = model.blocks[layer].projections[via](into[:below])
                seen[layer, via] = vectors.unflatten(0, (-1, n))

        hidden = run_layer_frozen(model, recorded, layer, hidden, attention, look if vias else None)
    return FrozenRun(None if see else hidden.unflatten(0, (-1, n)), seen)


def _with_heads(model: HeadModel, clean: torch.Tensor, source: torch.Tensor, heads: Sequence[int]) -> torch.Tensor:
    """Clean head outputs with one head each from the source: (heads, prompts, heads * head size)."""
    import torch

    shape = (model.n_heads, model.head_size)
    mine = torch.zeros(len(heads), 1, model.n_heads, 1, dtype=torch.bool, device=clean.device)
    mine[range(len(heads)), 0, list(heads)] = True
    return torch.where(mine, source.unflatten(-1, shape), clean.unflatten(-1, shape)).flatten(-2)
