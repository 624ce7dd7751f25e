"""A loaded model as lm-eval takes it, and the libraries' chatter kept off the terminal."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from resources.evaluation.log_likelihood import log_likelihoods
from resources.machine import available_memory

LARGEST_BATCH = 64
_MEMORY_SHARE = 0.1
_MOST_ENCODED = 100_000

Encoded = dict[tuple[str, str, str], tuple[list[int], list[int]]]
"""Tokens of context and continuation by tokenizer, context and continuation."""


def language_model(model: Any, tokenizer: Any, encoded: Encoded | None = None, threads: int = 1) -> Any:
    """The loaded model as the harness takes it, without progress bars of its own.

    encoded: what was encoded before, so that the models of a family, which share a tokenizer, do it once.

    On the CPU log-likelihoods are computed by `log_likelihood`; elsewhere by the harness, which pads, and which finds
    the batch size of a GPU by trying. In ordinary memory a try that fails ends the process, so there it follows from
    the memory that the logits of one batch take.
    """
    from lm_eval.models.huggingface import HFLM

    on_cpu = model.device.type == "cpu"
    name = _fingerprint(tokenizer)
    memory = {} if encoded is None or not name else encoded

    class Silent(HFLM):
        def loglikelihood(self, requests: Any, disable_tqdm: bool = True) -> Any:
            return super().loglikelihood(requests, disable_tqdm=True)

        def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = True) -> Any:
            return super().loglikelihood_rolling(requests, disable_tqdm=True)

        def generate_until(self, requests: Any, disable_tqdm: bool = True) -> Any:
            return super().generate_until(requests, disable_tqdm=True)

        def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
            key = (name, context, continuation)
            if key not in memory:
                if len(memory) >= _MOST_ENCODED:
                    memory.clear()
                memory[key] = super()._encode_pair(context, continuation)
            return memory[key]

        def _loglikelihood_tokens(self, requests: Any, disable_tqdm: bool = True, **rest: Any) -> Any:
            if not on_cpu:
                return super()._loglikelihood_tokens(requests, disable_tqdm=True, **rest)
            pairs = [(context, continuation) for _, context, continuation in requests]
            found = log_likelihoods(model, pairs, longest=self.max_length, threads=threads)
            return [(value, greedy) for value, greedy, _ in found]

    batch: int | str = "auto" if model.device.type == "cuda" else _batch_in_memory(model)
    with quiet():
        return Silent(pretrained=model, tokenizer=tokenizer, batch_size=batch, max_batch_size=LARGEST_BATCH)


def _fingerprint(tokenizer: Any) -> str:
    """Equal for tokenizers that encode alike; empty of one that cannot be written out."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return hashlib.sha256(backend.to_str().encode()).hexdigest() if backend is not None else ""


def _batch_in_memory(model: Any) -> int:
    config = model.config.get_text_config()
    length = min(int(getattr(config, "max_position_embeddings", 2048)), 4096)
    per_text = length * int(config.vocab_size) * 4 * 3  # logits, their logarithms, and a copy in between
    return max(1, min(LARGEST_BATCH, int(_MEMORY_SHARE * available_memory() / per_text)))


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries' bars and chatter off the terminal, where our own progress is shown."""
    import datasets
    import lm_eval.api.task
    import transformers

    levels = {name: logging.getLogger(name).level for name in ("lm_eval", "datasets", "transformers")}
    bar = lm_eval.api.task.tqdm
    lm_eval.api.task.tqdm = lambda items, **_: items  # it has no switch of its own
    bars = datasets.is_progress_bar_enabled() if hasattr(datasets, "is_progress_bar_enabled") else True
    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    for name in levels:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        lm_eval.api.task.tqdm = bar
        if bars:
            datasets.enable_progress_bars()
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
