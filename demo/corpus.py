"""From a data mixture to rows of tokens.

A mixture names kinds of documents and their shares of the rows. A row holds one kind: one scene with as many queries
as fit, one repeated sequence, or short documents one after another.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

import numpy as np

from demo import arithmetic, entity_tracking, induction, questions, stories
from demo.documents import FILLER, PROSE, Document, Split
from demo.tokenizer import Encoder

SHORT: dict[str, Callable[[random.Random, Split], Document]] = {
    "arithmetic": arithmetic.document,
    "worked arithmetic": arithmetic.worked_document,
    "questions": questions.document,
    "turns": questions.turn,
    "stories": stories.document,
}
"""Kinds whose documents are packed one after another."""

KINDS = ("entity tracking", "entity tracking, few boxes", "binding", "induction", *SHORT)
"""Every kind a mixture may name."""


class Sampler:
    """Draws batches of training rows from a mixture; a seed gives the same rows again."""

    def __init__(
        self,
        mixture: Mapping[str, float],
        seed: int = 0,
        row_length: int = 96,
        split: Split = "train",
    ) -> None:
        self.mixture = dict(mixture)
        unknown = {*self.mixture} - {*KINDS}
        if unknown:
            raise ValueError(f"unknown kinds {sorted(unknown)}; known are {KINDS}")
        self.rng = random.Random(f"corpus {seed}")
        self.row_length = row_length
        self.split: Split = split
        self.encoder = Encoder()

    def _document(self, kind: str, progress: float) -> Document:
        rng, split = self.rng, self.split
        if kind in SHORT:
            return SHORT[kind](rng, split)
        if kind == "induction":
            length = rng.randint(3, 8 + int(24 * min(1.0, 2 * progress)))
            return induction.document(rng, split, length, self.row_length)
        if kind == "binding":
            n_boxes = rng.choice((2, 3, 5))
            return entity_tracking.document(rng, split, n_boxes, rng.choice(entity_tracking.EASIER), 30)
        n_boxes = rng.choice((2, 3)) if kind == "entity tracking, few boxes" else entity_tracking.N_BOXES
        return entity_tracking.document(rng, split, n_boxes, n_queries=(self.row_length - 7 * n_boxes) // 6 + 1)

    def row(self, kind: str, progress: float = 0.0) -> tuple[list[int], list[float]]:
        """Return one row of tokens and the loss weight of each token."""
        encoder = self.encoder
        ids: list[int] = []
        weights: list[float] = []
        while len(ids) < self.row_length:
            ids.append(encoder.bos)
            weights.append(0.0)
            for piece in self._document(kind, progress):
                tokens = encoder.ids(piece.text)
                ids += tokens
                weights += [piece.weight] * len(tokens)
            ids.append(encoder.eos)
            weights.append(PROSE if kind in SHORT else FILLER)
        return ids[: self.row_length], weights[: self.row_length]

    def batch(self, n_rows: int, progress: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """Return tokens and loss weights, both `[n_rows, row_length]`; sequences grow with `progress` (0 to 1)."""
        kinds = self.rng.choices(list(self.mixture), list(self.mixture.values()), k=n_rows)
        rows = [self.row(kind, progress) for kind in kinds]
        return (
            np.asarray([ids for ids, _ in rows], dtype=np.int64),
            np.asarray([weights for _, weights in rows], dtype=np.float32),
        )
