"""Random sequences that repeat: the plainest reason to learn to copy.

A model that predicts the second time round must find the earlier mention of the current word and take what followed
it. Entity tracking needs the same machinery, and it grows here first. Repetition of a fresh random sequence is the
only thing to learn, so nothing is held out but the sequence itself.
"""

from __future__ import annotations

import random

from demo.documents import FILLER, PROSE, Document, Example, Piece, Split, draw
from demo.words import LETTERS, OBJECTS

POOL: tuple[str, ...] = (*OBJECTS, *LETTERS)


def _sequence(rng: random.Random, split: Split, length: int) -> list[str]:
    def make(rng: random.Random) -> tuple[str, list[str]]:
        words = [" " + word for word in rng.choices(POOL, k=length)]
        return "".join(words), words

    return draw(rng, split, make)


def document(rng: random.Random, split: Split, length: int, total: int) -> Document:
    """Return a random sequence of `length` words, repeated until there are `total`."""
    words = _sequence(rng, split, length)
    return [Piece(words[i % length], PROSE if i >= length else FILLER) for i in range(total)]


def held_out_examples(n: int, seed: int = 0, length: int = 20) -> list[Example]:
    """Return `n` sequences broken off in their second round; the next word is the answer."""
    rng = random.Random(f"induction {seed}")
    examples = []
    for _ in range(n):
        words = _sequence(rng, "held_out", length)
        stop = rng.randrange(2, length)
        examples.append(Example("".join(words + words[:stop]), words[stop]))
    return examples
