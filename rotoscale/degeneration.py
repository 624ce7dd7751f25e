"""Is what a model writes still text? Repetition and variety of token ids, of one text or of several.

Lists of token ids in, numbers between 0 and 1 out. He and Cao speak of nonsense text; a broken model writes the same
few tokens over and over, or tokens from anywhere (docs/methods.md, section 3).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rotoscale.statistic import statistic

NGRAM = 3
"""Length of the n-grams that are counted unless another is asked for."""


@dataclass(frozen=True)
class Degeneration:
    """Variety of the texts that a model wrote."""

    distinct_1: float | None = statistic("Different tokens over tokens, all texts together.")
    distinct_2: float | None = statistic("Different 2-grams over 2-grams.")
    distinct_3: float | None = statistic("Different 3-grams over 3-grams.")
    repetition: float | None = statistic("Mean share of a text's 3-grams that occurred in it before.")
    longest_run: float | None = statistic(
        "Longest stretch of one token repeated, over the length of its text; the largest of all texts."
    )
    vocabulary_share: float = statistic("Different tokens over the size of the vocabulary.", default=0.0)
    n_texts: int = statistic("Texts written.", default=0)
    n_tokens: int = statistic("Tokens written.", default=0)


def degeneration(texts: Sequence[Sequence[int]], vocabulary: int) -> Degeneration:
    """All measures of a model's texts; None where no text is long enough."""
    repetitions = [share for text in texts if (share := repetition(text)) is not None]
    runs = [longest_run(text) / len(text) for text in texts if len(text)]
    seen = {token for text in texts for token in text}
    return Degeneration(
        distinct_1=distinct_ngrams(texts, 1),
        distinct_2=distinct_ngrams(texts, 2),
        distinct_3=distinct_ngrams(texts, 3),
        repetition=sum(repetitions) / len(repetitions) if repetitions else None,
        longest_run=max(runs, default=None),
        vocabulary_share=len(seen) / vocabulary if vocabulary else 0.0,
        n_texts=len(texts),
        n_tokens=sum(len(text) for text in texts),
    )


def ngrams(text: Sequence[int], n: int) -> list[tuple[int, ...]]:
    """The n-grams of a text, in order."""
    return [tuple(text[i : i + n]) for i in range(len(text) - n + 1)]


def distinct_ngrams(texts: Sequence[Sequence[int]], n: int) -> float | None:
    """Different n-grams over all n-grams of all texts together (Li et al. 2016, distinct-n)."""
    found = [gram for text in texts for gram in ngrams(text, n)]
    return len(set(found)) / len(found) if found else None


def repetition(text: Sequence[int], n: int = NGRAM) -> float | None:
    """Share of a text's n-grams that occurred in it before: 0 for all different, towards 1 for a loop (seq-rep-n of
    Welleck et al. 2020)."""
    found = Counter(ngrams(text, n))
    total = sum(found.values())
    return 1 - len(found) / total if total else None


def longest_run(text: Sequence[int]) -> int:
    """Length of the longest stretch of one and the same token."""
    longest = current = 0
    before: int | None = None
    for token in text:
        current = current + 1 if token == before else 1
        before, longest = token, max(longest, current)
    return longest
