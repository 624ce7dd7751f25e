"""A Llama with grouped-query attention that solves the task by weights set by hand, so that its circuit is known.

Four layers of four heads on two key-value heads, MLPs that do nothing. The residual stream has room for the token,
a constant, and four places for an object: P1 (written onto its label), P2 (onto the query label), P3 (onto the last
token) and OUT (read by the unembedding).

- 0.2 (D) at a label: looks four tokens back, writes that object to P1.
- 1.1 (C) at the query label: finds the same letter where P1 is filled, writes that P1 to P2.
- 2.3 (B) at the last token: looks two tokens back, writes that P2 to P3.
- 3.0 (A) at the last token: finds the token that P3 names, writes it to OUT. 3.2 is its backup, doing the same.
- 3.1 is a decoy: it looks where A looks, on A's own key-value head, and writes where nobody reads.

Rotary frequencies are so spread that a head's first pairs of dimensions measure distance and its last hardly turn.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from rotoscale.circuits.heads import Head
from rotoscale.circuits.task import LETTERS, OBJECTS
from tests.resources.circuits import zoo

CIRCUIT = {"A": {Head(3, 0), Head(3, 2)}, "B": {Head(2, 3)}, "C": {Head(1, 1)}, "D": {Head(0, 2)}}
DECOY = Head(3, 1)


N_OBJECTS, SIZE, PAIRS = 40, 96, 48
DISTANCE_PAIRS = 6
CONTENT = [*range(18, PAIRS), *range(PAIRS + 18, SIZE)]
"""Dimensions of a head that rotary hardly turns over the length of a prompt."""


def model() -> Any:
    """The model; its tokenizer is the zoo's."""
    from transformers import LlamaConfig, LlamaForCausalLM

    words = zoo.tokenizer()
    n = len(words)
    constant, p1, p2, p3, out = n, n + 1, n + 41, n + 81, n + 121
    width = out + N_OBJECTS + 1
    config = LlamaConfig(
        vocab_size=n,
        hidden_size=width,
        intermediate_size=4,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=SIZE,
        max_position_embeddings=64,
        rope_parameters={"rope_type": "default", "rope_theta": 1e8},
        tie_word_embeddings=False,
    )
    made = LlamaForCausalLM(config).float().eval()
    with torch.no_grad():
        for name, weight in made.named_parameters():
            if "norm" not in name:
                weight.zero_()
        made.model.embed_tokens.weight[:, :n] = torch.eye(n)
        made.model.embed_tokens.weight[:, constant] = 1
        objects = words.convert_tokens_to_ids(list(OBJECTS[:N_OBJECTS]))
        letters = words.convert_tokens_to_ids(list(LETTERS))
        normed = math.sqrt(width / 2)  # what the norm makes of a one in a stream with two ones
        for layer, head, distance, read, write in ((0, 2, 4, objects, p1), (2, 3, 2, range(p2, p2 + 40), p3)):
            _look_back(made, layer, head, distance, constant, normed)
            _move(made, layer, head, read, write, 1.0, normed)
        _match(made, 1, 1, letters, letters, normed)
        attention = made.model.layers[1].self_attn
        bonus, strength = CONTENT[-1], math.sqrt(20 * math.sqrt(SIZE)) / normed
        attention.q_proj.weight[SIZE + bonus, constant] = strength  # head 1
        attention.k_proj.weight[bonus, p1 : p1 + N_OBJECTS] = strength  # key-value head 0
        _move(made, 1, 1, range(p1, p1 + 40), p2, 1.0, normed)
        for head, write, amount in ((0, out, 0.5), (1, p1, 0.5), (2, out, 0.5)):
            _match(made, 3, head, range(p3, p3 + 40), objects, normed)
            _move(made, 3, head, objects, write, amount, normed)
        for i, token in enumerate(objects):
            made.lm_head.weight[token, out + i] = 1.0
    return made


def _look_back(made: Any, layer: int, head: int, distance: int, constant: int, normed: float) -> None:
    """Attend to the token `distance` before, whatever it is."""
    attention = made.model.layers[layer].self_attn
    strength = math.sqrt(20 * math.sqrt(SIZE)) / normed
    for pair in range(DISTANCE_PAIRS):
        angle = -distance * 1e8 ** (-pair / PAIRS)
        attention.q_proj.weight[head * SIZE + pair, constant] = strength * math.cos(angle)
        attention.q_proj.weight[head * SIZE + PAIRS + pair, constant] = strength * math.sin(angle)
        attention.k_proj.weight[(head // 2) * SIZE + pair, constant] = strength


def _match(made: Any, layer: int, head: int, query: Any, key: Any, normed: float) -> None:
    """Attend where the key's one is the query's one."""
    attention = made.model.layers[layer].self_attn
    strength = math.sqrt(25 * math.sqrt(SIZE)) / normed
    for dimension, asked, told in zip(CONTENT, query, key, strict=False):
        attention.q_proj.weight[head * SIZE + dimension, asked] = strength
        attention.k_proj.weight[(head // 2) * SIZE + dimension, told] = strength


def _move(made: Any, layer: int, head: int, read: Any, write: int, amount: float, normed: float) -> None:
    """Write what the attended token has in some places of the stream to others."""
    attention = made.model.layers[layer].self_attn
    for i, place in enumerate(read):
        attention.v_proj.weight[(head // 2) * SIZE + i, place] = 1 / normed
        attention.o_proj.weight[write + i, head * SIZE + i] = amount
