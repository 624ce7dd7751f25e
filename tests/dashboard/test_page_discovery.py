"""A page is one file: it is found, put in order, and refused with a sentence when it lacks something."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboard import pages, quantities, views

PAGE = """
import streamlit as st
TITLE, ICON, ORDER, URL = "Toys", ":material/toys:", 15, "toys"
OPENS_MODEL = True
def show():
    st.header("Toys to look at")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A second folder of pages; what is discovered is looked for anew before and after."""
    monkeypatch.setattr(views, "__path__", [*views.__path__, str(tmp_path)])
    importlib.invalidate_caches()
    pages.discover.cache_clear()
    yield tmp_path
    pages.discover.cache_clear()


def test_the_pages_there_are() -> None:
    assert [page.url for page in pages.discover()] == [
        "claims", "families", "scale", "rotation", "compare", "edits", "circuits", "relations", "releases", "models",
    ]  # fmt: skip
    assert [page.url for page in pages.discover() if page.opens_model] == ["scale", "rotation", "edits", "circuits"]


def test_a_further_file_is_a_further_page(folder: Path) -> None:
    (folder / "toys_found.py").write_text(PAGE)
    found = pages.discover()
    assert [page.title for page in found[:4]] == ["Claims", "Families", "Toys", "Scale"]
    assert found[2].opens_model


@pytest.mark.parametrize(
    ("name", "code", "complaint"),
    [
        ("toys_unordered", PAGE.replace("ORDER", "SOMETHING"), r"toys_unordered\.py is no page: it needs ORDER, a int"),
        ("toys_undrawn", PAGE.replace("def show", "def hide"), r"toys_undrawn\.py .* needs a function show\(\)"),
        ("toys_twice", PAGE.replace('"toys"', '"scale"'), "two pages .* have the URL 'scale'"),
    ],
)
def test_what_is_no_page_is_named(folder: Path, name: str, code: str, complaint: str) -> None:
    (folder / f"{name}.py").write_text(code)
    with pytest.raises(pages.PageError, match=complaint):
        pages.discover()


def test_a_quantity_says_itself_where_it_is_shown() -> None:
    for place in ("map", "matrix", "report", "family"):
        found = quantities.shown(place)
        assert found
        assert found == quantities.shown(place, "scale") | quantities.shown(place, "rotation")
    known = {"map", "matrix", "report", "family"}
    assert all(q.places <= known and q.places for q in quantities.QUANTITIES.values())
