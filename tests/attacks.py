"""What people do to a Llama's weights to hide where they come from, or to save: each on a state dict, most of them
without changing what the model computes. Used by the tests of lineage and by its benchmark."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

State = dict[str, torch.Tensor]


@dataclass
class Weights:
    """A Llama's tensors (float32, under transformers' names, head untied) and its configuration."""

    state: State
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def layers(self) -> range:
        return range(self.config["num_hidden_layers"])

    @property
    def heads(self) -> tuple[int, int, int]:
        """Heads, key-value heads, size of a head."""
        heads, kv = self.config["num_attention_heads"], self.config["num_key_value_heads"]
        return heads, kv, self.config.get("head_dim") or self.config["hidden_size"] // heads

    def name(self, layer: int, part: str) -> str:
        room = "self_attn" if part in "qkvo" else "mlp"
        return f"model.layers.{layer}.{room}.{part}_proj.weight"

    def each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Weights:
        """Every principal matrix changed."""
        return Weights({k: change(W) if "_proj" in k else W.clone() for k, W in self.state.items()}, dict(self.config))

    def copy(self) -> Weights:
        return self.each(torch.clone)


def load(folder: Path, base: Path | None = None) -> Weights:
    """A checkpoint's weights; an adapter's merged into its base."""
    from resources.checkpoints import open_checkpoint

    checkpoint = open_checkpoint(folder, base=base)
    found: State = {}
    for name in checkpoint.others():
        found[name if name == "lm_head.weight" else f"model.{name}"] = checkpoint.read_other(name).float()
    weights = Weights(found, dict(checkpoint.config))
    for key in checkpoint.matrices():
        found[weights.name(key.layer, key.matrix)] = checkpoint.read(key)
    found.setdefault("lm_head.weight", found["model.embed_tokens.weight"].clone())
    return weights


def save(weights: Weights, folder: Path, like: Path) -> Path:
    """A checkpoint of these weights in float32, with the tokenizer of another if that has one."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        if (like / file).exists():
            shutil.copy(like / file, folder / file)
    vocabulary = len(weights.state["model.embed_tokens.weight"])
    config = weights.config | {"dtype": "float32", "tie_word_embeddings": False, "vocab_size": vocabulary}
    config.pop("torch_dtype", None)
    (folder / "config.json").write_text(json.dumps(config))
    tensors = {name: W.contiguous().clone() for name, W in weights.state.items()}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pruned(weights: Weights, share: float = 0.5) -> Weights:
    """The smallest weights of each matrix set to zero."""
    return weights.each(lambda W: W * (W.abs() > W.abs().flatten().kthvalue(int(share * W.numel())).values))


def rounded(weights: Weights) -> Weights:
    """Each row to 8 bits and back."""

    def to_eight_bits(W: torch.Tensor) -> torch.Tensor:
        step = W.abs().amax(1, keepdim=True).clamp_min(1e-12) / 127
        return (W / step).round() * step

    return weights.each(to_eight_bits)


def permuted_neurons(weights: Weights, seed: int = 0) -> Weights:
    """The MLP's neurons in another order."""
    made, generator = weights.copy(), _generator(seed)
    for layer in made.layers:
        order = torch.randperm(made.state[made.name(layer, "up")].shape[0], generator=generator)
        for part in ("gate", "up"):
            made.state[made.name(layer, part)] = made.state[made.name(layer, part)][order]
        made.state[made.name(layer, "down")] = made.state[made.name(layer, "down")][:, order]
    return made


def permuted_heads(weights: Weights, seed: int = 0) -> Weights:
    """Key-value groups in another order, and the queries inside each."""
    made, generator = weights.copy(), _generator(seed)
    heads, groups, size = made.heads
    for layer in made.layers:
        of_groups = torch.randperm(groups, generator=generator)
        each = heads // groups
        order = torch.cat([g * each + torch.randperm(each, generator=generator) for g in of_groups])
        for part, of_part in (("q", order), ("k", of_groups), ("v", of_groups)):
            W = made.state[made.name(layer, part)]
            made.state[made.name(layer, part)] = W.reshape(-1, size, W.shape[1])[of_part].reshape(W.shape)
        W = made.state[made.name(layer, "o")]
        made.state[made.name(layer, "o")] = W.reshape(W.shape[0], -1, size)[:, order].reshape(W.shape)
    return made


