"""Entity tracking as scenes of words: "The apple is in Box F, the bell is in Box Q. Box Q contains the" -> " bell".

Nothing here knows a tokenizer. A scene says what is where and which box is queried; alternates of a scene are further
scenes, each with the object that the model should name if one kind of information were taken from the alternate
(EP section 5; docs/methods.md, section 4). Everything is found from the construction, never by searching text.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from rotoscale.circuits.heads import CircuitError

FEWEST_BOXES, MOST_BOXES = 2, 8
DESIDERATA = ("object", "positional", "lexical", "reflexive")
"""What a group of heads may carry: the object itself, or a pointer to it by position, by letter, or by its own word."""

LETTERS: tuple[str, ...] = tuple(ascii_uppercase)

_NOUNS = """apple bell book brush card chain clock coat coin comb cup drum egg fan flag flute fork glass glove guitar
    hammer hat helmet key knife lamp leaf lemon letter map mask medal mirror needle note nut orange paper pear pen
    phone pill plant plate pot radio ribbon ring rock rope rose scarf shell shirt shoe soap spoon stamp stone string
    tea ticket tie tile tool toy train watch wheel wire
    ball bed bill block board boat bomb bone bottle bowl bread brick cake camera candle car chair cheese
    computer cross disk dish document dress engine file film fish game gift gun ice jacket machine magazine milk
    newspaper picture pipe rice salt ship sheet suit table"""
OBJECTS: tuple[str, ...] = tuple(_NOUNS.split())
"""Nouns that many tokenizers know as one token; each tokenizer keeps those that it does."""


@dataclass(frozen=True)
class Template:
    """How a scene is worded; `{o}` is an object, `{l}` a letter. The object comes before its letter."""

    name: str
    segment: str
    query: str

    def text(self, scene: Scene) -> str:
        """The prompt of a scene; its answer is " " and the object."""
        told = ", ".join(
            self.segment.format(o=o, l=letter) for o, letter in zip(scene.objects, scene.letters, strict=True)
        )
        return f"{told[0].upper()}{told[1:]}. {self.query.format(l=scene.letter)}"


TEMPLATES: tuple[Template, ...] = (
    Template("is in", "the {o} is in Box {l}", "Box {l} contains the"),
    Template("in", "the {o} in Box {l}", "Box {l} contains the"),
)
"""The task's own wording (EP section 3), and a second one on which a circuit should be the same."""


@dataclass(frozen=True)
class Scene:
    """Objects and the letters of their boxes in the order in which they are told, and which box is queried."""

    objects: tuple[str, ...]
    letters: tuple[str, ...]
    queried: int
    """Index of the queried box, from 0."""

    def __post_init__(self) -> None:
        n = len(self.objects)
        if not FEWEST_BOXES <= n <= MOST_BOXES or len(self.letters) != n:
            raise CircuitError(
                f"a scene needs {FEWEST_BOXES} to {MOST_BOXES} boxes with as many letters as objects; "
                f"this one has {n} objects and {len(self.letters)} letters"
            )
        for kind, words in (("a letter", self.letters), ("an object", self.objects)):
            if len(set(words)) < n:
                raise CircuitError(f"{' '.join(words)}: {kind} stands twice in one scene, which has no one answer")
        if not 0 <= self.queried < n:
            raise CircuitError(f"box {self.queried} is queried, but the boxes are 0 to {n - 1}")

    @property
    def answer(self) -> str:
        """The object in the queried box."""
        return self.objects[self.queried]

    @property
    def letter(self) -> str:
        """The letter of the queried box."""
        return self.letters[self.queried]


@dataclass(frozen=True)
class Vocabulary:
    """The words that scenes are made of."""

    objects: tuple[str, ...]
    letters: tuple[str, ...]

    def require(self, n_boxes: int) -> None:
        """Check that a scene and another one without a common word can be drawn.

        Raises CircuitError, saying how many words of which kind are missing.
        """
        if not FEWEST_BOXES <= n_boxes <= MOST_BOXES:
            raise CircuitError(f"{n_boxes} boxes were asked for; {FEWEST_BOXES} to {MOST_BOXES} are possible")
        for kind, words in (("objects", self.objects), ("letters", self.letters)):
            if len(words) < 2 * n_boxes:
                most = len(words) // 2
                remedy = (
                    f"ask for at most {most} boxes" if most >= FEWEST_BOXES else "take a model of another tokenizer"
                )
                raise CircuitError(
                    f"only {len(words)} {kind} are single tokens for this tokenizer, and {n_boxes} boxes need "
                    f"{2 * n_boxes}; {remedy}"
                )


