"""How far a post-trained model's predictions are from its base's on the prompts of a task: mean token KL.

Forgetting follows this divergence better than any norm of the weights (arXiv 2509.04259; docs/methods.md, section 6).
One model is loaded at a time: the base's log-probabilities are kept in memory, in float32 and at as many positions of
each prompt as a fixed amount of memory holds, all of them for small vocabularies. (In bfloat16 they would be off by up
to a fiftieth of a nat each, more than many divergences.) The divergence itself is summed in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resources.evaluation.log_likelihood import batches_of_one_length, most_logits
from resources.evaluation.side_by_side import side_by_side
from resources.evaluation.subjects import encoded, is_small
from rotoscale.errors import RotoscaleError

if TYPE_CHECKING:
    import torch

DOCUMENTS = 100
"""Prompts of each task."""

LONGEST_PROMPT = 256
MEMORY = 256 << 20
"""Bytes of log-probabilities kept of the base, over all tasks."""


class DivergenceError(RotoscaleError):
    """Two models whose predictions cannot be compared."""


@dataclass(frozen=True)
class Predictions:
    """What one model predicts at chosen positions of some texts."""

    tokens: list[list[int]]
    positions: list[list[int]]
    """Of each text the positions whose next token is predicted."""
    log_probabilities: list[torch.Tensor]
    """Of each text (positions x vocabulary), float32."""


@dataclass(frozen=True)
class Divergence:
    """Mean token KL(base || post) in nats: each document's mean over its positions, then the mean over documents."""

    kl: float
    stderr: float | None
    """Over documents; None from one document only."""
    n: int


def predictions(
    model: Any,
    tokenizer: Any,
    texts: Sequence[str],
    memory: float = MEMORY,
    positions: list[list[int]] | None = None,
    threads: int = 1,
) -> Predictions:
    """Next-token log-probabilities after evenly spread positions of each text, within `memory` bytes.

    `threads` batches are computed side by side, if the model is small.
    """
    import torch

    tokens = [encoded(tokenizer, text, LONGEST_PROMPT, torch.device("cpu"))[0].tolist() for text in texts]
    vocabulary = int(model.config.get_text_config().vocab_size)
    each = max(1, int(memory // (4 * vocabulary * max(1, len(texts)))))
    chosen = positions or [_spread(len(found), each) for found in tokens]
    result: list[torch.Tensor] = [torch.empty(0)] * len(texts)

    def predict(batch: list[int]) -> None:
        ids = torch.tensor([tokens[i] for i in batch], device=model.device)
        with torch.inference_mode():
            logits = model(input_ids=ids, use_cache=False).logits
        for row, i in zip(logits, batch, strict=True):
            result[i] = row[chosen[i]].double().log_softmax(1).float().cpu()

    batches = list(batches_of_one_length(tokens, [len(found) for found in tokens], most_logits(model)))
    side_by_side(predict, batches, threads if is_small(model) else 1)
    return Predictions(tokens, chosen, result)


def divergence(base: Predictions, post: Predictions) -> Divergence:
    """Mean token KL(base || post) of the same positions of the same texts.

    Where one vocabulary is larger (tokens added after the base), both are normalized over the common ones.

    Raises DivergenceError for other texts or another tokenization.
    """
    import torch

    if base.tokens != post.tokens or base.positions != post.positions or not base.tokens:
        raise DivergenceError("the two models do not read the same tokens; a divergence needs one tokenizer")
    values = []
    for first, second in zip(base.log_probabilities, post.log_probabilities, strict=True):
        common = min(first.shape[1], second.shape[1])
        p, q = (x[:, :common].double().log_softmax(1) for x in (first, second))
        values.append(float((p.exp() * (p - q)).sum(1).mean()))
    found = torch.tensor(values, dtype=torch.float64)
    n = len(values)
    return Divergence(float(found.mean()), float(found.std(correction=1)) / n**0.5 if n > 1 else None, n)


def _spread(length: int, most: int) -> list[int]:
    """At most `most` positions of a text, evenly spread, the last one among them."""
    if most >= length:
        return list(range(length))
    return sorted({length - 1 - round(i * length / most) for i in range(most)})
