"""Attention of a few positions of a prompt to all of it, where the other positions' keys and values are known.

The models compute their attention through a function that transformers lets one choose. Ours is the plain formula;
while a block is hooked it is handed to a closure that records keys and values or adds those of the other positions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from rotoscale.circuits.heads import CircuitError

if TYPE_CHECKING:
    import torch

NAME = "rotoscale_heads"
_HANDLER = "_rotoscale_attention"


@dataclass(frozen=True)
class Scaling:
    """What a model does to its attention logits."""

    factor: float
    softcap: float | None


@dataclass(frozen=True)
class Fixed:
    """Keys and values (prompts, kv heads, positions, head size) of positions that are not computed anew."""

    keys: torch.Tensor
    values: torch.Tensor
    allowed: torch.Tensor
    """Which of them each query may see (queries, positions)."""


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    allowed: torch.Tensor,
    scaling: Scaling,
    fixed: Fixed | None = None,
) -> torch.Tensor:
    """Attention outputs (rows, queries, heads, head size) of fresh positions, after rotary.

    `query` (rows, heads, queries, head size), `key` and `value` (rows, kv heads, queries, head size), `allowed`
    (queries, queries) or (heads, queries, queries). Rows are variants x prompts when `fixed` holds keys by prompt: the
    keys of the other positions are the same for every variant and are never copied.
    """
    import torch

    rows, heads, p, size = query.shape
    groups = key.shape[1]
    if fixed is None or not fixed.keys.shape[2]:
        weights = attention_weights(query, key, allowed, scaling).to(value.dtype).reshape(rows, groups, -1, p)
        out = weights @ value
    else:
        n = len(fixed.keys)
        grouped = query.reshape(rows, groups, -1, size)  # query heads of one kv head stand together
        logits = _scaled(grouped @ key.transpose(-1, -2), scaling).reshape(rows, heads, p, -1)
        logits = logits.masked_fill(~allowed, -torch.inf)
        by_prompt = _by_prompt(grouped, n)
        known = _from_prompt(_scaled(by_prompt @ fixed.keys.transpose(-1, -2), scaling), rows)
        known = known.reshape(rows, heads, p, -1).masked_fill(~fixed.allowed, -torch.inf)
        weights = torch.softmax(torch.cat([known, logits], -1).float(), -1).to(value.dtype)
        weights = weights.reshape(rows, groups, -1, weights.shape[-1])
        old, new = weights.split([known.shape[-1], p], -1)
        out = new @ value + _from_prompt(_by_prompt(old, n) @ fixed.values, rows)
    return out.reshape(rows, heads, p, size).transpose(1, 2)


def attention_weights(query: torch.Tensor, key: torch.Tensor, allowed: torch.Tensor, scaling: Scaling) -> torch.Tensor:
    """Attention weights (rows, heads, queries, queries) in float32 of positions that see each other only."""
    import torch

    rows, heads, p, size = query.shape
    grouped = query.reshape(rows, key.shape[1], -1, size)
    logits = _scaled(grouped @ key.transpose(-1, -2), scaling).reshape(rows, heads, p, -1)
    return torch.softmax(logits.masked_fill(~allowed, -torch.inf).float(), -1)


def _by_prompt(rows: torch.Tensor, n: int) -> torch.Tensor:
    """(variants * n, groups, queries, size) to (n, groups, variants * queries, size)."""
    return rows.unflatten(0, (-1, n)).permute(1, 2, 0, 3, 4).flatten(2, 3)


def _from_prompt(rows: torch.Tensor, n_rows: int) -> torch.Tensor:
    """The way back from `_by_prompt`."""
    n = len(rows)
    return rows.unflatten(2, (n_rows // n, -1)).permute(2, 0, 1, 3, 4).flatten(0, 1)


def _scaled(logits: torch.Tensor, scaling: Scaling) -> torch.Tensor:
    logits = logits * scaling.factor
    return logits if scaling.softcap is None else scaling.softcap * (logits / scaling.softcap).tanh()


Handler = Callable[["torch.Tensor", "torch.Tensor", "torch.Tensor", "torch.Tensor | None", Scaling], "torch.Tensor"]


def handle(module: Any, handler: Handler) -> Callable[[], None]:
    """Let `handler` compute the attention of a module; returns what undoes it."""
    setattr(module, _HANDLER, handler)
    return lambda: delattr(module, _HANDLER)


@cache
def register() -> None:
    """Make our attention function known to transformers, with the plain mask."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import eager_mask

    AttentionInterface.register(NAME, _dispatch)
    AttentionMaskInterface.register(NAME, eager_mask)


def _dispatch(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, scaling: float | None = None, **more: Any
) -> tuple[Any, None]:
    if more.get("s_aux") is not None:
        raise CircuitError("attention sinks are not supported: the heads of this model cannot be computed one by one")
    factor = query.shape[-1] ** -0.5 if scaling is None else scaling
    return getattr(module, _HANDLER)(query, key, value, attention_mask, Scaling(factor, more.get("softcap"))), None
