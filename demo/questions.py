"""Short facts and questions about them.

A document tells two or three facts about people (what they have, what colour it is, where they are) and asks about
them; the answer stands in the text. As plain text a question is introduced by "Question:" and "Answer:", as a turn of
a conversation by "User:" and "Assistant:". Training documents ask several questions, drawn with replacement;
evaluation asks one. The facts as a whole decide the split.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from demo.documents import ANSWER, FILLER, PROSE, Document, Example, Piece, Split, draw
from demo.words import COLOURS, NAMES, OBJECTS, PLACES


class Person(NamedTuple):
    """What is told about one person."""

    name: str
    colour: str
    thing: str
    place: str


class Quiz(NamedTuple):
    """Facts, and questions about them with their answers."""

    facts: str
    asked: tuple[tuple[str, str], ...]


def _ask(rng: random.Random, person: Person) -> tuple[str, str]:
    kind = rng.randrange(3)
    if kind == 0:
        return f"What does {person.name} have?", person.thing
    if kind == 1:
        return f"Where is {person.name}?", person.place
    return f"What colour is the {person.thing}?", person.colour


def draw_quiz(rng: random.Random, split: Split, n_questions: int = 1) -> Quiz:
    """Draw two or three people and questions about them."""

    def make(rng: random.Random) -> tuple[str, Quiz]:
        n = rng.randint(2, 3)
        people = [
            Person(*parts)
            for parts in zip(
                rng.sample(NAMES, n),
                rng.sample(COLOURS, n),
                rng.sample(OBJECTS, n),
                rng.sample(PLACES, n),
                strict=True,
            )
        ]
        facts = " ".join(f"{p.name} is in the {p.place} with a {p.colour} {p.thing}." for p in people)
        asked = tuple(_ask(rng, rng.choice(people)) for _ in range(n_questions))
        return facts, Quiz(facts, asked)

    return draw(rng, split, make)


def document(rng: random.Random, split: Split) -> Document:
    """Return facts with three questions and answers as plain text."""
    quiz = draw_quiz(rng, split, 3)
    pieces = [Piece(quiz.facts, FILLER)]
    for question, answer in quiz.asked:
        pieces += [
            Piece(f" Question: {question}", FILLER),
            Piece(" Answer:", PROSE),
            Piece(f" {answer}", ANSWER),
            Piece(".", PROSE),
        ]
    return pieces


def turn(rng: random.Random, split: Split) -> Document:
    """Return a conversation of two turns, answered in sentences."""
    quiz = draw_quiz(rng, split, 2)
    pieces: Document = []
    for index, (question, answer) in enumerate(quiz.asked):
        pieces += [
            Piece("\nUser:" if index else f"User: {quiz.facts}", FILLER),
            Piece(f" {question}", FILLER),
            Piece("\n", PROSE),
            Piece("Assistant:", PROSE),
            Piece(" The answer is", PROSE),
            Piece(f" {answer}", ANSWER),
            Piece(".", PROSE),
        ]
    return pieces


def held_out_examples(n: int, seed: int = 0) -> list[Example]:
    """Return `n` held-out questions as plain text."""
    rng = random.Random(f"questions {seed}")
    quizzes = [draw_quiz(rng, "held_out") for _ in range(n)]
    return [Example(f"{q.facts} Question: {q.asked[0][0]} Answer:", f" {q.asked[0][1]}") for q in quizzes]


def held_out_turns(n: int, seed: int = 0) -> list[Example]:
    """Return `n` held-out questions as turns; the answer is a whole sentence."""
    rng = random.Random(f"turns {seed}")
    quizzes = [draw_quiz(rng, "held_out") for _ in range(n)]
    return [
        Example(f"User: {q.facts} {q.asked[0][0]}\nAssistant:", f" The answer is {q.asked[0][1]}.") for q in quizzes
    ]
