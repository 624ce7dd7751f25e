"""Weights to start from: random, but arranged so that attention begins with something to work on.

From plain random weights a model of this size spends most of its training at chance on entity tracking: before it
can learn to look a pair up it must find, by accident, heads that carry a token's neighbours to it, and heads that
compare tokens by what they carry. So the family is started with both.

- *Looking back.* Every embedding shares one direction. In the first layer the queries and keys of seven of the eight
  heads read that direction, and are set so that, under rotary positions, the score is highest one, two, three or four
  tokens back.
- *Matching.* In the later layers queries and keys start as the same projection, onto the subspaces that the first
  layer writes to, so that a token attends to tokens that carry the same things.

Which token, letter, object or position matters to what is left to training.
"""

from __future__ import annotations

import math
from typing import Any

import torch

LOOK_BACK = (1, 2, 3, 4, 1, 4, 2, None)
"""How many tokens back each head of the first layer looks at first; None leaves a head random."""

SHARED = 0.7
"""Length of the part that all embeddings share."""

EMBEDDING = 0.06
NOISE = 0.03
MATCHING = 1.4
SHARPNESS = 0.65
OUTPUT = 0.12


def _projection(width: int, hidden: int) -> torch.Tensor:
    """Return `width` random orthonormal rows."""
    return torch.linalg.qr(torch.randn(hidden, width))[0].T


@torch.no_grad()
def arrange(model: Any) -> None:
    """Set the attention weights and embeddings of an untrained Llama model in place."""
    config = model.config
    hidden, width = config.hidden_size, config.head_dim
    n_groups = config.num_key_value_heads
    per_group = config.num_attention_heads // n_groups
    theta = config.rope_parameters["rope_theta"]
    shared = torch.nn.functional.normalize(torch.randn(hidden), dim=0)
    embedding = model.model.embed_tokens.weight
    embedding.normal_(0, EMBEDDING)
    embedding += SHARED * shared
    written = _projection(n_groups * width, hidden).view(n_groups, width, hidden)
    for index, layer in enumerate(model.model.layers):
        attention = layer.self_attn
        queries = attention.q_proj.weight.view(-1, width, hidden)
        keys = attention.k_proj.weight.view(-1, width, hidden)
        values = attention.v_proj.weight.view(-1, width, hidden)
        outputs = attention.o_proj.weight.view(hidden, -1, width)
        queries.normal_(0, NOISE)
        keys.normal_(0, NOISE)
        for group in range(n_groups):
            values[group] = _projection(width, hidden) if index else written[group]
            for head in range(group * per_group, (group + 1) * per_group):
                outputs[:, head] = OUTPUT * values[group].T
        if index:
            keys += MATCHING * written
            queries += MATCHING * written.repeat_interleave(per_group, 0)
            continue
        for plane in (0, 1):  # the two fastest rotations tell near tokens apart
            speed = theta ** (-2 * plane / width)
            keys[:, plane] += SHARPNESS * shared
            for head, back in zip(range(len(queries)), LOOK_BACK, strict=False):
                if back is not None:
                    queries[head, plane] += SHARPNESS * math.cos(back * speed) * shared
                    queries[head, plane + width // 2] -= SHARPNESS * math.sin(back * speed) * shared
