"""Log-likelihoods against plain forward passes and against the harness's own padded batches."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from lm_eval.models.huggingface import HFLM
from transformers import AutoModelForCausalLM, AutoTokenizer

from resources.evaluation import language_model as making
from resources.evaluation.language_model import language_model
from resources.evaluation.log_likelihood import log_likelihoods
from resources.evaluation.side_by_side import side_by_side
from tests.speakers import make_speakers


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> AutoModelForCausalLM:
    folder = make_speakers(tmp_path_factory.mktemp("speakers"))
    return AutoModelForCausalLM.from_pretrained(folder / "speaker", dtype=torch.float32).eval()


def pairs(n: int, longest: int = 12) -> list[tuple[list[int], list[int]]]:
    generator = torch.Generator().manual_seed(0)
    sizes = torch.randint(1, longest // 2, (n, 2), generator=generator).tolist()
    return [tuple(torch.randint(4, 30, (k,), generator=generator).tolist() for k in size) for size in sizes]  # type: ignore[misc]


def test_each_is_the_sum_of_its_tokens_log_probabilities(model: AutoModelForCausalLM) -> None:
    asked = pairs(40)
    found = log_likelihoods(model, asked, longest=32)
    for (context, continuation), (value, greedy, parts) in zip(asked, found, strict=True):
        with torch.inference_mode():
            logits = model(torch.tensor([context + continuation])).logits[0, len(context) - 1 : -1].double()
        tokens = torch.tensor(continuation)
        expected = logits.log_softmax(1)[torch.arange(len(tokens)), tokens]
        assert value == pytest.approx(float(expected.sum()), abs=1e-4)
        assert parts == pytest.approx(expected.tolist(), abs=1e-4)
        assert greedy == bool((logits.argmax(1) == tokens).all())


def test_threads_change_nothing(model: AutoModelForCausalLM) -> None:
    asked = pairs(300)
    assert log_likelihoods(model, asked, longest=32, threads=3) == log_likelihoods(model, asked, longest=32)


def test_what_is_too_long_is_cut_on_the_left_as_the_harness_does(model: AutoModelForCausalLM, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model.name_or_path)
    asked = [*pairs(30), ([5, 6, 7] * 12, [8, 9]), ([7] * 20, [8] * 20), ([4], list(range(4, 30)))]
    theirs = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=8)
    expected = theirs._loglikelihood_tokens([(("", ""), *pair) for pair in asked], disable_tqdm=True)
    ours = language_model(model, tokenizer)._loglikelihood_tokens([(("", ""), *pair) for pair in asked])
    assert [greedy for _, greedy in ours] == [greedy for _, greedy in expected]
    assert [value for value, _ in ours] == pytest.approx([value for value, _ in expected], abs=1e-4)


def test_texts_are_encoded_once_for_models_of_one_tokenizer(model: AutoModelForCausalLM) -> None:
    tokenizer, again = (AutoTokenizer.from_pretrained(model.name_or_path) for _ in range(2))
    memory: dict = {}
    first = language_model(model, tokenizer, memory)._encode_pair("a b", " c")
    assert language_model(model, again, memory)._encode_pair("a b", " c") is first
    assert len(memory) == 1


def test_what_another_tokenizer_might_encode_otherwise_is_not_kept(
    model: AutoModelForCausalLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model.name_or_path)
    assert making._fingerprint(tokenizer)
    assert not making._fingerprint(object())  # nothing to tell it by
    monkeypatch.setattr(making, "_fingerprint", lambda _: "")
    memory: dict = {}
    assert language_model(model, tokenizer, memory)._encode_pair("a b", " c")
    assert not memory


def test_pieces_done_side_by_side_keep_their_order_and_compute_in_one_thread() -> None:
    def computed(item: int) -> tuple[int, int]:
        time.sleep(0.02 / (1 + item))  # later ones end first
        return item, torch.get_num_threads()

    assert side_by_side(computed, range(8), threads=4) == [(item, 1) for item in range(8)]
    assert [item for item, _ in side_by_side(computed, range(8), threads=1)] == list(range(8))
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda item: 1 // item, [1, 0], threads=2)
