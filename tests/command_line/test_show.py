"""What is printed: whole names and numbers at any width, COLUMNS respected, verdicts as a table or in lines."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from command_line import show, show_claims, show_scores
from resources.warehouse.summaries.scores import BehaviourSummary, Column

NAMES = ("demo-instruct", "demo-math", "demo-math-lora", "demo-reasoning")


def printed(print_it: Callable[[Console], Any], width: int) -> str:
    console = Console(width=width, file=io.StringIO(), highlight=False)
    print_it(console)
    assert console.width == width  # a wide table widens it for itself alone
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [20, 80, 200])
def test_tables_never_break_names_and_numbers(width: int) -> None:
    rows = [["a-very-long-name-of-a-model", 0.123456, "words that may be wrapped as there is room for them", 12345.0]]
    text = printed(lambda console: show.put(console, show.table("T", ["name", "x", "words", "y"], rows)), width)
    for whole in ("a-very-long-name-of-a-model", "0.1235", "1.234e+04", "wrapped"):
        assert whole in text
    assert "…" not in text


@pytest.mark.parametrize("width", range(20, 40))
def test_a_number_and_its_unit_stay_on_one_line(width: int) -> None:
    text = printed(lambda console: show.say(console, "outside the base's spaces 36 % (40 %)"), width)
    assert "\n%" not in text
    assert " ".join(text.split()) == "outside the base's spaces 36 % (40 %)"


def test_sentences_break_between_words_only() -> None:
    text = printed(lambda console: show.say(console, "one [two] demo-math-lora " * 5, "- "), 24)
    lines = text.splitlines()
    assert lines[0].startswith("- one [two]")
    assert all(line.startswith("  ") and len(line) <= 24 for line in lines[1:])
    assert text.split()[1:] == ["one", "[two]", "demo-math-lora"] * 5


def test_the_width_is_that_of_columns_or_of_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", io.StringIO())
    monkeypatch.setenv("COLUMNS", "77")
    assert show.output().width == 77
    monkeypatch.delenv("COLUMNS")
    assert show.output().width == show.PIPE_WIDTH


@pytest.mark.parametrize("width", [80, 50])
def test_verdicts_fit_80_columns_as_a_table_and_fewer_in_lines(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    found = [
        {"family": "demo", "model_id": name, "claim": claim, "verdict": "not tested", "sentence": f"{name}, {claim}"}
        for name in NAMES
        for claim in ("HC1", "HC3", "EP1")
    ]
    found.append({"family": "demo", "model_id": "", "claim": "HC6", "verdict": "refuted", "sentence": "family demo"})
    monkeypatch.setattr(show_claims, "sentences", lambda connection: found)
    text = printed(lambda console: show_claims.claims(console, None, {"demo"}), width)  # type: ignore[arg-type]
    assert all(len(line) <= width for line in text.splitlines())
    assert all(name in text for name in (*NAMES, "family demo", "refuted", "not tested"))
    table = next((line for line in text.splitlines() if line.startswith("claim")), "")
    assert table.split() == (["claim", *NAMES, "family", "demo"] if width == 80 else [])
    assert text.index("HC1") < text.index("HC6") < text.index("EP1")


@pytest.mark.parametrize(("most", "said"), [(500, "t acc ↑ n 500"), (2000, "t acc ↑ n 500 to 2000")])
def test_scores_say_on_how_many_documents(most: int, said: str) -> None:
    summary = BehaviourSummary("m", "b", [Column("t", "acc", True, 500, most)], [], [])
    assert said in " ".join(printed(lambda console: show_scores.print_scores(console, summary), 120).split())
