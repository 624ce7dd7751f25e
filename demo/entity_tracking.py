"""Entity tracking: which object is in which box.

The task itself is one template, "The apple is in Box F, the bell is in Box Q, ... . Box Q contains the", whose next
token is " bell". A small model does not find it by gradient descent on that template alone: it has to bind an
object to a label some words away and look the pair up again. So training grows towards it through easier relatives:
bare pairs, pairs with one to three words between, label first and object first, few boxes before many. A training
document asks several queries of its scene, drawn independently and with replacement, so that no answer can be had
by elimination. Evaluation always asks one query of a fresh scene.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from demo.documents import ANSWER, FILLER, Document, Piece, Split, draw
from demo.words import LETTERS, OBJECTS

N_BOXES = 7
"""Boxes in a scene of the task proper."""

CHANCE = 1 / N_BOXES


class Relation(NamedTuple):
    """How a scene is worded: `{o}` stands for the object, `{l}` for the label."""

    name: str
    segment: str
    query: str


TASK = Relation("task", "the {o} is in Box {l}", "Box {l} contains the {o}")

EASIER: tuple[Relation, ...] = (
    Relation("pair, label first", "{l} {o}", "{l} {o}"),
    Relation("one word, label first", "{l} has {o}", "{l} has {o}"),
    Relation("two words, label first", "{l} has the {o}", "{l} has the {o}"),
    Relation("three words, label first", "Box {l} contains the {o}", "Box {l} contains the {o}"),
    Relation("pair, object first", "{o} {l}", "{l} {o}"),
    Relation("one word, object first", "{o} in {l}", "{l} has {o}"),
    Relation("two words, object first", "the {o} in {l}", "{l} has the {o}"),
    Relation("three words, object first", "the {o} is in {l}", "{l} contains the {o}"),
    Relation("three words, object first, boxes", "the {o} in Box {l}", "Box {l} contains the {o}"),
)


class Scene(NamedTuple):
    """Objects and the labels of the boxes they are in, in the order in which they are told."""

    objects: tuple[str, ...]
    labels: tuple[str, ...]


class EntityExample(NamedTuple):
    """One query of the task: `answer` follows `prompt`; `position` says which segment holds it, from 0."""

    prompt: str
    answer: str
    position: int
    objects: tuple[str, ...]
    labels: tuple[str, ...]
    query: str


def _pieces(template: str, obj: str, label: str, answer: float) -> Document:
    """Fill a template word by word; the object's piece gets the weight `answer`."""
    pieces: Document = []
    for word in template.split(" "):
        is_object = word == "{o}"
        text = obj if is_object else label if word == "{l}" else word
        pieces.append(Piece(" " + text, answer if is_object else FILLER))
    return pieces


def _opening(scene: Scene, relation: Relation) -> Document:
    pieces: Document = []
    for index, (obj, label) in enumerate(zip(scene.objects, scene.labels, strict=True)):
        if index:
            pieces.append(Piece(",", FILLER))
        pieces += _pieces(relation.segment, obj, label, FILLER)
    first = pieces[0].text.lstrip()
    pieces[0] = Piece(first[0].upper() + first[1:] if first == "the" else first, FILLER)
    pieces.append(Piece(".", FILLER))
    return pieces


def _scene_key(scene: Scene) -> str:
    return " ".join(scene.objects) + " | " + " ".join(scene.labels)


def draw_scene(rng: random.Random, split: Split, n_boxes: int = N_BOXES) -> Scene:
    """Draw distinct objects and distinct labels; the scene as a whole decides its split."""

    def make(rng: random.Random) -> tuple[str, Scene]:
        scene = Scene(tuple(rng.sample(OBJECTS, n_boxes)), tuple(rng.sample(LETTERS, n_boxes)))
        return _scene_key(scene), scene

    return draw(rng, split, make)


def document(
    rng: random.Random, split: Split, n_boxes: int = N_BOXES, relation: Relation = TASK, n_queries: int = 7
) -> Document:
    """Return a scene with `n_queries` answered queries, drawn with replacement."""
    scene = draw_scene(rng, split, n_boxes)
    pieces = _opening(scene, relation)
    for _ in range(n_queries):
        index = rng.randrange(n_boxes)
        pieces += _pieces(relation.query, scene.objects[index], scene.labels[index], ANSWER)
        pieces.append(Piece(".", FILLER))
    return pieces


def example(scene: Scene, position: int) -> EntityExample:
    """Word one query of a scene exactly as the task has it."""
    segments = [f"the {o} is in Box {b}" for o, b in zip(scene.objects, scene.labels, strict=True)]
    told = ", ".join(segments)
    label = scene.labels[position]
    prompt = f"T{told[1:]}. Box {label} contains the"
    return EntityExample(prompt, " " + scene.objects[position], position, scene.objects, scene.labels, label)


def held_out_examples(n: int, seed: int = 0, n_boxes: int = N_BOXES) -> list[EntityExample]:
    """Return `n` single queries of held-out scenes, the queried position drawn evenly."""
    rng = random.Random(f"entity tracking {seed}")
    return [example(draw_scene(rng, "held_out", n_boxes), rng.randrange(n_boxes)) for _ in range(n)]
