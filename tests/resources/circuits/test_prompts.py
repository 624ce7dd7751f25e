"""Prompts of tokenizers that behave, and clear errors for those that do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from resources.circuits.prompts import PromptMaker
from rotoscale.circuits.heads import CircuitError
from rotoscale.circuits.task import DESIDERATA, LETTERS, OBJECTS, TEMPLATES
from tests.resources.circuits import zoo

DEMO = Path(__file__).resolve().parents[3] / "demo" / "checkpoints" / "demo-base"


def bpe(unit: str) -> Any:
    """Tokenizers as Llama (`spm`) and GPT-2 (`bytes`) have them, trained on the task's own words."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    if unit == "bytes":
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
    else:
        made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        words, signs = pre_tokenizers.Split("▁", "merged_with_next"), pre_tokenizers.Punctuation()
        made.pre_tokenizer = pre_tokenizers.Sequence([words, signs])
        made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    texts = [f"The {o} is in Box {letter}, the {o}. Box {letter} contains the {o}" for o in OBJECTS for letter in "AFQ"]
    texts += [f" Box {letter}, Box {letter}. Box {letter} contains it" for letter in LETTERS for _ in range(9)]
    made.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=1200, special_tokens=["<s>"], show_progress=False))
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>")


def demo() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(DEMO)


@pytest.fixture(params=["words", "spm", "bytes", "demo"], scope="module")
def tokenizer(request: pytest.FixtureRequest) -> Any:
    made = {"words": zoo.tokenizer, "demo": demo}.get(request.param)
    return made() if made else bpe(request.param)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda one: one.name)
@pytest.mark.parametrize("n", [2, 7, 8])
def test_named_positions_are_where_their_words_stand(tokenizer: Any, n: int, template: Any) -> None:
    maker = PromptMaker(tokenizer, n_boxes=n, template=template)
    prompts = maker.draw(2 * n, seed=0)

    def word(token: int) -> str:
        return tokenizer.decode([int(token)]).strip()

    for row, scene in enumerate(prompts.scenes):
        tokens = prompts.tokens[row]
        assert tuple(word(tokens[at]) for at in prompts.slots.objects) == scene.objects
        assert tuple(word(tokens[at]) for at in prompts.slots.letters) == scene.letters
        assert word(tokens[prompts.position("query_label")[row]]) == scene.letter
        assert word(tokens[prompts.position("previous_query_label")[row]]) == scene.letter
        assert prompts.position("previous_query_label")[row] < prompts.position("query_label")[row]
        assert word(tokens[prompts.position("last")[row]]) == "the"
        assert word(prompts.answers[row]) == scene.answer
        assert list(map(word, prompts.objects[row])) == list(scene.objects)
        assert prompts.position("last")[row] == len(tokens) - 1


def test_targets_are_tokens_as_they_stand_in_a_prompt(tokenizer: Any) -> None:
    """The published label control encoded its targets without a leading space and could not succeed."""
    maker = PromptMaker(tokenizer, n_boxes=4)
    for name in DESIDERATA:
        pairs = maker.desideratum(name, 12, seed=1)
        assert bool((pairs.targets != pairs.clean.answers).all())
        known = pairs.alternate if name == "object" else pairs.clean
        assert bool((known.objects == pairs.targets[:, None]).any(1).all())
        assert bool((known.tokens == pairs.targets[:, None]).any(1).all())


def test_counterfactuals_query_a_letter_that_the_prompt_lacks(tokenizer: Any) -> None:
    maker = PromptMaker(tokenizer, n_boxes=5)
    prompts = maker.draw(10, seed=2)
    other = maker.counterfactuals(prompts, seed=2)
    letter = other.tokens[:, other.slots.query_label]
    assert not bool((prompts.tokens == letter[:, None]).any())
    assert torch.equal(other.queried, (prompts.queried + 1) % 5)


def test_batches_share_every_named_position() -> None:
    prompts = PromptMaker(zoo.tokenizer(), n_boxes=3).draw(11, seed=0)
    seen = []
    for index in prompts.batches(2):
        assert len(index) <= 2
        assert len(prompts.take(index).position("previous_query_label").unique()) == 1
        seen += index.tolist()
    assert sorted(seen) == list(range(11))
    assert len(list(prompts.batches(100, "last"))) == 1


def test_a_tokenizer_that_splits_objects_is_refused() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    signs = sorted({*"abcdefghijklmnopqrstuvwxyz,. ", *LETTERS})
    made = Tokenizer(models.WordLevel({sign: i for i, sign in enumerate(["<unk>", *signs])}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    with pytest.raises(CircuitError, match="only 0 objects are single tokens for this tokenizer, and 7 boxes need 14"):
        PromptMaker(PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>"))


def test_a_prompt_longer_than_the_context_is_refused() -> None:
    with pytest.raises(CircuitError, match="7 boxes has 54 tokens, and the model's context holds 40"):
        PromptMaker(zoo.tokenizer(), context=40)
    assert len(PromptMaker(zoo.tokenizer(), context=54).slots.skeleton) == 54


def test_the_number_of_boxes_is_bounded() -> None:
    for n in (1, 9):
        with pytest.raises(CircuitError, match=f"{n} boxes were asked for; 2 to 8"):
            PromptMaker(zoo.tokenizer(), n_boxes=n)