def rescaled(weights: Weights, seed: int = 0) -> Weights:
    """q against k per group, v against o, and up against down per neuron, with signs."""
    made, generator = weights.copy(), _generator(seed)
    heads, groups, size = made.heads

    def factors(n: int) -> torch.Tensor:
        return torch.exp(torch.randn(n, generator=generator))

    for layer in made.layers:
        name = {part: made.name(layer, part) for part in ("q", "k", "v", "o", "gate", "up", "down")}
        for one, other in (("k", "q"), ("v", "o")):
            c = factors(groups).repeat_interleave(size)
            made.state[name[one]] *= c[:, None]
            spread = c.reshape(groups, 1, size).expand(groups, heads // groups, size).reshape(-1)
            made.state[name[other]] /= spread[:, None] if other == "q" else spread
        c = factors(made.state[name["up"]].shape[0])
        c *= torch.randint(0, 2, c.shape, generator=generator) * 2 - 1
        made.state[name["up"]] *= c[:, None]
        made.state[name["down"]] /= c
    return made


def rotated(weights: Weights, seed: int = 0) -> Weights:
    """Norms folded into the matrices behind them, and the residual basis rotated."""
    made = weights.copy()
    d = made.config["hidden_size"]
    R = torch.linalg.qr(torch.randn(d, d, generator=_generator(seed), dtype=torch.float64))[0]

    def turned(name: str, gain: torch.Tensor | None = None) -> None:
        W = made.state[name].double()
        made.state[name] = ((W if gain is None else W * gain.double()) @ R).float()

    for layer in made.layers:
        stem = f"model.layers.{layer}."
        for norm, parts in (("input_layernorm", "qkv"), ("post_attention_layernorm", ("gate", "up"))):
            gain = made.state[f"{stem}{norm}.weight"]
            for part in parts:
                turned(made.name(layer, part), gain)
            made.state[f"{stem}{norm}.weight"] = torch.ones_like(gain)
        for part in ("o", "down"):
            made.state[made.name(layer, part)] = (R.T @ made.state[made.name(layer, part)].double()).float()
    turned("model.embed_tokens.weight")
    turned("lm_head.weight", made.state["model.norm.weight"])
    made.state["model.norm.weight"] = torch.ones(d)
    return made


def all_at_once(weights: Weights, seed: int = 0) -> Weights:
    """Neurons and heads permuted, everything rescaled, the residual basis rotated."""
    return rotated(rescaled(permuted_heads(permuted_neurons(weights, seed), seed), seed), seed)


def half_and_half(weights: Weights, other: Weights) -> Weights:
    """The mean of two models."""
    return Weights({name: (W + other.state[name]) / 2 for name, W in weights.state.items()}, dict(weights.config))


def grown(weights: Weights, more: int = 64, seed: int = 0) -> Weights:
    """A vocabulary of more tokens, the new ones near the mean of the old."""
    made, generator = weights.copy(), _generator(seed)
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        W = made.state[name]
        new = W.mean(0) + 0.1 * W.std() * torch.randn(more, W.shape[1], generator=generator)
        made.state[name] = torch.cat([W, new])
    return made


def reinitialised(weights: Weights, seed: int) -> Weights:
    """Every tensor drawn anew with the old one's scale: a model of this shape that is related to none."""
    generator = _generator(seed)

    def anew(W: torch.Tensor) -> torch.Tensor:
        return torch.randn(W.shape, generator=generator) * W.std() if W.ndim == 2 else W.clone()

    return Weights({name: anew(W) for name, W in weights.state.items()}, dict(weights.config))


SAME_FUNCTION: dict[str, Callable[[Weights, int], Weights]] = {
    "permuted neurons": permuted_neurons,
    "permuted heads": permuted_heads,
    "rescaled": rescaled,
    "rotated": rotated,
    "all at once": all_at_once,
}
"""Attacks that leave what the model computes as it is."""
