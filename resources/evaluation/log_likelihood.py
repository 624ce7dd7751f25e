"""Log-likelihoods of continuations on the CPU: equal lengths together, so that nothing is padded.

Padding is what an accelerator wants; a CPU pays for every padded token. A small model computes fastest in one thread,
so its batches go to several threads side by side. The logits of the continuation alone are kept, where the model can
be asked for them.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from resources.evaluation.side_by_side import side_by_side
from resources.evaluation.subjects import is_small
from resources.machine import available_memory

if TYPE_CHECKING:
    import torch

TOKENS_IN_BATCH = 1024
"""Fewer leave the matrix products small, more push what lies between them out of the processor's cache (measured on
models of 0.8 million parameters)."""

_MEMORY_SHARE = 0.1

Pair = tuple[Sequence[int], Sequence[int]]
"""Tokens of a context, at least one, and of its continuation, at least one."""


def log_likelihoods(
    model: Any, pairs: Sequence[Pair], *, longest: int, threads: int = 1
) -> list[tuple[float, bool, list[float]]]:
    """Of each pair: log p(continuation | context) in nats, whether greedy decoding gives it, and its tokens' parts.

    What is longer than `longest` tokens is cut on the left. `threads` batches are computed side by side, if the model
    is small.
    """
    inputs = [list((*context, *continuation))[-(longest + 1) :] for context, continuation in pairs]
    scored = [min(len(continuation), len(whole) - 1) for (_, continuation), whole in zip(pairs, inputs, strict=True)]
    found: list[tuple[float, bool, list[float]]] = [(0.0, True, [])] * len(pairs)
    batches = list(batches_of_one_length(inputs, scored, most_logits(model)))

    def compute(batch: list[int]) -> None:
        results = _of_batch(model, [inputs[i] for i in batch], [scored[i] for i in batch])
        for index, result in zip(batch, results, strict=True):
            found[index] = result

    side_by_side(compute, batches, threads if is_small(model) else 1)
    return found


def _of_batch(model: Any, inputs: list[list[int]], scored: list[int]) -> Iterator[tuple[float, bool, list[float]]]:
    """Results of sequences of one length, each judged on its last few tokens."""
    import torch

    ids = torch.tensor(inputs, device=model.device)
    keep = max(scored)
    with torch.inference_mode():
        logits = last_logits(model, ids[:, :-1], keep)
        targets = ids[:, -keep:]
        chosen = logits.gather(2, targets[:, :, None])[:, :, 0] - logits.logsumexp(2)
        greedy = logits.argmax(2) == targets
    for row, greedily, n in zip(chosen.double().cpu(), greedy.cpu(), scored, strict=True):
        parts = row[keep - n :]
        yield float(parts.sum()), bool(greedily[keep - n :].all()), parts.tolist()


def last_logits(model: Any, ids: torch.Tensor, keep: int) -> torch.Tensor:
    """Logits (batch x keep x vocabulary, float32) after the last `keep` of the tokens `ids` (batch x n)."""
    if "logits_to_keep" in inspect.signature(model.forward).parameters:
        logits = model(input_ids=ids, logits_to_keep=keep, use_cache=False).logits
    else:
        logits = model(input_ids=ids, use_cache=False).logits
    return logits[:, -keep:].float()


def batches_of_one_length(inputs: Sequence[list[int]], scored: Sequence[int], most: int) -> Iterator[list[int]]:
    """Indices of sequences of one length, as many as a batch holds, longest first.

    scored: positions of each whose logits are kept; `most`: how many of those a batch may have.
    """
    by_length: dict[int, list[int]] = {}
    for index, tokens in enumerate(inputs):
        by_length.setdefault(len(tokens), []).append(index)
    for length in sorted(by_length, reverse=True):
        group = sorted(by_length[length], key=lambda i: scored[i])
        size = max(1, min(TOKENS_IN_BATCH // length, most // max(scored[i] for i in group)))
        yield from (group[i : i + size] for i in range(0, len(group), size))


def most_logits(model: Any) -> int:
    """How many positions' logits fit into a share of the free memory, with two copies in between."""
    per_position = int(model.config.get_text_config().vocab_size) * 4 * 3
    return max(1, int(_MEMORY_SHARE * available_memory() / per_position))
