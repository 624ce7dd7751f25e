"""Scenes and their alternates."""

from __future__ import annotations

import random

import pytest

from rotoscale.circuits.heads import CircuitError
from rotoscale.circuits.task import (
    DESIDERATA,
    LETTERS,
    OBJECTS,
    TEMPLATES,
    Scene,
    Vocabulary,
    alternate,
    counterfactual,
    draw_scenes,
)

WORDS = Vocabulary(OBJECTS, LETTERS)
SCENE = Scene(("apple", "bell"), ("F", "Q"), 1)


def test_the_task_reads_as_published() -> None:
    assert TEMPLATES[0].text(SCENE) == "The apple is in Box F, the bell is in Box Q. Box Q contains the"
    assert (SCENE.answer, SCENE.letter) == ("bell", "Q")


def test_scenes_are_reproducible_and_query_all_boxes() -> None:
    scenes = draw_scenes(WORDS, 7, 70, seed=3)
    assert scenes == draw_scenes(WORDS, 7, 70, seed=3)
    assert scenes != draw_scenes(WORDS, 7, 70, seed=4)
    assert [sum(scene.queried == box for scene in scenes) for box in range(7)] == [10] * 7


@pytest.mark.parametrize("n", [2, 3, 7, 8])
def test_the_counterfactual_shares_no_word_and_queries_the_next_box(n: int) -> None:
    rng = random.Random(0)
    for scene in draw_scenes(WORDS, n, 20, seed=n):
        other = counterfactual(scene, rng, WORDS)
        assert other.queried == (scene.queried + 1) % n
        assert not {*scene.objects, *scene.letters} & {*other.objects, *other.letters}


@pytest.mark.parametrize("n", [2, 3, 7])
@pytest.mark.parametrize("name", DESIDERATA)
def test_each_alternate_differs_in_what_it_is_for(name: str, n: int) -> None:
    rng = random.Random(1)
    for scene in draw_scenes(WORDS, n, 30, seed=n):
        other, target = alternate(name, scene, rng, WORDS)
        assert target != scene.answer
        if name == "object":
            assert target == other.answer
            assert target not in scene.objects
        else:
            assert target in scene.objects
        by_position = scene.objects[other.queried]
        by_letter = dict(zip(scene.letters, scene.objects, strict=True)).get(other.letter)
        if name == "positional":
            assert target == by_position
            assert by_letter is None
        if name == "lexical":
            assert target == by_letter != by_position
            assert not set(scene.objects) & set(other.objects)
        if name == "reflexive":
            assert target == other.answer
            assert by_letter == by_position == scene.answer
            assert sorted(scene.objects) == sorted(other.objects)


def test_bad_scenes_are_refused() -> None:
    with pytest.raises(CircuitError, match="a letter stands twice"):
        Scene(("apple", "bell"), ("F", "F"), 0)
    with pytest.raises(CircuitError, match="an object stands twice"):
        Scene(("bell", "bell"), ("F", "G"), 0)
    with pytest.raises(CircuitError, match="2 to 8 boxes"):
        Scene(("bell",), ("F",), 0)
    with pytest.raises(CircuitError, match="box 2 is queried"):
        Scene(("apple", "bell"), ("F", "Q"), 2)


def test_too_few_words_are_counted() -> None:
    few = Vocabulary(OBJECTS[:9], LETTERS)
    with pytest.raises(CircuitError, match=r"only 9 objects are single tokens.* 5 boxes need 10.* at most 4 boxes"):
        draw_scenes(few, 5, 1, seed=0)
    with pytest.raises(CircuitError, match="9 boxes were asked for; 2 to 8"):
        draw_scenes(WORDS, 9, 1, seed=0)
    with pytest.raises(CircuitError, match="no desideratum 'colour'"):
        alternate("colour", SCENE, random.Random(0), WORDS)
