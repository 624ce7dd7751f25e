"""The ten questions of the documents: each answer stands on the page that they name, as it opens."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import pages
from tests import synthetic
from tests.docs.pages import DOCS
from tests.synthetic import open_store, publish

from .conftest import words

App = Callable[..., AppTest]

MODEL, BASE = "demo-instruct", "demo-base"
SENTENCES = {
    ("claims", "equivalence"): "HC2 supported: replace-scale is as good as the post model, within the margin.",
    ("claims", "agreement"): "HC3 refuted: median tau 0.009 over 28 matrices.",
    ("claims", "control_tests"): "HC4 undecided: beyond the mirror control in 0 of 10 tests.",
    ("pair", "agreement"): "The weights changed by 5.22 %; 3.63 % of them are bit-identical in the median matrix.",
}
"""Stored sentences in the words that the rules have, by their page and the table that they rest on."""

ANSWERS = {
    "Which descendants changed most": r"moved [\d.]+.{1,3}%, most in \w+ \([\d.]+ %\)",
    "Did the scale": "HC2 supported: replace-scale is as good",
    "Did the left and the right": "HC3 refuted: median tau 0.009",
    "What broke": "HC4 undecided: beyond the mirror control in 0 of 10",
    "What is bit-identical": "3.63 % of them are bit-identical",
    "Is this model a relative": r"\d+ are related and \d+ are unrelated",
    "Which run made": r"From .*run .*code version .*UTC",
    "What failed": "`demo-broken`[^~]*3 values that are NaN; download the checkpoint again",
    "What is new": "Results of 7 models were made, or made again: `demo-",
    "How do I cite": "How to cite it: `CITATION.cff`",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up demo family with one quarantined model, and with sentences in the words of the rules."""
    folder = tmp_path_factory.mktemp("questions")
    reason = "layers.1.q has 3 values that are NaN; download the checkpoint again"
    synthetic.small(
        folder, extra=[synthetic.Model("demo-broken", "demo", "code", BASE, status="quarantined", reason=reason)]
    )
    store = open_store(folder)
    key = next(
        key for key in store.models("findings") if any(r["model_id"] == MODEL for r in store.read("findings", key))
    )
    rows = [
        {
            "family": "demo",
            "model_id": MODEL,
            "page": page,
            "rank": rank,
            "sentence": f"{MODEL}, {sentence}" if page == "claims" else sentence,
            "rests_on": [{"table": table, "where": {"model_id": MODEL, "base_id": BASE}}],
        }
        for rank, ((page, table), sentence) in enumerate(SENTENCES.items())
    ]
    store.write("findings", key, rows, run_id="r", code_version="c")
    publish(store, folder / "published")
    return folder


def questions() -> dict[str, str]:
    """The pages named by the documents, by question."""
    table = (DOCS / "index.md").read_text().split("| question |")[1].split("\n\n")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {question: page for question, page, _ in cells}


def test_there_are_ten_and_each_is_asked_here() -> None:
    assert len(questions()) == len(ANSWERS) == 10
    for question in ANSWERS:
        assert sum(asked.startswith(question) for asked in questions()) == 1


@pytest.mark.parametrize("question", ANSWERS)
def test_the_answer_stands_on_the_page(question: str, app: App, data: Path) -> None:
    named = next(page for asked, page in questions().items() if asked.startswith(question))
    urls = {page.title: page.url for page in pages.discover()}
    opened = [urls[name] for name in re.findall(r"\*([^*]+)\*", named)] or ["claims"]
    drawn = app(data, opened[0])
    links = [link.proto.label for link in drawn.get("page_link")]  # models named on cards lead to their pages
    said = "\n".join([words(drawn), *(str(block.value) for block in drawn.code), *links]).replace("\\", "")
    assert re.search(ANSWERS[question], said, re.MULTILINE), said
