"""Every page, drawn over a full warehouse, an empty one, a partial one and a hostile one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
from streamlit.testing.v1 import AppTest

from resources.warehouse import SCHEMA_VERSION
from tests import synthetic
from tests.synthetic import TABLES, open_store, publish

from .conftest import HOSTILE, PAGES, charts, words

App = Callable[..., AppTest]


@pytest.mark.parametrize("page", PAGES)
def test_a_full_warehouse(app: App, small: Path, page: str) -> None:
    test = app(small, page)
    assert not test.exception
    assert not test.warning
    for chart in charts(test):
        go.Figure(chart)  # Plotly's own check, which the dashboard skips for speed
    assert page in ("claims", "releases", "models") or charts(test)


@pytest.mark.parametrize("page", PAGES)
def test_no_warehouse_says_what_to_run(app: App, tmp_path: Path, page: str) -> None:
    test = app(tmp_path, page)
    assert not test.exception
    commands = [c.value for c in test.code]
    assert "make demo" in commands
    assert "rotoscale compare BASE POST" in commands
    assert not charts(test)


@pytest.mark.parametrize("page", PAGES)
def test_an_empty_warehouse_says_what_is_missing(app: App, empty: Path, page: str) -> None:
    test = app(empty, page)
    assert not test.exception
    assert "yet" in words(test) or "No family" in words(test)


@pytest.mark.parametrize("page", PAGES)
def test_registered_but_not_measured(app: App, registered_only: Path, page: str) -> None:
    test = app(registered_only, page)
    assert not test.exception
    assert "yet" in words(test)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("number", [0, 2, 4])
def test_hostile_names_and_values(app: App, hostile: Path, page: str, number: int) -> None:
    """Nothing breaks, and what is sent as markup holds the names in code spans or escaped, never as they are."""
    test = app(hostile, page, model=HOSTILE[number] + "!")
    assert not test.exception
    for chart in charts(test):
        go.Figure(chart)
        for text in _texts(chart):
            assert "<script" not in text
            assert "<img" not in text
    for element in (*test.markdown, *test.caption, *test.subheader):
        outside = "".join(_outside_code(str(element.value)))
        for trace in ("<script", "<img", ":red[shout", "javascript:", "](x"):
            assert trace not in outside
    assert not [e for e in (*test.markdown, *test.caption) if e.allow_html]


def test_a_name_stays_itself_in_tables(app: App, hostile: Path) -> None:
    """A data frame is drawn as plain text, so that there names are left alone."""
    frame = app(hostile, "models").dataframe[0].value
    assert HOSTILE[0] in set(frame["model_id"])


def test_quarantine_names_the_reason(app: App, small: Path) -> None:
    test = app(small, "models")
    assert any("layers.1.q has 3 values that are NaN" in c.value for c in test.code)
    assert ":red-badge[quarantined]" in words(test)
    assert ":red-badge[quarantined]" in words(app(small, "families"))


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base, a measured descendant, and one that was forgotten: registered, its rows gone."""
    folder = tmp_path_factory.mktemp("forgetful")
    models = [
        synthetic.Model("b", "f", "base", "b", "base"),
        synthetic.Model("m", "f", "math", "b"),
        synthetic.Model("gone", "f", "sft", "b", status="forgotten"),
    ]
    synthetic.write(folder, models, synthetic.Shape(layers=2))
    return folder


def test_a_forgotten_model_is_in_no_list_but_its_own(app: App, forgetful: Path) -> None:
    assert "gone" not in words(app(forgetful, "families"))
    assert list(app(forgetful, "families").dataframe[0].value["model_id"]) == ["m"]
    for page in ("scale", "rotation", "edits"):
        assert not [o for o in app(forgetful, page).selectbox(key="choice_model").options if o.startswith("gone")]
    test = app(forgetful, "models")
    assert list(test.dataframe[0].value["model_id"]) == ["b", "m"]
    assert test.selectbox(key="choice_model").options == ["b", "m"]
    assert test.selectbox(key="choice_state").options == ["all but 1 forgotten", "forgotten", "ready"]


def test_the_filter_of_the_models_page_lists_forgotten_models(app: App, forgetful: Path) -> None:
    test = app(forgetful, "models")
    test.selectbox(key="choice_state").set_value("forgotten").run()
    assert not test.exception
    assert list(test.dataframe[0].value["model_id"]) == ["gone"]
    assert test.selectbox(key="choice_model").value == "gone"
    assert "Waiting for" not in words(test)


def test_without_forgotten_models_no_filter_speaks_of_them(app: App, small: Path) -> None:
    assert app(small, "models").selectbox(key="choice_state").options == ["any", "quarantined", "ready"]


def test_a_model_in_progress(app: App, small: Path) -> None:
    assert ":gray-badge[not measured yet]" in words(app(small, "families"))
    test = app(small, "models", model="demo-waiting")
    assert "Waiting for " in words(test)
    assert "`decompositions`" in words(test)
    rows = app(small, "families", status="not measured yet").dataframe[0].value
    assert list(rows["model_id"]) == ["demo-waiting"]


def test_measured_but_not_scored(app: App, small: Path) -> None:
    test = app(small, "scale", model="demo-unscored")
    assert charts(test)
    families = app(small, "families").dataframe[0].value.set_index("model_id")
    assert families["score synthetic_boxes"].isna()["demo-unscored"]


