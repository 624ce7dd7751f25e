"""A language model opened for work on its heads: blocks, projections, and what ends in its logits.

Opening checks what everything else relies on: that a run through the model's own blocks, with attention taken apart
into heads, gives the model's own logits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from resources.circuits.attention import NAME, register
from resources.circuits.layouts import Projection, layout_of, projection, require_layers
from rotoscale.circuits.heads import CircuitError, Head
from rotoscale.circuits.scores import Measured, measure

if TYPE_CHECKING:
    import torch

    from resources.circuits.prompts import Prompts

MEMORY = 1 << 30
"""Bytes that the activations of one batch may take."""
_TOLERANCE = 2e-3


@dataclass(frozen=True)
class Block:
    """One layer of a model."""

    module: torch.nn.Module
    attention: torch.nn.Module
    output: torch.nn.Module
    """The attention output projection, whose input are the heads' outputs side by side."""
    projections: dict[str, Projection]


class HeadModel:
    """A causal language model whose heads can be read and replaced. An adapter is merged first.

    The model is put into evaluation mode, and its weights need no gradient from here on.

    Raises CircuitError for an architecture that is not known, for one layer only, for layers with unlike heads, and
    when the model's logits are not reproduced.
    """

    def __init__(self, model: Any, tokenizer: Any, *, model_id: str = "model", memory: int = MEMORY) -> None:
        if hasattr(model, "merge_and_unload"):
            # A hook on an unmerged projection would multiply by the base weight alone and drop the adapter's share.
            model = model.merge_and_unload()
        register()
        self.model, self.tokenizer, self.model_id, self.memory = model.eval(), tokenizer, model_id, memory
        model.requires_grad_(False)
        layout = layout_of(model)
        config = model.config
        modules = list(model.get_submodule(layout.blocks))
        self.n_layers = len(modules)
        require_layers(model_id, self.n_layers)
        self.n_heads = int(config.num_attention_heads)
        grouped = None if layout.fused else getattr(config, "num_key_value_heads", None)
        self.n_kv_heads = int(grouped or self.n_heads)
        self.head_size = int(getattr(config, "head_dim", None) or config.hidden_size // self.n_heads)
        self.width = int(config.hidden_size)
        self.inner = int(
            getattr(config, "intermediate_size", None) or getattr(config, "n_inner", None) or 4 * self.width
        )
        self.vocabulary = int(config.vocab_size)
        self.context = int(getattr(config, "max_position_embeddings", None) or 1 << 30)
        shape = (self.n_heads, self.n_kv_heads, self.head_size)
        self.blocks: list[Block] = []
        for index, module in enumerate(modules):
            attention = module.get_submodule(layout.attention)
            parts = {via: projection(layout, attention, via, *shape) for via in "qkv"}
            self.blocks.append(Block(module, attention, attention.get_submodule(layout.output), parts))
            self._require_shape(index)
        self.norm = model.get_submodule(layout.norm)
        self._unembed = model.get_output_embeddings()
        self._softcap = getattr(config, "final_logit_softcapping", None)
        self._require_own_logits()

    def __repr__(self) -> str:
        return f"HeadModel({self.model_id}: {self.n_layers} layers of {self.n_heads} heads)"

    @property
    def decoder(self) -> Any:
        """The model without its output matrix: logits are only wanted at the last token."""
        return self.model.base_model

    @property
    def device(self) -> Any:
        """Where the model computes."""
        return self._unembed.weight.device

    @property
    def dtype(self) -> Any:
        """What the model computes in."""
        return self._unembed.weight.dtype

    @property
    def heads(self) -> list[Head]:
        """Every head, layer by layer."""
        return [Head(layer, head) for layer in range(self.n_layers) for head in range(self.n_heads)]

    @cached_property
    def fingerprint(self) -> str:
        """Vocabulary of the tokenizer, hashed: two models with one fingerprint read a text as the same tokens."""
        import hashlib
        import json

        words = sorted(self.tokenizer.get_vocab().items())
        return hashlib.sha256(json.dumps(words).encode()).hexdigest()

    def kv_head(self, head: int) -> int:
        """Key-value head that an attention head shares with its neighbours (grouped-query attention)."""
        return head * self.n_kv_heads // self.n_heads

    def vector_index(self, via: str, head: int) -> int:
        """Index of a head's q, k or v vector among those of its layer."""
        return head if via == "q" else self.kv_head(head)

    def rows(self, positions: int) -> int:
        """How many prompts of `positions` computed positions fit into the memory setting."""
        widths = 8 * self.width + 3 * self.inner + 4 * self.n_heads * self.head_size
        return max(1, self.memory // (4 * positions * widths))

    def prompts_per_batch(self, length: int) -> int:
        """How many prompts can be recorded at once within half of the memory setting."""
        widths = self.width + self.n_heads * self.head_size + 2 * self.n_kv_heads * self.head_size
        return max(1, self.memory // (8 * length * self.n_layers * widths))

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits (..., vocabulary) of the last block's output (..., width)."""
        return self._capped(self._unembed(self.norm(hidden)))

    def _capped(self, logits: torch.Tensor) -> torch.Tensor:
        return logits if self._softcap is None else self._softcap * (logits / self._softcap).tanh()

    def run(self, prompts: Prompts) -> Measured:
        """Measure the model on prompts, by its own attention, (prompts,) on the CPU."""
        import torch

        length = prompts.tokens.shape[1]
        found = []
        with torch.no_grad():
            for part in torch.arange(len(prompts)).split(self.rows(length)):
                mine = prompts.take(part)
                hidden = self.decoder(input_ids=mine.tokens, use_cache=False).last_hidden_state[:, -1]
                found.append(measure(self._capped(self._unembed(hidden)), mine.answers, mine.objects))
        names = ("log_probability", "logit_difference", "predicted")
        return Measured(*(torch.cat([getattr(part, name) for part in found]).cpu() for name in names))

    def measure(self, hidden: torch.Tensor, prompts: Prompts) -> Measured:
        """Measure outputs of the last block at the last token, (prompts, width) or (variants, prompts, width)."""
        import torch

        at_once = max(1, self.memory // (16 * self.vocabulary * len(prompts)))
        if hidden.dim() == 2 or len(hidden) <= at_once:
            return measure(self.logits(hidden), prompts.answers, prompts.objects)
        parts = [measure(self.logits(part), prompts.answers, prompts.objects) for part in hidden.split(at_once)]
        names = ("log_probability", "logit_difference", "predicted")
        return Measured(*(torch.cat([getattr(part, name) for part in parts]) for name in names))

    @contextmanager
    def taken_apart(self) -> Iterator[None]:
        """Let the model compute its attention through our function."""
        before = self.model.config._attn_implementation
        self.model.config._attn_implementation = NAME
        try:
            yield
        finally:
            self.model.config._attn_implementation = before

    def _require_shape(self, layer: int) -> None:
        block = self.blocks[layer]
        weight: Any = block.output.weight
        inside = weight.shape[0] if type(block.output).__name__ == "Conv1D" else weight.shape[1]
        if inside != self.n_heads * self.head_size:
            raise CircuitError(
                f"layer {layer} of {self.model_id} has {inside} head outputs where {self.n_heads} heads of "
                f"{self.head_size} were expected; models with unlike layers are not supported"
            )

    def _require_own_logits(self) -> None:
        import torch

        from resources.circuits.recording import record

        text = torch.arange(1, min(12, self.vocabulary, self.context))[None].to(self.device)
        with torch.no_grad():
            own = self.model(input_ids=text, use_cache=False).logits[0, -1].float()
            ours = self.logits(record(self, text).final)[0].float()
        error = float((own - ours).abs().max() / own.abs().max().clamp_min(1e-6))
        if not error < (_TOLERANCE if self.dtype == torch.float32 else 0.1):
            raise CircuitError(
                f"{self.model_id} computes its logits in a way that is not known (relative difference {error:.2g}); "
                "its heads cannot be patched one by one"
            )


def require_comparable(first: HeadModel, second: HeadModel) -> None:
    """Check that heads of one model mean something in the other.

    Raises CircuitError when the tokenizers or the layouts of heads differ.
    """
    if first.fingerprint != second.fingerprint:
        raise CircuitError(
            f"{first.model_id} and {second.model_id} have different tokenizers: one prompt is other tokens in each, "
            "so that activations cannot be exchanged; compare models of one tokenizer"
        )
    layouts = [(m.n_layers, m.n_heads, m.n_kv_heads, m.head_size) for m in (first, second)]
    if layouts[0] != layouts[1]:
        told = [
            f"{m.model_id} has {m.n_layers} layers of {m.n_heads} heads ({m.n_kv_heads} key-value heads) of size "
            f"{m.head_size}"
            for m in (first, second)
        ]
        raise CircuitError(
            f"{told[0]}, {told[1]}: their heads do not correspond; compare models of one architecture and size"
        )
