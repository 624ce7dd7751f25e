"""Patterns over module names: the answers of ``re`` and of PEFT, without their time."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pytest
from peft.utils.other import get_pattern_key

from resources.checkpoints import AdapterError
from resources.checkpoints.adapter_config import MAX_PATTERNS, PatternTable
from resources.checkpoints.name_patterns import Name, UnsupportedPattern, parse

NAMES = [
    *(f"model.layers.{layer}.self_attn.{name}_proj" for layer in (0, 1, 12) for name in "qkvo"),
    *(f"model.layers.{layer}.mlp.{name}_proj" for layer in (0, 1, 12) for name in ("gate", "up", "down")),
    "transformer.h.3.attn.c_attn",
    "lm_head",
]


def _table(values: dict[str, Any]) -> PatternTable:
    return PatternTable("rank_pattern", values, Path("adapter_config.json"))


def _matches(pattern: str, text: str) -> bool:
    name = Name(text)
    return bool(name.after(parse(pattern), name.start) & name.end)


def _random_sequence(random_: random.Random, depth: int) -> str:
    atoms = ["a", "b", "1", ".", r"\.", r"\d", r"\w", "[ab]", "[^a.]", "[0-9a]", "_", "[]a]", "[a-]", r"[\d.]"]
    text = ""
    for _ in range(random_.randrange(5)):
        what = random_.random()
        if what < 0.15 and depth < 3:
            inside = "|".join(_random_sequence(random_, depth + 1) for _ in range(random_.randrange(1, 4)))
            text += random_.choice(["(", "(?:"]) + inside + ")"
        elif what < 0.2:
            text += random_.choice("^$")
        else:
            text += random_.choice(atoms) + random_.choice(["", "", "", "*", "+", "?", "*?", "+?", "??"])
    return text


@pytest.mark.filterwarnings("ignore:Possible nested set")
def test_random_patterns_match_as_with_re() -> None:
    random_ = random.Random(0)
    matched = 0
    for _ in range(2000):
        pattern = "|".join(_random_sequence(random_, 0) for _ in range(random_.choice([1, 1, 2])))
        text = "".join(random_.choice("ab1._") for _ in range(random_.randrange(8)))
        wanted = re.fullmatch(pattern, text) is not None
        assert _matches(pattern, text) is wanted, (pattern, text)
        matched += wanted
    assert 200 < matched < 1800


@pytest.mark.parametrize(
    "pattern",
    [
        "q_proj",
        "self_attn.q_proj",
        "proj",
        "1",
        r"layers\.1\..*",
        r".*layers\.\d+\.mlp\.down_proj.*",
        r"^model\.layers\.1\.mlp\.(up|gate)_proj",
        r"model.layers.(0|1[0-9]).self_attn.(?:q|k)_proj$",
        r"(q_proj|.*\.mlp\..*)",
        "layers.1.*q_proj",
        "[a-z]+_head|h.3.attn.c_attn",
        "lm_head.?",
        "",
    ],
)
def test_what_pefts_own_search_finds(pattern: str) -> None:
    table = _table({pattern: 1, "v_proj": 2, "model.layers.12.mlp.up_proj": 3})
    for name in NAMES:
        key = get_pattern_key(table.values.keys(), name)
        assert table.find(name, 0) == table.values.get(key, 0), name


HOSTILE = {
    ".?" * 23 + "x": "a" * 23,
    "(.|.)" * 40: "a" * 41,
    "(a|a.|.a)" * 40 + "x": "a.a" * 30,
    ".*" * 100 + "x": "a." * 200,
    "((a|a)(a|a)|(a|a)(a|a))" * 20: "a" * 41,
}


@pytest.mark.parametrize("pattern", HOSTILE)
def test_patterns_of_exponential_time_end_at_once(pattern: str) -> None:
    """``re`` would try 2 to the 23rd ways and more; here an item is looked at once for each place it stands in."""
    assert _table({pattern: 1}).find(HOSTILE[pattern], 0) == 0
    name = Name(HOSTILE[pattern])
    name.after(parse(pattern), name.start)
    assert name.work <= 2 * len(pattern)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(a+)+$", "repeated group"),
        ("(a|b)*", "repeated group"),
        ("a{2}", "counted"),
        ("a*+", "possessive"),
        ("*a", "nothing before it"),
        ("(?=a)", "other than"),
        ("(?P<n>a)", "other than"),
        (r"(a)\1", "the escape"),
        (r"\bq", "the escape"),
        ("(a", "not closed"),
        ("a)", "too many"),
        ("[a", "not closed"),
        ("[[a]", "sets of sets"),
        ("[z-a]", "the range z-a"),
        ("(" * 20 + "a" + ")" * 20, "nested too deeply"),
        ("a" * 513, "longer than 512"),
    ],
)
def test_the_rest_is_refused_by_name(pattern: str, words: str) -> None:
    with pytest.raises(UnsupportedPattern, match=words):
        parse(pattern)
    with pytest.raises(
        AdapterError, match=rf"adapter_config.json: rank_pattern: .*{words}.*Write the module names out"
    ):
        _table({pattern: 1})


def test_a_pattern_for_every_module_of_a_large_model() -> None:
    """As EVA and AdaLoRA save them: 126 layers of 7 modules, written out."""
    names = [name.replace("12", str(layer)) for layer in range(126) for name in NAMES if ".12." in name]
    assert len(set(names)) == 882 <= MAX_PATTERNS
    table = _table({name: number for number, name in enumerate(names)})
    assert [table.find(name, -1) for name in names[::50]] == list(range(0, 882, 50))


def test_many_patterns_for_many_modules_are_given_up() -> None:
    table = _table({f"x{number}": number for number in range(MAX_PATTERNS)})
    with pytest.raises(AdapterError, match=r"1024 patterns for so many modules.*Merge it with PEFT"):
        [table.find(f"y{number}", -1) for number in range(3000)]