def test_the_note_about_weight_decay_stands_where_alpha_is_shown(app: App, small: Path) -> None:
    note = "A uniform alpha below 1 is also what plain weight decay leaves."
    assert words(app(small, "scale")).count(note) >= 2
    assert note in words(app(small, "families"))


def test_the_floor_is_left_out_until_asked_for(app: App, small: Path) -> None:
    def offered(**address: Any) -> list[str]:
        return app(small, "scale", **address).selectbox(key="choice_model").options

    assert not [name for name in offered() if name.startswith("demo-base")]
    assert [name for name in offered(floor="1") if name.startswith("demo-base")]


def test_headings_explain_themselves_in_the_words_of_the_contract(app: App, small: Path) -> None:
    test = app(small, "scale")
    text = TABLES["scale_statistics"].column("unexplained").text
    assert text in {metric.help for metric in test.metric}
    assert TABLES["scale_statistics"].column("alpha_median").text in words(test)


def test_links_lead_to_the_run_of_the_row(app: App, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROTOSCALE_DAGSTER_URL", "http://dagster.example:3070/")
    test = app(small, "models", model="demo-math")
    made = test.dataframe[2].value
    assert len(made) > 5
    assert all(link.startswith("http://dagster.example:3070/runs/") for link in made["run"])
    asset = made.set_index("table").loc["scale_statistics", "asset"]
    assert asset == "http://dagster.example:3070/assets/scale_statistics?partition=demo-math"


def test_a_file_of_another_schema_version_is_refused_with_a_remedy(app: App, tmp_path: Path) -> None:
    import duckdb

    folder = tmp_path / "published"
    folder.mkdir()
    with duckdb.connect(str(folder / "warehouse-000001.duckdb")) as connection:
        connection.execute("CREATE TABLE published (version INT, schema_version INT, published_at TIMESTAMPTZ)")
        connection.execute("INSERT INTO published VALUES (1, ?, now())", [SCHEMA_VERSION + 1])
    (folder / "current").write_text("warehouse-000001.duckdb")
    test = app(tmp_path, "families")
    assert not test.exception
    assert "update rotoscale" in test.code[0].value


def test_a_file_cut_short_is_named(app: App, tmp_path: Path) -> None:
    folder = tmp_path / "published"
    folder.mkdir()
    (folder / "warehouse-000001.duckdb").write_bytes(b"not a database" * 1000)
    (folder / "current").write_text("warehouse-000001.duckdb")
    test = app(tmp_path, "families")
    assert not test.exception
    assert "rotoscale publish" in test.code[0].value


def _texts(value: Any) -> list[str]:
    """Every string that Plotly would render as text: not identifiers, not click data."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    if isinstance(value, dict):
        return [t for key, item in value.items() if key not in ("customdata", "legendgroup") for t in _texts(item)]
    return []


def _outside_code(markdown: str) -> list[str]:
    """The parts of a markdown text outside code spans, by CommonMark's rule of equally long fences."""
    parts, rest = [], markdown
    while "`" in rest:
        before, _, after = rest.partition("`")
        length = 1
        while after.startswith("`"):
            after, length = after[1:], length + 1
        position = 0
        while position < len(after):
            start = after.find("`", position)
            if start < 0:
                return [*parts, rest]
            end = start
            while end < len(after) and after[end] == "`":
                end += 1
            if end - start == length:
                break
            position = end
        else:
            return [*parts, rest]
        parts.append(before)
        rest = after[end:]
    return [*parts, rest]


def test_outside_code_knows_the_rule() -> None:
    assert "".join(_outside_code("a `b` c ``d ` e`` f")) == "a  c  f"


def test_experts_of_a_mixture_are_one_cell_and_can_be_opened_one_by_one(app: App, tmp_path: Path) -> None:
    models = [synthetic.Model("b", "f", "base", "b", "base"), synthetic.Model("m", "f", "sft", "b")]
    synthetic.write(tmp_path, models, synthetic.Shape(layers=2))
    store = open_store(tmp_path)
    for table in ("decompositions", "scale_statistics", "rotation_statistics"):
        for key in store.models(table):
            rows = store.read(table, key)
            split = [r | {"expert": e} for r in rows if r["matrix"] in ("up", "down", "gate") for e in range(4)]
            for row in split:
                row.update({c: v + row["expert"] for c, v in row.items() if c == "alpha_median"})
            kept = [r for r in rows if r["matrix"] not in ("up", "down", "gate")]
            store.write(table, key, kept + split, run_id="", code_version="")
    publish(store, tmp_path / "published")
    test = app(tmp_path, "scale", layer="1", matrix="up", expert="2")
    assert not test.exception
    assert test.selectbox(key="choice_expert").options == ["0", "1", "2", "3"]
    first = float(test.metric[0].value)
    test.selectbox(key="choice_expert").set_value(3).run()
    assert float(test.metric[0].value) == pytest.approx(first + 1, abs=1e-3)
    assert "median of 4 experts" in str(charts(test)[0]["data"][1]["customdata"])
    whole, of_attention = app(tmp_path, "scale", layer="1", matrix="up", expert="3"), app(tmp_path, "scale", matrix="q")
    assert len(charts(whole)) == len(charts(of_attention))