def draw_scene(
    rng: random.Random,
    words: Vocabulary,
    n_boxes: int,
    queried: int | None = None,
    without: Collection[str] = (),
) -> Scene:
    """Draw a scene of distinct objects and letters, none of them in `without`."""
    objects = rng.sample([word for word in words.objects if word not in without], n_boxes)
    letters = rng.sample([word for word in words.letters if word not in without], n_boxes)
    return Scene(tuple(objects), tuple(letters), rng.randrange(n_boxes) if queried is None else queried)


def draw_scenes(words: Vocabulary, n_boxes: int, n: int, seed: int | str, purpose: str = "prompts") -> list[Scene]:
    """Draw `n` scenes that query every box equally often (up to a remainder), reproducibly by seed and purpose.

    Raises CircuitError for a number of boxes that is not allowed or for which there are too few words.
    """
    words.require(n_boxes)
    rng = random.Random(f"{purpose} {seed}")
    return [draw_scene(rng, words, n_boxes, index % n_boxes) for index in range(n)]


def counterfactual(scene: Scene, rng: random.Random, words: Vocabulary) -> Scene:
    """Another scene with no word in common that queries the next box, for path patching.

    Its query letter occurs nowhere in the prompt of `scene`, and is the letter of a box of its own (choice: EP's text
    leaves open whether it is): so the patched run points to a definite other box.
    """
    n = len(scene.objects)
    return draw_scene(rng, words, n, (scene.queried + 1) % n, {*scene.objects, *scene.letters})


def alternate(desideratum: str, scene: Scene, rng: random.Random, words: Vocabulary) -> tuple[Scene, str]:
    """An alternate of a scene and the object that is named if this kind of information comes from the alternate.

    - object: other objects and letters, another box is queried; the alternate's own answer.
    - positional: the same alternate; the scene's object at the position that the alternate queries.
    - lexical: other objects, the same letters at other positions, another letter is queried; the scene's object in
      that letter's box. The queried letter sits elsewhere in the alternate, so that position predicts another object.
    - reflexive: the queried object and another one swapped, the same letter queried; the object that came there.

    The scene's own queried position is never the target (docs/methods.md, section 4).

    Raises CircuitError for an unknown desideratum.
    """
    n, own = len(scene.objects), scene.queried
    other = rng.choice([i for i in range(n) if i != own])
    if desideratum in ("object", "positional"):
        made = draw_scene(rng, words, n, other, {*scene.objects, *scene.letters})
        return made, made.answer if desideratum == "object" else scene.objects[other]
    if desideratum == "lexical":
        letters, place = _moved(scene.letters, scene.letters[other], {other, own}, rng)
        objects = draw_scene(rng, words, n, 0, set(scene.objects)).objects
        return Scene(objects, letters, place), scene.objects[other]
    if desideratum == "reflexive":
        swapped = list(scene.objects)
        swapped[own], swapped[other] = swapped[other], swapped[own]
        return Scene(tuple(swapped), scene.letters, own), scene.objects[other]
    raise CircuitError(f"no desideratum {desideratum!r}; there are: {', '.join(DESIDERATA)}")


def _moved(letters: Sequence[str], letter: str, avoid: set[int], rng: random.Random) -> tuple[tuple[str, ...], int]:
    """The letters in another order, `letter` at none of the positions to avoid (with two boxes: at the other one)."""
    n = len(letters)
    free = [i for i in range(n) if i not in avoid] or [i for i in range(n) if letters[i] != letter]
    place = rng.choice(free)
    rest = [one for one in letters if one != letter]
    rng.shuffle(rest)
    rest.insert(place, letter)
    return tuple(rest), place
