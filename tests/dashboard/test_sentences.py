"""Pages open with the stored sentences that rest on what they show, and link to the rows behind them."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import pages, queries, sentences, text
from dashboard.downloads import complete
from dashboard.queries import claims
from dashboard.source import Source
from tests import synthetic

from .conftest import charts, rows_of

App = Callable[..., AppTest]
PAIR = ("demo-math", "demo-base")


@pytest.mark.parametrize("page", ["scale", "rotation", "edits", "models", "compare", "claims", "families"])
def test_every_page_of_mine_opens_with_what_it_found(app: App, small: Path, page: str) -> None:
    address = {"left": PAIR[0]} if page == "compare" else {"of": PAIR[0]} if page == "claims" else {"model": PAIR[0]}
    test = app(small, page, **address)
    assert not test.exception
    boxes = [m.value for m in test.markdown if m.value.startswith("- ")]
    assert boxes
    subjects = ("", *(f"demo-{name}" for name in ("math", "instruct", "reasoning", "math-lora", "unscored")))
    stored = {text.plain(row["sentence"]) for subject in subjects for row in rows_of(small, "findings", subject)}
    assert len(boxes[0].split("\n")) <= sentences.MOST  # the others are folded
    for box in boxes:
        lines = [line.removeprefix("- ") for line in box.split("\n")]
        assert set(lines) <= stored


def test_sentences_on_a_page_alone_come_before_those_that_rest_on_others_too(source: Source) -> None:
    found = claims.findings_about(source, PAIR[0])
    scale = next(page for page in pages.discover() if page.url == "scale")
    chosen = sentences.chosen(found, scale.tables, "scale", PAIR[1])
    assert [row.get("claim") for row in chosen[:2]] != [None, None]
    kinds = [row["page"] for row in chosen]
    assert kinds == sorted(kinds)  # claims, then pair: only those rest on other tables as well
    assert "edits" not in kinds
    assert not sentences.chosen(found, scale.tables, "scale", "another-base")


def test_a_page_links_to_the_verdicts_and_to_the_pages_of_the_other_rows(app: App, small: Path) -> None:
    links = [p.proto for p in app(small, "rotation", model=PAIR[0]).get("page_link")]
    labels = {link.label: link.query_string for link in links}
    assert "model=demo-math" in labels["Scale"]
    assert "base=demo-base" in labels["Scale"]


def test_nothing_in_a_sentence_can_mark_it_up() -> None:
    escaped = text.plain("<b> :red[x] **y** [z](javascript:1) $w$ `v`\n- u")
    assert "\n" not in escaped
    assert not set("<>[]()*`$:") & set(re.sub(r"\\.", "", escaped))


def test_what_is_taken_along_says_whose_it_is_and_which_run_made_it(source: Source, small: Path) -> None:
    data = queries.grid(source, "alpha_median", *PAIR)
    rows = complete(data, source, table="scale_statistics", about=PAIR)
    assert set(rows["model_id"]) == {PAIR[0]}
    assert set(rows["base_id"]) == {PAIR[1]}
    (run,) = set(rows["run_id"])
    assert run in {r["run_id"] for r in rows_of(small, "scale_statistics", PAIR[0])}
    assert set(rows["code_version"]) == {"synthetic"}
    assert set(rows["units"]) == {"value: 1"}
    heads = complete(queries.temperature(source, *PAIR), source, table="attention_temperature", about=PAIR)
    assert "entropy_post: nats" in heads["units"].iloc[0]
    overall = complete(queries.overall(source), source, table="scale_statistics")
    assert overall.set_index("model_id").loc["demo-math", "run_id"] == run
    assert list(data.columns) == ["layer", "matrix", "value", "matrices"]  # the answer itself is left alone


def test_families_are_listed_newest_first_and_failures_apart(app: App, small: Path, tmp_path: Path) -> None:
    models = [
        synthetic.Model("old-base", "old", "base", "old-base", "base"),
        synthetic.Model("old-sft", "old", "sft", "old-base"),
        synthetic.Model("bad-base", "local-bad", "base", "bad-base", "base", measured=False),
        synthetic.Model("bad-post", "local-bad", "sft", "bad-base", status="quarantined", reason="no such file"),
        synthetic.Model("new-base", "new", "base", "new-base", "base"),
        synthetic.Model("new-sft", "new", "sft", "new-base"),
    ]
    synthetic.write(tmp_path, models, synthetic.Shape(layers=2))
    test = app(tmp_path, "families")
    assert not test.exception
    assert test.multiselect(key="choice_families").options == ["new", "old"]
    (failed,) = [f.value for f in test.dataframe if list(f.value.get("model_id", [])) == ["bad-post"]]
    assert failed["status_reason"].tolist() == ["no such file"]


def test_two_models_beside_each_other_have_one_scale(app: App, small: Path) -> None:
    test = app(small, "compare", left="demo-math", right="demo-scratch")
    assert not test.exception
    assert not test.warning
    maps = [c["data"][0] for c in charts(test) if c["data"][0]["type"] == "heatmap"]
    assert len(maps) == 2
    assert len({(m["zmin"], m["zmax"], str(m["colorscale"])) for m in maps}) == 1
    alphas = [
        statistics.median(r["alpha_median"] for r in rows_of(small, "scale_statistics", model))
        for model in ("demo-math", "demo-scratch")
    ]
    assert [m.value for m in test.metric if m.label == "α"] == [text.number(alpha, 4) for alpha in alphas]
    assert test.query_params["left"] == "demo-math"


def test_one_choice_is_one_change_of_the_address(app: App, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another model brings another base and cell with it; the back button takes one step all the same."""
    import streamlit as st

    test = app(small, "scale")
    sent: list[dict[str, list[str]]] = []
    real = type(st.query_params).from_dict
    monkeypatch.setattr(
        type(st.query_params), "from_dict", lambda self, new: (sent.append(dict(new)), real(self, new))[1]
    )
    test.selectbox(key="choice_model").set_value("demo-math").run()
    assert len(sent) == 1
    assert sent[0]["model"] == ["demo-math"]
    test.run()
    assert len(sent) == 1
