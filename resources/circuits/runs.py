"""Runs that compute only what can differ from a recorded one: a few positions, from some layer up.

A model's own blocks are called, on hidden states of the chosen positions only. In a partial run their attention sees
the other positions' recorded keys and values; in a frozen run it is not computed at all, because its output is given.
Hidden states are (variants, prompts, positions, width): many interventions on the same prompts at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from resources.circuits.attention import Fixed, Scaling, attend, handle
from resources.circuits.hooks import Hooks

if TYPE_CHECKING:
    import torch

    from resources.circuits.layouts import Projection
    from resources.circuits.model import HeadModel
    from resources.circuits.recording import Recording

EditHeads = Callable[[int, "torch.Tensor"], "torch.Tensor"]
"""Takes a layer and its head outputs (variants, prompts, positions, heads, head size), gives what stands instead."""
EditVectors = Callable[["torch.Tensor"], None]
"""Changes q, k or v vectors (variants, prompts, positions, heads, head size) in place."""
Blocked = Mapping[int, Sequence[tuple[int, int]]]
"""By layer: (query position, key position) pairs that attention may not use."""


def run_positions(
    model: HeadModel,
    recorded: Recording,
    where: Sequence[int],
    start: int,
    *,
    variants: int = 1,
    edit_heads: EditHeads | None = None,
    edit_vectors: Mapping[tuple[int, str], EditVectors] | None = None,
    blocked: Blocked | None = None,
) -> torch.Tensor:
    """Run positions `where` (ascending, the last token among them) from layer `start` to the end.

    All other positions keep what was recorded. Returns what leaves the last layer at the last token
    (variants, prompts, width); `model.measure` reads it.
    """
    import torch

    device = recorded.residuals[0].device
    at = torch.tensor(where, device=device)
    rest = torch.tensor([i for i in range(recorded.length) if i not in set(where)], dtype=torch.long, device=device)
    hidden = recorded.residuals[start][:, at].expand(variants, -1, -1, -1).flatten(0, 1)
    for layer in range(start, model.n_layers):
        block = model.blocks[layer]
        allowed, known = recorded.masks[layer][at][:, at], recorded.masks[layer][at][:, rest]
        if blocked and layer in blocked:
            allowed, known = allowed.clone(), known.clone()
            for query, key in blocked[layer]:
                row = list(where).index(query)
                allowed[row] &= at != key
                known[row] &= rest != key
        fixed = Fixed(recorded.keys[layer][:, :, rest], recorded.values[layer][:, :, rest], known)
        with Hooks() as hooks, model.taken_apart():
            hooks.always(handle(block.attention, _attention(allowed, fixed)))
            for (at_layer, via), edit in (edit_vectors or {}).items():
                if at_layer == layer:
                    part = block.projections[via]
                    hooks.on_output(f"{via} of layer {layer}", part.module, _vectors(part, edit, variants))
            if edit_heads is not None:
                hooks.on_input(
                    f"the head outputs of layer {layer}",
                    block.output,
                    _heads(model, layer, edit_heads, variants),
                )
            hidden = _call(model, recorded, layer, hidden, at)
    return hidden[:, -1].unflatten(0, (variants, recorded.n))


def run_layer_frozen(
    model: HeadModel,
    recorded: Recording,
    layer: int,
    hidden: torch.Tensor,
    attention_output: torch.Tensor,
    see: Callable[[torch.Tensor], None] | None = None,
) -> torch.Tensor:
    """One layer at one position with its attention output given: (rows, width) in, (rows, width) out.

    Norms and the MLP are computed. `see` is shown the attention's input (rows, width), from which q, k and v come.
    """
    block = model.blocks[layer]

    def given(*args: Any, **kwargs: Any) -> tuple[torch.Tensor, None]:
        if see is not None:
            see((args[0] if args else kwargs["hidden_states"])[:, 0])
        return attention_output[:, None], None

    with Hooks() as hooks:
        hooks.instead(f"the attention of layer {layer}", block.attention, given)
        return _call(model, recorded, layer, hidden[:, None], None)[:, 0]


def _attention(allowed: torch.Tensor, fixed: Fixed) -> Callable[..., torch.Tensor]:
    def compute(query: Any, key: Any, value: Any, mask: Any, scaling: Scaling) -> torch.Tensor:
        return attend(query, key, value, allowed, scaling, fixed)

    return compute


def _heads(model: HeadModel, layer: int, edit: EditHeads, variants: int) -> Callable[[torch.Tensor], torch.Tensor]:
    def change(z: torch.Tensor) -> torch.Tensor:
        by_head = z.unflatten(0, (variants, -1)).unflatten(-1, (model.n_heads, model.head_size))
        return edit(layer, by_head).flatten(-2).flatten(0, 1)

    return change


def _vectors(part: Projection, edit: EditVectors, variants: int) -> Callable[[torch.Tensor], torch.Tensor]:
    def change(out: torch.Tensor) -> torch.Tensor:
        out = out.clone()
        edit(part.view(out).unflatten(0, (variants, -1)))
        return out

    return change


def _call(
    model: HeadModel, recorded: Recording, layer: int, hidden: torch.Tensor, at: torch.Tensor | None
) -> torch.Tensor:
    """Call a block as it was called in the recorded run, but for the positions `at` (None: attention is given)."""
    args, kwargs = recorded.calls[layer]
    if at is not None:
        kwargs = {name: _at(name, value, at) for name, value in kwargs.items()}
    out = model.blocks[layer].module(hidden, *args, **kwargs)
    return out[0] if isinstance(out, tuple) else out


def _at(name: str, value: Any, at: torch.Tensor) -> Any:
    if name == "position_embeddings" and value is not None:
        return tuple(part[:1, at] for part in value)  # without padding they are the same for all prompts
    if name == "position_ids" and value is not None:
        return value[:1, at]
    return None if name == "attention_mask" else value
