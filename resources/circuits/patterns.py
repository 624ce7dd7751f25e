"""Attention patterns: where the strongest heads look on a few prompts, for a reader who wants to see it.

No score is made of them (attention shows what a head reads, not what the answer needs); they stand beside the scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from resources.circuits.attention import Scaling, attend, attention_weights, handle
from resources.circuits.hooks import Hooks
from resources.circuits.recording import allowed_positions
from rotoscale.circuits.heads import LAST, PREVIOUS_LABEL, QUERY_LABEL, Head

if TYPE_CHECKING:
    import torch

    from resources.circuits.measures import Row
    from resources.circuits.model import HeadModel
    from resources.circuits.prompts import PromptMaker

MOST_HEADS = 32
"""Heads whose patterns are kept: the strongest of any step; all of a small model's."""
DIGITS = 3


def pattern_rows(model: HeadModel, maker: PromptMaker, order: Sequence[Head], seed: int) -> list[Row]:
    """Rows of `attention_patterns`: prompts that query the first, a middle and the last box, the same for all models.

    `weights` holds position 0's weight on itself, then position 1's on 0 and 1, and so on: the lower triangle.
    """
    import torch

    asked = sorted({0, maker.n_boxes // 2, maker.n_boxes - 1})
    prompts = maker.draw(maker.n_boxes, seed, "patterns").take(asked)
    measured = model.run(prompts)
    layers = attention_patterns(model, prompts.tokens)
    length = prompts.tokens.shape[1]
    below = torch.ones(length, length, dtype=torch.bool).tril()
    rows = []
    for index, scene in enumerate(prompts.scenes):
        shown: dict[str, Any] = {
            "model_id": model.model_id,
            "queried_box": scene.queried + 1,
            "answer": scene.answer,
            "predicted": model.tokenizer.decode([int(measured.predicted[index])]).strip(),
            "tokens": [model.tokenizer.decode([token]) for token in prompts.tokens[index].tolist()],
            **{name: int(prompts.position(name)[index]) for name in (PREVIOUS_LABEL, QUERY_LABEL, LAST)},
        }
        for layer, head in sorted(order[:MOST_HEADS]):
            weights = layers[layer][index, head].double()[below].mul(10**DIGITS).round().div(10**DIGITS)
            rows.append({**shown, "layer": layer, "head": head, "weights": weights.tolist()})
    return rows


def attention_patterns(model: HeadModel, tokens: torch.Tensor) -> list[torch.Tensor]:
    """Attention weights (n, heads, length, length) on the CPU of a run of tokens (n, length), by layer."""
    import torch

    found: list[torch.Tensor] = []

    def attention(
        query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, scaling: Scaling
    ) -> torch.Tensor:
        allowed = allowed_positions(mask, tokens.shape[1], query.device)
        found.append(attention_weights(query, key, allowed, scaling).cpu())
        return attend(query, key, value, allowed, scaling)

    with Hooks() as hooks, model.taken_apart(), torch.no_grad():
        for block in model.blocks:
            hooks.always(handle(block.attention, attention))
        model.decoder(input_ids=tokens, use_cache=False)
    return found
