"""The generated data: the task's exact wording, and nothing held out is ever trained on."""

import random
import re

import pytest

from demo import arithmetic, entity_tracking, induction, questions, stories, tokenizer
from demo.corpus import KINDS, SHORT, Sampler
from demo.documents import split_of, text_of
from demo.entity_tracking import TASK, Scene

TEMPLATE = re.compile(
    r"The (\w+) is in Box ([A-Z])((?:, the \w+ is in Box [A-Z]){6})\. Box ([A-Z]) contains the$",
)


def test_a_scene_is_worded_exactly_as_the_task_has_it() -> None:
    scene = Scene(("apple", "bell", "coin"), ("F", "Q", "X"))
    worded = entity_tracking.example(scene, 1)
    assert worded.prompt == ("The apple is in Box F, the bell is in Box Q, the coin is in Box X. Box Q contains the")
    assert worded.answer == " bell"


def test_every_held_out_prompt_has_seven_distinct_boxes_and_the_answer_of_the_queried_one() -> None:
    for e in entity_tracking.held_out_examples(300):
        assert TEMPLATE.match(e.prompt)
        told = re.findall(r"he (\w+) is in Box ([A-Z])[,.]", e.prompt)
        assert len({o for o, _ in told}) == len({b for _, b in told}) == 7
        assert e.answer == " " + dict((b, o) for o, b in told)[e.query]
        assert told[e.position] == (e.answer[1:], e.query)


def test_every_position_is_queried_about_equally_often() -> None:
    positions = [e.position for e in entity_tracking.held_out_examples(1400)]
    assert all(140 < positions.count(i) < 260 for i in range(7))


def test_prompts_have_one_token_length_and_answers_are_one_token() -> None:
    """Circuit work addresses tokens by index, without padding."""
    family = tokenizer.build()
    examples = entity_tracking.held_out_examples(300)
    assert {len(family(e.prompt).input_ids) for e in examples} == {54}
    assert {len(family(e.answer, add_special_tokens=False).input_ids) for e in examples} == {1}
    for e in examples[:50]:
        joined = family(e.prompt + e.answer).input_ids
        assert joined == family(e.prompt).input_ids + family(e.answer, add_special_tokens=False).input_ids


def test_a_training_document_of_the_task_opens_with_a_prompt_of_the_task() -> None:
    text = text_of(entity_tracking.document(random.Random(3), "train", relation=TASK, n_queries=1))
    prompt, answer = text.removesuffix(".").rsplit(" ", 1)
    assert TEMPLATE.match(prompt)
    assert answer in entity_tracking.OBJECTS


def test_held_out_scenes_and_training_scenes_are_disjoint_by_construction() -> None:
    rng = random.Random(5)
    for split in ("train", "held_out"):
        for _ in range(200):
            scene = entity_tracking.draw_scene(rng, split)  # type: ignore[arg-type]
            assert split_of(" ".join(scene.objects) + " | " + " ".join(scene.labels)) == split


def test_no_held_out_problem_is_ever_trained_on_in_any_wording() -> None:
    held_out = {e.prompt.removesuffix(" =") for e in arithmetic.held_out_examples(500)}
    held_out |= {e.prompt.removesuffix(" step by step.") for e in arithmetic.held_out_worked(500)}
    rng = random.Random(7)
    trained = set()
    for _ in range(4000):
        text = text_of(arithmetic.document(rng, "train"))
        trained.add(text.split(" =")[0])
        trained.add(text_of(arithmetic.worked_document(rng, "train")).split(" step")[0])
    assert len(held_out) > 300
    assert not held_out & trained


def test_no_held_out_story_or_question_or_sequence_is_trained_on() -> None:
    rng = random.Random(9)
    assert not {*stories.held_out_stories(300)} & {stories.draw_story(rng, "train") for _ in range(3000)}
    held_out = {e.prompt.split(" Question:")[0] for e in questions.held_out_examples(300)}
    assert not held_out & {questions.draw_quiz(rng, "train").facts for _ in range(3000)}
    repeated = {e.prompt[:40] for e in induction.held_out_examples(100)}
    assert not repeated & {text_of(induction.document(rng, "train", 20, 40))[:40] for _ in range(1000)}


@pytest.mark.parametrize("seed", range(3))
def test_sums_are_right_in_every_wording(seed: int) -> None:
    rng = random.Random(seed)
    numeral = {word: i for i, word in enumerate(arithmetic.NUMERALS)}
    for _ in range(200):
        text = text_of(arithmetic.document(rng, "train"))
        if "=" in text:
            left, right = text.split(" = ")
            assert eval(left) == int(right)
        else:
            told, result = text.split(" is ")
            a, sign, b = told.split(" ")
            assert numeral[a] + (1 if sign == "plus" else -1) * numeral[b] == numeral[result]
        worked = text_of(arithmetic.worked_document(rng, "train"))
        for a, sign, b, c, result in re.findall(r"(\d+) ([+-]) (\d+)(?: [+-] (\d+))? = (\d+)", worked):
            assert eval(f"{a} {sign} {b} {sign} {c or 0}") == int(result)


def test_every_kind_gives_full_rows_whose_answers_carry_weight_and_a_seed_repeats_them() -> None:
    for kind in KINDS:
        sampler, again = Sampler({kind: 1.0}, seed=4), Sampler({kind: 1.0}, seed=4)
        ids, weights = sampler.batch(4, 0.5)
        assert ids.shape == weights.shape == (4, 96)
        assert (ids == again.batch(4, 0.5)[0]).all()
        assert weights.max() > 0.1
        assert (ids[:, 0] == tokenizer.BOS).all()
        assert (weights[:, 0] == 0).all()


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(ValueError, match="poems"):
        Sampler({"poems": 1.0})


def test_documents_encoded_piece_by_piece_have_the_tokens_of_their_text() -> None:
    """Training sees the tokens that a user's text will have."""
    family, encoder, rng = tokenizer.build(), tokenizer.Encoder(), random.Random(2)
    documents = [make(rng, "train") for make in SHORT.values() for _ in range(20)]
    documents += [entity_tracking.document(rng, "train", 5, r) for r in (TASK, *entity_tracking.EASIER)]
    for document in documents:
        pieces = [i for piece in document for i in encoder.ids(piece.text)]
        assert pieces == family(text_of(document), add_special_tokens=False).input_ids
