"""What a training document is, and which documents are held out.

A document is a list of pieces: a string and the weight its tokens get in the loss. Weights let a document say which
of its tokens can be predicted at all: the object that answers a query can, the letters of a fresh scene cannot.
Pieces are cut where tokens are cut (a piece never ends inside a word), so that encoding piece by piece gives the
tokens of the whole text.

Held-out documents are those whose *key* (the thing to be solved, not its wording) falls into one tenth of a hash.
Every generator takes the split it draws for, so training and held-out data are disjoint by construction.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from hashlib import blake2b
from typing import Literal, NamedTuple, TypeVar

Split = Literal["train", "held_out"]
T = TypeVar("T")

HELD_OUT_SHARE = 0.1

ANSWER = 1.0
"""Loss weight of a token that can be worked out from what stands before it."""

PROSE = 0.2
"""Loss weight of ordinary text, partly predictable."""

FILLER = 0.05
"""Loss weight of tokens drawn at random or fixed by a template."""


class Piece(NamedTuple):
    """A stretch of text and the weight its tokens get in the loss."""

    text: str
    weight: float


Document = list[Piece]


class Example(NamedTuple):
    """A held-out question: the model reads `prompt` and must go on with `answer`."""

    prompt: str
    answer: str


def text_of(document: Document) -> str:
    """Return the plain text of a document."""
    return "".join(piece.text for piece in document)


def split_of(key: str) -> Split:
    """Tell which split a key belongs to; the same key always falls into the same split."""
    value = int.from_bytes(blake2b(key.encode(), digest_size=4).digest(), "big") / 2**32
    return "held_out" if value < HELD_OUT_SHARE else "train"


def draw(rng: random.Random, split: Split, make: Callable[[random.Random], tuple[str, T]]) -> T:
    """Draw from `make`, which returns a key and an item, until the key belongs to `split`."""
    for _ in range(10_000):
        key, item = make(rng)
        if split_of(key) == split:
            return item
    raise ValueError(f"no key of the {split} split in 10,000 draws")
