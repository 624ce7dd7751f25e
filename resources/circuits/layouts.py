"""Where an architecture keeps what a circuit is about: its blocks, its heads, and its q, k and v.

Architectures are data: names of modules, and how a fused projection is cut. Whether a model computes as these names
say is not believed but checked when it is opened (`resources.circuits.model`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rotoscale.circuits.heads import CircuitError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Layout:
    """Module names of one kind of architecture, relative to the model, the block or its attention."""

    blocks: str
    norm: str
    attention: str
    output: str
    projections: dict[str, str]
    """Module that computes q, k and v; the same one three times where they are fused."""
    fused: str = ""
    """`blocks` for q | k | v one after the other, `heads` for q, k, v of one head after those of another."""


_SEPARATE = {"q": "q_proj", "k": "k_proj", "v": "v_proj"}
_LLAMA = Layout("model.layers", "model.norm", "self_attn", "o_proj", _SEPARATE)
_GPT2 = Layout("transformer.h", "transformer.ln_f", "attn", "c_proj", dict.fromkeys("qkv", "c_attn"), "blocks")
_NEOX = Layout(
    "gpt_neox.layers",
    "gpt_neox.final_layer_norm",
    "attention",
    "dense",
    dict.fromkeys("qkv", "query_key_value"),
    "heads",
)

LAYOUTS: dict[str, Layout] = {
    **dict.fromkeys(
        ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "olmo", "olmo2", "olmo3"), _LLAMA
    ),
    "gpt2": _GPT2,
    "gpt_neox": _NEOX,
}
"""Layouts by the configuration's `model_type`."""


def layout_of(model: Any) -> Layout:
    """The layout of a model.

    Raises CircuitError for an architecture that is not listed.
    """
    kind = model.config.model_type
    if kind not in LAYOUTS:
        raise CircuitError(f"circuits are not looked for in {kind} models; known are {', '.join(sorted(LAYOUTS))}")
    return LAYOUTS[kind]


def require_layers(model_id: str, n_layers: int) -> None:
    """Check that a model has room for a chain of heads.

    Raises CircuitError for fewer than two layers.
    """
    if n_layers < 2:
        raise CircuitError(f"{model_id} has one layer; a circuit is a chain of heads and needs at least two")


@dataclass(frozen=True)
class Projection:
    """q, k or v of one block: a module, and which part of its output belongs to which head."""

    module: torch.nn.Module
    view: Callable[[torch.Tensor], torch.Tensor]
    """The module's output (..., features) as (..., heads, head size): a view, so that writing to it changes it."""

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        """Vectors (..., heads, head size) that the attention's input (..., width) is projected to, before rotary."""
        return self.view(self.module(hidden))


def projection(layout: Layout, attention: Any, via: str, n_heads: int, n_kv_heads: int, size: int) -> Projection:
    """q (of all heads), k or v (of the key-value heads) of one block."""
    module = attention.get_submodule(layout.projections[via])
    heads, part = (n_heads if via == "q" else n_kv_heads), "qkv".index(via)

    def separate(out: torch.Tensor) -> torch.Tensor:
        return out.unflatten(-1, (heads, size))

    def in_blocks(out: torch.Tensor) -> torch.Tensor:
        return out.unflatten(-1, (3, heads, size)).select(-3, part)

    def by_heads(out: torch.Tensor) -> torch.Tensor:
        return out.unflatten(-1, (heads, 3, size)).select(-2, part)

    return Projection(module, {"": separate, "blocks": in_blocks, "heads": by_heads}[layout.fused])
