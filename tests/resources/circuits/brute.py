"""Path patching the slow way: whole forward passes of the untouched model, one prompt and one head at a time.

Written from the definition and sharing nothing with the fast way but the prompts: its own module names, its own hooks,
the model's own attention.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


class Slow:
    """A stock model and where its heads are."""

    def __init__(self, model: Any) -> None:
        self.model = model
        kind = model.config.model_type
        if kind == "gpt2":
            self.layers, names = model.transformer.h, ("attn", "c_proj", "c_attn", "c_attn", "c_attn")
        elif kind == "gpt_neox":
            self.layers, names = model.gpt_neox.layers, ("attention", "dense", *["query_key_value"] * 3)
        else:
            self.layers, names = model.model.layers, ("self_attn", "o_proj", "q_proj", "k_proj", "v_proj")
        self.kind = kind
        self.out = [getattr(getattr(layer, names[0]), names[1]) for layer in self.layers]
        self.into = {
            via: [getattr(getattr(layer, names[0]), name) for layer in self.layers]
            for via, name in zip("qkv", names[2:], strict=True)
        }
        config = model.config
        self.n_heads = config.num_attention_heads
        self.n_kv = getattr(config, "num_key_value_heads", None) or self.n_heads
        if kind in ("gpt2", "gpt_neox"):
            self.n_kv = self.n_heads
        self.size = getattr(config, "head_dim", None) or config.hidden_size // self.n_heads

    def columns(self, via: str, head: int) -> slice:
        """Which outputs of the projection are a head's vector."""
        if via != "q":
            head = head // (self.n_heads // self.n_kv)
        part, width = "qkv".index(via), self.size
        if self.kind == "gpt2":
            first = part * self.n_heads * width + head * width
        elif self.kind == "gpt_neox":
            first = (3 * head + part) * width
        else:
            first = head * width
        return slice(first, first + width)

    @torch.no_grad()
    def heads(self, tokens: torch.Tensor) -> list[torch.Tensor]:
        kept: list[torch.Tensor] = []
        handles = [m.register_forward_pre_hook(lambda _, args: kept.append(args[0].clone())) for m in self.out]
        self.model(tokens[None])
        for handle in handles:
            handle.remove()
        return [z[0] for z in kept]

    @torch.no_grad()
    def frozen(
        self, tokens: torch.Tensor, clean: list[torch.Tensor], position: int, sender: Any, value: torch.Tensor
    ) -> tuple[torch.Tensor, dict[tuple[int, str], torch.Tensor]]:
        """Logits, and projections at the position, with all heads from the position on frozen but the sender."""
        handles, seen = [], {}

        def freeze(layer: int) -> Any:
            def hook(_: Any, args: Any) -> Any:
                z = args[0].clone()
                z[0, position:] = clean[layer][position:]
                if layer == sender.layer:
                    mine = slice(sender.head * self.size, (sender.head + 1) * self.size)
                    z[0, position, mine] = value[mine]
                return (z, *args[1:])

            return hook

        def look(layer: int, via: str) -> Any:
            def hook(_: Any, __: Any, out: torch.Tensor) -> None:
                seen[layer, via] = out[0, position].clone()

            return hook

        for layer, module in enumerate(self.out):
            handles.append(module.register_forward_pre_hook(freeze(layer)))
            for via in "qkv":
                handles.append(self.into[via][layer].register_forward_hook(look(layer, via)))
        logits = self.model(tokens[None]).logits[0, -1]
        for handle in handles:
            handle.remove()
        return logits, seen

    @torch.no_grad()
    def replaced(
        self,
        tokens: torch.Tensor,
        position: int,
        receivers: Sequence[Any],
        via: str,
        seen: dict[tuple[int, str], torch.Tensor],
    ) -> torch.Tensor:
        """Logits of a clean run with the receivers' vectors at the position replaced."""
        handles = []

        def put(receiver: Any) -> Any:
            def hook(_: Any, __: Any, out: torch.Tensor) -> torch.Tensor:
                out = out.clone()
                columns = self.columns(via, receiver.head)
                out[0, position, columns] = seen[receiver.layer, via][columns]
                return out

            return hook

        for receiver in receivers:
            handles.append(self.into[via][receiver.layer].register_forward_hook(put(receiver)))
        logits = self.model(tokens[None]).logits[0, -1]
        for handle in handles:
            handle.remove()
        return logits

    @torch.no_grad()
    def scores(
        self,
        prompts: Any,
        other: Any,
        position: str,
        sender: Any,
        receivers: Sequence[Any],
        via: str,
        means: list[torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """(2, prompts): relative change of probability, change of the logit difference."""
        rows = []
        for i, tokens in enumerate(prompts.tokens):
            at, there = int(prompts.position(position)[i]), int(other.position(position)[i])
            clean = self.heads(tokens)
            counterfactual = self.heads(other.tokens[i])[sender.layer][there]
            value = counterfactual if means is None else means[sender.layer][at]
            logits, seen = self.frozen(tokens, clean, at, sender, value)
            if receivers:
                mine = [one for one in receivers if one.layer > sender.layer]
                logits = self.replaced(tokens, at, mine, via, seen)
            before = self.model(tokens[None]).logits[0, -1]
            rows.append(_compared(logits, before, prompts.answers[i], prompts.objects[i]))
        return torch.tensor(rows, dtype=torch.float64).T


def _compared(after: torch.Tensor, before: torch.Tensor, answer: Any, objects: torch.Tensor) -> tuple[float, float]:
    def difference(logits: torch.Tensor) -> float:
        others = [int(one) for one in objects if int(one) != int(answer)]
        return float(logits[answer] - logits[others].mean())

    p, q = after.double().softmax(-1)[answer], before.double().softmax(-1)[answer]
    return float((p - q) / q), difference(after.double()) - difference(before.double())


@torch.no_grad()
def replaced_heads(slow: Slow, tokens: torch.Tensor, values: list[torch.Tensor], keep: Any) -> torch.Tensor:
    """Logits (vocabulary,) when every head output for which `keep(layer, position, head)` is false is replaced."""
    handles = []

    def put(layer: int) -> Any:
        def hook(_: Any, args: Any) -> Any:
            z = args[0].clone()
            for position in range(z.shape[1]):
                for head in range(slow.n_heads):
                    if not keep(layer, position, head):
                        mine = slice(head * slow.size, (head + 1) * slow.size)
                        z[0, position, mine] = values[layer][position, mine]
            return (z, *args[1:])

        return hook

    for layer, module in enumerate(slow.out):
        handles.append(module.register_forward_pre_hook(put(layer)))
    logits = slow.model(tokens[None]).logits[0, -1]
    for handle in handles:
        handle.remove()
    return logits
