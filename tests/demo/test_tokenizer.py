"""The tokenizer: words of the corpus are single tokens, and any text survives."""

from pathlib import Path

import pytest
from transformers import AutoTokenizer

from demo import tokenizer
from demo.words import LETTERS, OBJECTS


@pytest.fixture(scope="module")
def reloaded(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    folder: Path = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save(folder)
    return AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize(
    "text",
    [
        "The apple is in Box F, the bell is in Box Q. Box Q contains the bell.",
        "12 + 7 = 19\nUser: What?\nAssistant: The answer is red.",
        "Unknown wörds, 漢字, a\ttab,  two spaces, <angle> and _underscore_ 3.5%!",
        " leading space",
        "",
    ],
)
def test_text_survives_the_way_there_and_back(reloaded, text: str) -> None:  # type: ignore[no-untyped-def]
    assert reloaded.decode(reloaded(text).input_ids, skip_special_tokens=True) == text


def test_words_letters_and_digits_are_single_tokens(reloaded) -> None:  # type: ignore[no-untyped-def]
    units = [" " + word for word in (*OBJECTS, *LETTERS)] + list("0123456789") + [f" {d}" for d in range(10)]
    lengths = {unit: len(reloaded(unit, add_special_tokens=False).input_ids) for unit in units}
    assert {unit for unit, length in lengths.items() if length != 1} == set()


def test_special_tokens_are_defined_and_text_starts_with_bos(reloaded) -> None:  # type: ignore[no-untyped-def]
    specials = (reloaded.pad_token_id, reloaded.bos_token_id, reloaded.eos_token_id, reloaded.unk_token_id)
    assert specials == (tokenizer.PAD, tokenizer.BOS, tokenizer.EOS, tokenizer.UNK)
    assert reloaded("12 + 7").input_ids[0] == tokenizer.BOS
    assert tokenizer.UNK not in reloaded("漢字 ☃").input_ids
