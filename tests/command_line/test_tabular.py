"""Tables as lines: what fits is a grid, what does not is printed in parts or row by row, and nothing is ever broken."""

from __future__ import annotations

import pytest

from command_line.tabular import GAP, table

HEADERS = ["matrix", "n", "change", "of rounding", "tau"]
ROWS = [["q", 5, 0.0474, -1.773e-05, 0.0147], ["gate", 35, 12345.0, None, -0.5]]


def test_numbers_are_aligned_right_under_headers_that_are_wrapped_when_they_must_be() -> None:
    wide = table("T", HEADERS, ROWS).lines(80)
    assert wide == [
        "matrix   n     change  of rounding      tau",
        "q        5     0.0474   -1.773e-05   0.0147",
        "gate    35  1.234e+04               -0.5000",
    ]
    narrow = table("T", HEADERS, ROWS).lines(len(wide[0]) - 1)
    assert narrow[0].split() == ["of"]
    assert narrow[1].split() == ["matrix", "n", "change", "rounding", "tau"]
    assert [line.split() for line in narrow[2:]] == [line.split() for line in wide[1:]]


def test_what_is_too_wide_is_printed_in_even_parts_with_the_first_column_again() -> None:
    lines = table("T", HEADERS, ROWS).lines(30)
    middle = lines.index("")
    first, second = lines[:middle], lines[middle + 1 :]
    assert max(map(len, lines)) <= 30
    assert first[0].split() == ["matrix", "n", "change"]
    assert second[0].split() == ["matrix", "of", "rounding", "tau"]
    assert [line.split()[0] for line in (*first[1:], *second[1:])] == ["q", "gate", "q", "gate"]


def test_texts_are_wrapped_between_words_and_the_last_may_hold_longer_ones() -> None:
    path = "/a/path/that/is/longer/than/the/room/that/there/is"
    rows = [
        ["data", "ok", f"{path}, 20 GB free"],
        ["backlog", "ok", "6 models are not up to date; tried in vain: none"],
    ]
    lines = table("T", ["what", "state", "found"], rows).lines(44)
    assert any(path in line for line in lines)
    assert all(len(line) <= 44 for line in lines if path not in line)
    assert " ".join(" ".join(lines).split()).endswith("6 models are not up to date; tried in vain: none")


def test_texts_that_need_many_parts_are_printed_row_by_row() -> None:
    headers = ["model", "relation", "decision", "state", "why"]
    rows = [[f"org/model-{i}", "adapter of it", f"taken as {i}", "up to date", "Its name is wanted."] for i in range(2)]
    lines = table("T", headers, rows).lines(24)
    assert max(map(len, lines)) <= 24
    assert [line for line in lines if not line.startswith(" ")] == ["org/model-0", "org/model-1"]
    assert lines[1] == "  relation: adapter of"
    assert lines[2] == "    it"


@pytest.mark.parametrize("width", [1, 20, 40, 80, 200])
def test_at_any_width_every_cell_is_there_and_whole(width: int) -> None:
    rows = [["demo-math-lora", "0.83 ± 0.01", 1e-9, "some words"], ["x", "1 ± 0", None, ""]]
    lines = table("T", ["model", "score", "p", "note"], rows, numbers=["score"]).lines(width)
    words = " ".join(lines).split()
    for cell in ("demo-math-lora", "1e-09", "some", "words", "0.83"):
        assert cell in words
    assert all(line == line.rstrip() for line in lines)


def test_tables_of_one_column_or_without_rows() -> None:
    assert table("T", ["a name"], [["one"], ["two"]]).lines(80) == ["a name", "one", "two"]
    assert table("T", ["a", "b"], []).lines(80) == ["a" + " " * GAP + "b"]
