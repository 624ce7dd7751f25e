"""Claims on the first page, in the report and on the command line: the stored verdicts and sentences, everywhere."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from streamlit.testing.v1 import AppTest

from command_line.show_claims import claims
from dashboard import colours, pages
from dashboard.report import write_report
from dashboard.source import Source, latest
from resources.warehouse import read
from rotoscale.claims import WORDS

from .conftest import rows_of, words

App = Callable[..., AppTest]
MODEL = "demo-math"


def stored(small: Path, model: str = MODEL) -> dict[str, str]:
    return {row["claim"]: row["verdict"] for row in rows_of(small, "claims", model)}


def test_it_is_the_first_page_and_shows_the_stored_words(app: App, small: Path) -> None:
    assert pages.discover()[0].url == "claims"
    test = app(small, "claims")
    table = test.dataframe[0].value.set_index("claim")
    assert list(table.index) == ["HC1", "HC3", "HC6", "EP1", "EP2"]
    assert {claim: table.loc[claim, f"of {MODEL}"] for claim in stored(small)} == stored(small)
    assert table.loc["HC6", "of family demo"] == "undecided"
    assert not [column for column in table.columns if "scratch" in column]


def test_the_address_opens_a_verdict_with_its_numbers_and_rows(app: App, small: Path) -> None:
    test = app(small, "claims", of=MODEL, claim="HC3")
    assert not test.exception
    word = stored(small)["HC3"]
    assert f"badge[{word}]" in words(test)
    assert f"Made up to be {word}." in [element.value for element in test.text]
    assert "0.25" in [metric.value for metric in test.metric] or word == "not tested"
    rests_on = [frame.value for frame in test.dataframe if "alpha_median" in frame.value.columns]
    assert len(rests_on) == 1
    assert set(rests_on[0]["model_id"]) == {MODEL}
    assert len(rests_on[0]) == len(rows_of(small, "scale_statistics", MODEL))


def test_filters_live_in_the_address(app: App, small: Path) -> None:
    table = app(small, "claims", verdicts="supported").dataframe[0].value
    found = {word for column in table.columns if column.startswith("of ") for word in table[column].dropna()}
    assert found == {"supported"}
    assert list(app(small, "claims", claims="EP1").dataframe[0].value["claim"]) == ["EP1"]


@pytest.mark.parametrize("theme", ["#ffffff", "#0e1117"])
def test_words_stay_readable_on_their_colours(theme: str) -> None:
    """Contrast of the theme's text on each tinted cell: 4.5 and more (WCAG 2.1, AA)."""

    def channels(colour: str) -> list[float]:
        return [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]

    def luminance(rgb: list[float]) -> float:
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
        return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    ink = channels("#31333f" if theme == "#ffffff" else "#fafafa")
    for word in WORDS:
        style = colours.of_verdict(word)
        if word == "not tested":
            assert not style
            continue
        alpha = int(style[-2:], 16) / 255
        mixed = [alpha * c + (1 - alpha) * b for c, b in zip(channels(style[-9:-2]), channels(theme), strict=True)]
        high, low = sorted((luminance(ink), luminance(mixed)), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5


def test_report_and_command_line_say_the_stored_sentences(small: Path, tmp_path: Path) -> None:
    sentences = [row["sentence"] for row in rows_of(small, "findings", MODEL) if row["page"] == "claims"]
    tested = [s for s in sentences if "not tested" not in s]
    for name in ("demo", MODEL):
        page = write_report(name, tmp_path / f"{name}.html", small / "published").read_text(encoding="utf-8")
        head = page.index("What the papers claim")
        assert head < page.index("<h2>Descendants" if name == "demo" else "Compared with")
        for sentence in sentences:
            assert sentence in page
        assert '<td class="text supported">supported</td>' in page
    assert f"The weights of {MODEL} changed by 2 %." in page
    console = Console(file=io.StringIO(), width=120)
    with read(small / "published") as connection:
        assert claims(console, connection, ["demo"])
        assert not claims(console, connection, ["no such family"])
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert tested[0] in printed
    assert "\n- " in printed
    assert len(printed.splitlines()) <= 30


def test_a_verdict_rests_on_no_table_but_those_of_the_file(small: Path) -> None:
    from dashboard.queries import claims as queries

    path = latest(small / "published")
    assert path
    source = Source(path)
    assert queries.rests_on(source, "no_such_table", {}) is None
    assert queries.rests_on(source, "claims", {'claim" = 1 OR "claim': "x"}) is None
    found = queries.rests_on(source, "claims", {"claim": "' OR 1 = 1 --"})
    assert found is not None
    assert found.empty
