"""What the family can do, measured on held-out data.

An answer counts when every one of its tokens is the most likely of the whole vocabulary, which is the same as greedy
decoding giving exactly that answer. All functions take any causal language model and its tokenizer.

`python -m demo.evaluation` measures the shipped checkpoints again and prints the table of `README.md`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from demo import arithmetic, entity_tracking, induction, questions, stories


class Measured(NamedTuple):
    """A measured value, its standard error, and how many items it was measured on."""

    value: float
    stderr: float
    n: int


def _batches(encoded: Sequence[list[int]], size: int) -> list[list[int]]:
    """Group indices by length, so that no batch needs padding."""
    groups: dict[int, list[int]] = {}
    for index, ids in enumerate(encoded):
        groups.setdefault(len(ids), []).append(index)
    return [group[i : i + size] for group in groups.values() for i in range(0, len(group), size)]


def answered(model: Any, tokenizer: Any, examples: Sequence[Any], batch_size: int = 100) -> np.ndarray:
    """Return, for each example with a `prompt` and an `answer`, whether the model gives exactly that answer."""
    import torch

    prompts = [list(tokenizer(e.prompt).input_ids) for e in examples]
    answers = [list(tokenizer(e.answer, add_special_tokens=False).input_ids) for e in examples]
    encoded = [p + a for p, a in zip(prompts, answers, strict=True)]
    right = np.zeros(len(examples), dtype=bool)
    model.eval()
    for batch in _batches(encoded, batch_size):
        with torch.inference_mode():
            guesses = model(input_ids=torch.tensor([encoded[i] for i in batch])).logits.argmax(-1)
        for row, i in enumerate(batch):
            start = len(prompts[i]) - 1
            right[i] = guesses[row, start : start + len(answers[i])].tolist() == answers[i]
    return right


def accuracy(model: Any, tokenizer: Any, examples: Sequence[Any]) -> Measured:
    """Return the share of examples answered exactly, with its binomial standard error."""
    right = answered(model, tokenizer, examples)
    value = float(right.mean())
    return Measured(value, math.sqrt(value * (1 - value) / len(right)), len(right))


def perplexity(model: Any, tokenizer: Any, texts: Sequence[str], batch_size: int = 100) -> Measured:
    """Return the perplexity per token; the standard error treats texts as independent, not tokens."""
    import torch

    encoded = [list(tokenizer(text).input_ids) for text in texts]
    losses, counts = np.zeros(len(texts)), np.zeros(len(texts))
    model.eval()
    for batch in _batches(encoded, batch_size):
        ids = torch.tensor([encoded[i] for i in batch])
        with torch.inference_mode():
            logits = model(input_ids=ids).logits[:, :-1].float()
        loss = torch.nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
        losses[batch] = loss.sum(1).numpy()
        counts[batch] = ids.shape[1] - 1
    mean = losses.sum() / counts.sum()
    residual = losses - mean * counts
    stderr = math.sqrt(float((residual**2).sum()) * len(texts) / (len(texts) - 1)) / counts.sum()
    value = math.exp(mean)
    return Measured(value, value * float(stderr), len(texts))


def measure(model: Any, tokenizer: Any, n: int = 500, seed: int = 0) -> dict[str, Measured]:
    """Measure everything the family is trained on, on `n` held-out items each."""
    return {
        "entity_tracking": accuracy(model, tokenizer, entity_tracking.held_out_examples(n, seed)),
        "arithmetic": accuracy(model, tokenizer, arithmetic.held_out_examples(n, seed)),
        "worked_arithmetic": accuracy(model, tokenizer, arithmetic.held_out_worked(n, seed)),
        "questions": accuracy(model, tokenizer, questions.held_out_examples(n, seed)),
        "turns": accuracy(model, tokenizer, questions.held_out_turns(n, seed)),
        "induction": accuracy(model, tokenizer, induction.held_out_examples(n, seed)),
        "story_perplexity": perplexity(model, tokenizer, stories.held_out_stories(n, seed)),
    }


def table(rows: Mapping[str, Mapping[str, Measured]]) -> str:
    """Return a Markdown table, one row per model, each value with its standard error."""
    names = list(next(iter(rows.values())))
    head = "| model | " + " | ".join(name.replace("_", " ") for name in names) + " |"
    lines = [head, "|---" * (len(names) + 1) + "|"]
    for model, measured in rows.items():
        cells = " | ".join(f"{m.value:.3f} ± {m.stderr:.3f}" for m in measured.values())
        lines.append(f"| {model} | {cells} |")
    return "\n".join(lines)


def main() -> None:
    """Measure every shipped checkpoint."""
    from demo import tokenizer
    from demo.shipped import CHECKPOINTS, load
    from demo.stages import STAGES

    family = tokenizer.build()
    print(table({name: measure(load(CHECKPOINTS / name), family) for name in STAGES}))


if __name__ == "__main__":
    main()
