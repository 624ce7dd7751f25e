"""What lies around the principal matrices: embedding and output head, tied or not, and how attention uses q and k."""

from __future__ import annotations

from typing import Any

from resources.checkpoints.errors import MissingTensor, ShapeMismatch, listed, shown
from resources.checkpoints.header import TensorEntry
from resources.checkpoints.inventory import Inventory
from resources.checkpoints.layout import Layout, Sizes
from resources.checkpoints.parts import Structure


def find_ends(
    found: Structure, layout: Layout, sizes: Sizes, inventory: Inventory, config: dict[str, Any], prefix: str
) -> None:
    """Embedding and output head. Tied and stored once, under either name: listed under both.

    transformers saves a tied pair under the embedding's name or, in some releases, under the head's; it loads both.
    """
    name = prefix + layout.embedding
    found.embedding, found.head = layout.canonical(name), layout.canonical(layout.head)
    said = _ties_said(sizes, config)
    tied = any(said) if said else bool(sizes.defaults.get("tie_word_embeddings", False))
    embedding, head = inventory.tensors.get(name), found.others.get(found.head)
    if embedding is not None:
        _check_end(embedding)
        if head is not None:
            found.tied = tied
            if tied:
                found.n_parameters -= head.numel
        elif _is_tied_without_head(layout, inventory, config, said):
            found.tied = True
            found.others[found.head] = embedding
    elif head is not None and tied:
        _check_end(head)
        found.tied = True
        found.others[found.embedding] = head
    else:
        untied = f", and config.json does not tie it to {shown(layout.head)!r}" if head is not None else ""
        raise MissingTensor(
            f"{inventory.folder}: the embedding {shown(name)!r} is not in the weights{untied}; found "
            f"{listed(sorted(found.others))}. Download the checkpoint again."
        )


def _ties_said(sizes: Sizes, config: dict[str, Any]) -> list[bool]:
    """What the outer and the language model's own configuration say of ``tie_word_embeddings``."""
    values = (table.get("tie_word_embeddings") for table in (config, sizes.config))
    return [value for value in values if isinstance(value, bool)]


def _check_end(entry: TensorEntry) -> None:
    if len(entry.shape) != 2 or 0 in entry.shape:
        raise ShapeMismatch(
            f"{entry.path}: tensor {shown(entry.name)!r}: expected [vocabulary, hidden], found {list(entry.shape)}. "
            "Download the checkpoint again."
        )


def _is_tied_without_head(layout: Layout, inventory: Inventory, config: dict[str, Any], said: list[bool]) -> bool:
    """Whether a missing head is the embedding; False for a model without a head, as AutoModel saves it.

    Raises MissingTensor when the configuration promises a head of its own.
    """
    if not said or any(said):
        return True
    words = config.get("architectures")
    heads = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
    if isinstance(words, list) and any(str(word).endswith(heads) for word in words):
        raise MissingTensor(
            f"{inventory.folder}: config.json says that the output head is not tied to the embedding, but "
            f"{layout.head!r} is not in the weights. Download the checkpoint again, or set tie_word_embeddings to "
            "true if it is tied."
        )
    return False


def describe_attention(found: Structure, layout: Layout, sizes: Sizes, inventory: Inventory, prefix: str) -> None:
    """Whether q and k are normalised and whether q, k or v have biases: both bear on the attention temperature."""
    layers = [prefix + layout.layer.format(layer=layer) for layer in range(sizes["layers"])]
    for mark in layout.qk_norm:
        if mark.startswith("config:"):
            value = sizes.config.get(mark[7:], sizes.defaults.get(mark[7:], False))
            found.qk_norm = found.qk_norm or value is True
        else:
            found.qk_norm = found.qk_norm or any(start + mark in inventory.tensors for start in layers)
    for key, part in found.parts.items():
        if key.matrix in ("q", "k", "v") and part.entry.name.endswith(".weight"):
            bias = part.entry.name.removesuffix("weight") + "bias"
            found.qkv_bias = found.qkv_bias or bias in inventory.tensors
