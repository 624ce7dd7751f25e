"""Very short stories: someone goes somewhere, loses a thing, someone else finds it.

They are the family's running text, on which perplexity is measured. Names, things and places recur within a story,
so part of it can be predicted and part of it cannot. The cast of a story decides its split.
"""

from __future__ import annotations

import random

from demo.documents import PROSE, Document, Piece, Split, draw
from demo.words import COLOURS, NAMES, OBJECTS, PLACES

OPENINGS = (
    "One day {a} went to the {p}.",
    "In the morning {a} walked to the {p}.",
    "{a} liked to play at the {p}.",
)
WITH = (
    "{a} took the {c} {o} along.",
    "{a} had a {c} {o}.",
    "A {c} {o} was in the bag of {a}.",
)
MEETING = (
    "There {a} met {b}.",
    "{b} was there too.",
    "Soon {b} came to the {p}.",
)
LOSS = (
    "But the {o} was lost, and {a} was sad.",
    "But {a} could not find the {o}.",
    "Then the {c} {o} fell into the grass.",
)
FINDING = (
    "{b} looked for the {o} and found it.",
    "{b} saw the {c} {o} and gave it to {a}.",
    "After a long time {b} found the {o} near the {p}.",
)
ENDING = (
    "{a} was happy and said thank you to {b}.",
    "Then {a} and {b} went home with the {o}.",
    "Now {a} and {b} are friends.",
)
PARTS = (OPENINGS, WITH, MEETING, LOSS, FINDING, ENDING)


def draw_story(rng: random.Random, split: Split) -> str:
    """Draw one story of six sentences."""

    def make(rng: random.Random) -> tuple[str, str]:
        a, b = rng.sample(NAMES, 2)
        cast = {
            "a": a,
            "b": b,
            "p": rng.choice(PLACES),
            "c": rng.choice(COLOURS),
            "o": rng.choice(OBJECTS),
        }
        sentences = [rng.choice(part).format(**cast) for part in PARTS]
        return " ".join(cast.values()), " ".join(sentences)

    return draw(rng, split, make)


def document(rng: random.Random, split: Split) -> Document:
    """Return one story."""
    return [Piece(draw_story(rng, split), PROSE)]


def held_out_stories(n: int, seed: int = 0) -> list[str]:
    """Return `n` held-out stories, for perplexity."""
    rng = random.Random(f"stories {seed}")
    return [draw_story(rng, "held_out") for _ in range(n)]
