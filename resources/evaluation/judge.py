"""A loaded model judged by the log-likelihoods of fixed answers, again and again while its weights are replaced."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from resources.evaluation.language_model import language_model, quiet
from resources.evaluation.log_likelihood import log_likelihoods
from resources.evaluation.texts import Text, encode

if TYPE_CHECKING:
    from resources.evaluation.harness import Harness

_LONGEST = 1024


class Judge:
    """A loaded model's log-likelihoods of the fixed answers, which are encoded once."""

    def __init__(self, model: Any, tokenizer: Any, texts: Mapping[str, Sequence[Text]], harness: Harness) -> None:
        self.model = model
        self.threads = harness.threads
        with quiet():
            speaker = language_model(model, tokenizer, harness.encoded)
        self.longest = min(_LONGEST, speaker.max_length)
        self.where = [task for task, found in texts.items() for _ in found]
        self.pairs = list(self._encoded(speaker, texts))

    def _encoded(self, speaker: Any, texts: Mapping[str, Sequence[Text]]) -> Iterator[tuple[list[int], list[int]]]:
        for found in texts.values():
            yield from (encode(speaker, text, self.longest) for text in found)

    def scores(self) -> dict[str, list[float]]:
        """Log-likelihoods of the answers by task, in nats."""
        values = log_likelihoods(self.model, self.pairs, longest=self.longest, threads=self.threads)
        found: dict[str, list[float]] = {}
        for task, (value, _, _) in zip(self.where, values, strict=True):
            found.setdefault(task, []).append(value)
        return found
