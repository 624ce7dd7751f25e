"""Sections of docs/methods.md that code, tests and other documents cite are there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
ROOMS = ("rotoscale", "resources", "assets", "command_line", "dashboard", "demo", "benchmarks", "tests")
NUMBER = r"\d+[a-z]?"
# `docs/methods.md, section 2` and `sections 1, 2 and 6`; a table's published text says `methods, section 2`.
CITATION = re.compile(rf"\bmethods(?:\.md)?`?,\s+sections?\s+({NUMBER}(?:(?:,\s+|\s+and\s+){NUMBER})*)\b")
HEADING = re.compile(rf"^#+ ({NUMBER})\. ", re.MULTILINE)
OTHER_FORM = re.compile(rf"\bMETHODS\s+{NUMBER}")


def texts() -> Iterator[tuple[str, str]]:
    """Every file that may cite, by its path in the project."""
    files = [file for room in ROOMS for file in (PROJECT / room).rglob("*.py")]
    for file in sorted((*files, *(PROJECT / "docs").glob("*.md"), PROJECT / "README.md")):
        text = file.read_text(encoding="utf-8")
        yield str(file.relative_to(PROJECT)), re.sub(r"\n[ \t]*(?:# )?", "\n", text)


def cited(text: str) -> set[str]:
    return {number for found in CITATION.findall(text) for number in re.findall(NUMBER, found)}


def test_every_cited_section_of_the_methods_exists() -> None:
    there = set(HEADING.findall((PROJECT / "docs" / "methods.md").read_text(encoding="utf-8")))
    citations = {path: found for path, text in texts() if (found := cited(text))}
    assert {"rotoscale/scale.py", "rotoscale/recipes/__init__.py"} <= citations.keys()
    assert {path: found - there for path, found in citations.items() if found - there} == {}


def test_the_methods_are_cited_in_one_form() -> None:
    assert [path for path, text in texts() if OTHER_FORM.search(text)] == []


@pytest.mark.parametrize(
    ("text", "sections"),
    [
        ("of both models (docs/methods.md, section 2b).", {"2b"}),
        ("docs/methods.md, sections 1, 2 and 6.", {"1", "2", "6"}),
        ("what noise would do (methods, section 2).", {"2"}),
        ("no defined vectors (docs/methods.md, section\n2). 3 more", {"2"}),
        ("For `docs/methods.md`, section 3, that is", {"3"}),
        ("several methods, sections of 3 rows", set()),
    ],
)
def test_what_a_citation_looks_like(text: str, sections: set[str]) -> None:
    assert cited(text) == sections
