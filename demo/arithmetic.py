"""Sums: in figures, in words, and worked out step by step.

A problem (two numbers and an operation) is the unit that is held out: no wording of a held-out problem is trained on.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from demo.documents import ANSWER, FILLER, PROSE, Document, Example, Piece, Split, draw

LARGEST = 99
"""Largest number in a problem."""

_NUMERALS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty"
)
NUMERALS: tuple[str, ...] = tuple(_NUMERALS.split())


class Problem(NamedTuple):
    """`left sign right`, with sign + or -; a difference is never negative."""

    left: int
    sign: str
    right: int

    @property
    def result(self) -> int:
        """The number that the problem asks for."""
        return self.left + self.right if self.sign == "+" else self.left - self.right


def draw_problem(rng: random.Random, split: Split, largest: int = LARGEST) -> Problem:
    """Draw a sum (two times in three) or a difference."""

    def make(rng: random.Random) -> tuple[str, Problem]:
        left, right = rng.randint(0, largest), rng.randint(0, largest)
        sign = "+" if rng.random() < 2 / 3 else "-"
        if sign == "-" and right > left:
            left, right = right, left
        return f"{left} {sign} {right}", Problem(left, sign, right)

    return draw(rng, split, make)


def in_figures(problem: Problem) -> Document:
    """Return "12 + 7 = 19"."""
    return [
        Piece(f"{problem.left} {problem.sign} {problem.right}", FILLER),
        Piece(" =", PROSE),
        Piece(f" {problem.result}", ANSWER),
    ]


def in_words(problem: Problem) -> Document:
    """Return "seven plus five is twelve", for numbers up to twenty."""
    sign = "plus" if problem.sign == "+" else "minus"
    return [
        Piece(NUMERALS[problem.left], FILLER),
        Piece(f" {sign} {NUMERALS[problem.right]}", FILLER),
        Piece(" is", PROSE),
        Piece(f" {NUMERALS[problem.result]}", ANSWER),
    ]


def worked(problem: Problem) -> Document:
    """Return the problem solved digit by digit: ones, carry or borrow, tens, answer."""
    a, sign, b = problem
    ones_a, ones_b, tens_a, tens_b = a % 10, b % 10, a // 10, b // 10
    if sign == "+":
        ones = ones_a + ones_b
        carry = ones // 10
        tens = tens_a + tens_b + carry
        first = f" Ones: {ones_a} + {ones_b} = {ones}, so write {ones % 10} and carry {carry}."
        second = f" Tens: {tens_a} + {tens_b} + {carry} = {tens}."
    else:
        borrow = int(ones_a < ones_b)
        ones = ones_a + 10 * borrow - ones_b
        tens = tens_a - tens_b - borrow
        first = f" Ones: {ones_a + 10 * borrow} - {ones_b} = {ones}, so write {ones} and borrow {borrow}."
        second = f" Tens: {tens_a} - {tens_b} - {borrow} = {tens}."
    return [
        Piece(f"{a} {sign} {b}", FILLER),
        Piece(" step by step.", PROSE),
        Piece(first, ANSWER),
        Piece(second, ANSWER),
        Piece(f" So {a} {sign} {b} = {problem.result}", ANSWER),
    ]


def _small(rng: random.Random, split: Split) -> Problem:
    while True:
        problem = draw_problem(rng, split, 20)
        if problem.result <= 20:
            return problem


def document(rng: random.Random, split: Split) -> Document:
    """Return one problem: mostly in figures, sometimes in words; small numbers come more often than large."""
    kind = rng.random()
    if kind < 0.25:
        return in_words(_small(rng, split))
    return in_figures(draw_problem(rng, split, 9 if kind < 0.35 else LARGEST))


def worked_document(rng: random.Random, split: Split) -> Document:
    """Return one problem with its written-out solution."""
    return worked(draw_problem(rng, split))


def held_out_examples(n: int, seed: int = 0) -> list[Example]:
    """Return `n` held-out problems in figures; the whole result counts, not its first digit."""
    rng = random.Random(f"arithmetic {seed}")
    problems = [draw_problem(rng, "held_out") for _ in range(n)]
    return [Example(f"{p.left} {p.sign} {p.right} =", f" {p.result}") for p in problems]


def held_out_worked(n: int, seed: int = 0) -> list[Example]:
    """Return `n` held-out problems to be solved step by step; every step must be right."""
    rng = random.Random(f"worked {seed}")
    examples = []
    for _ in range(n):
        pieces = worked(draw_problem(rng, "held_out"))
        prompt = "".join(piece.text for piece in pieces[:2])
        examples.append(Example(prompt, "".join(piece.text for piece in pieces[2:])))
    return examples
