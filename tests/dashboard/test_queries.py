"""Numbers on the pages against numbers worked out by hand from the rows themselves."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from streamlit.testing.v1 import AppTest

from dashboard import queries
from dashboard.source import Source, latest
from resources.warehouse import read
from tests import synthetic
from tests.synthetic import open_store, publish

from .conftest import charts, rows_of

App = Callable[..., AppTest]
PAIR = ("demo-reasoning", "demo-base")


def test_the_family_table_is_the_median_over_layers(app: App, small: Path) -> None:
    shown = app(small, "families").dataframe[0].value.set_index("model_id")
    scale = rows_of(small, "scale_statistics", "demo-reasoning")
    rotation = rows_of(small, "rotation_statistics", "demo-reasoning")
    by_hand = statistics.median(r["alpha_median"] for r in scale if r["matrix"] == "o")
    assert shown.loc["demo-reasoning", "alpha o"] == pytest.approx(by_hand, abs=1e-12)
    assert shown.loc["demo-reasoning", "nf_over_null"] == pytest.approx(
        statistics.median(r["nf_over_null"] for r in rotation), abs=1e-12
    )
    assert "demo-base" not in shown.index


def test_scores_in_the_table(app: App, small: Path) -> None:
    shown = app(small, "families").dataframe[0].value.set_index("model_id")
    with read(small / "published") as connection:
        found = connection.execute(
            "SELECT subject_id, value, stderr FROM evaluation_scores WHERE task = 'synthetic_boxes' "
            "AND subject_id IN ('demo-base', 'demo-math') ORDER BY subject_id"
        ).fetchall()
    base, post = (f"{value:.2f} ± {error:.2f}" for _, value, error in found)
    assert shown.loc["demo-math", "score synthetic_boxes"] == f"{base} → {post}"


def test_the_heat_map_and_the_numbers_of_a_cell(app: App, small: Path) -> None:
    test = app(small, "scale", model=PAIR[0], layer="5", matrix="o")
    (row,) = [r for r in rows_of(small, "scale_statistics", PAIR[0]) if (r["layer"], r["matrix"]) == (5, "o")]
    metrics = {m.label: m.value for m in test.metric}
    assert metrics["α median"] == f"{row['alpha_median']:.4f}"
    assert metrics["Unexplained by α"] == f"{row['unexplained']:.4f}"
    heat = charts(test)[0]["data"][0]
    assert heat["z"][heat["y"].index("o")][heat["x"].index(5)] == pytest.approx(row["alpha_median"])


def test_cells_of_experts_are_their_median(tmp_path: Path) -> None:
    synthetic.write(tmp_path, [synthetic.Model("b", "f", "base", "b", "base")], synthetic.Shape(layers=1))
    synthetic.write(
        tmp_path,
        [synthetic.Model("b", "f", "base", "b", "base"), synthetic.Model("m", "f", "sft", "b")],
        synthetic.Shape(layers=1),
    )
    store = open_store(tmp_path)
    (row,) = [r for r in store.read("scale_statistics", "0001") if r["matrix"] == "up"]
    rows = [row | {"expert": e, "alpha_median": v} for e, v in enumerate([1.0, 1.1, 1.5, float("nan")])]
    store.write("scale_statistics", "0001", rows, run_id="", code_version="")
    source = Source(publish(store, tmp_path / "published").path)
    (cell,) = queries.grid(source, "alpha_median", "m", "b").itertuples()
    assert (cell.value, cell.matrices) == (pytest.approx(1.1), 4)
    assert queries.experts(source, "m", "b", 0, "up") == [-1, 0, 1, 2, 3]  # rotation knows it as one matrix


def test_spectra_are_thinned_and_keep_their_ends(tmp_path: Path) -> None:
    models = [synthetic.Model("b", "f", "base", "b", "base"), synthetic.Model("m", "f", "math", "b")]
    shape = synthetic.Shape(layers=1, hidden=4096, rank=4096)
    source = Source(synthetic.write(tmp_path, models, shape).path)
    data = queries.spectra(source, "m", "b", 0, "q", -1)
    assert len(data) <= 2 * queries.POINTS + 2
    assert (data["component"].min(), data["component"].max()) == (1, 4096)
    assert set(range(1, 10)) <= set(data["component"])
    store = open_store(tmp_path)
    (row,) = [r for r in store.read("scale_statistics", "0001") if r["matrix"] == "q"]
    for component, ratio in zip(data["component"], data["ratio"], strict=True):
        assert ratio == pytest.approx(row["ratio"][component - 1])
    assert (data["post"] / data["base"]).to_numpy() == pytest.approx(data["ratio"].to_numpy(), rel=1e-5)
    for question in (queries.diagonals, queries.spectra):
        assert question(source, "m", "b", 0, "nothing", -1).empty


def test_the_picture_is_the_stored_one(source: Source, small: Path) -> None:
    data = queries.picture(source, *PAIR, 2, "v", -1)
    (row,) = [r for r in rows_of(small, "rotation_statistics", PAIR[0]) if (r["layer"], r["matrix"]) == (2, "v")]
    assert data["value"].tolist() == pytest.approx(row["picture"])
    assert len(data) == row["picture_size"] ** 2
    assert data[["row", "column"]].to_numpy().tolist()[1] == [0, 1]


def test_values_reach_the_database_as_parameters(source: Source) -> None:
    for evil in ("' OR '1'='1", "x'; DROP TABLE models; --", "\\", "%"):
        assert queries.grid(source, "alpha_median", evil, evil).empty
        assert queries.scores(source, evil, evil).empty
        assert queries.by_layer(source, "alpha_median", [evil]).empty
    assert len(queries.models(source)) == 9
    with pytest.raises(KeyError):
        queries.grid(source, "alpha_median FROM models; --", *PAIR)


def test_the_file_can_be_read_and_nothing_else(source: Source, small: Path) -> None:
    with pytest.raises(duckdb.Error):
        source.frame("CREATE TABLE intruder (x INT)")
    with pytest.raises(duckdb.Error):
        source.frame("SELECT * FROM read_csv('/etc/passwd')")


def test_formula_against_base_error(source: Source, small: Path) -> None:
    data = queries.grid(source, "formula_over_base", *PAIR).set_index(["layer", "matrix"])["value"]
    for row in rows_of(small, "rotation_statistics", PAIR[0]):
        assert data[row["layer"], row["matrix"]] == pytest.approx(row["formula_error"] / row["base_error"])
    assert queries.grid(source, "formula_over_base", "demo-base", "demo-base")["value"].isna().all()


def test_scores_of_a_model_bring_its_base_along(source: Source) -> None:
    data = queries.scores(source, *PAIR)
    of_task = data[data["task"] == "synthetic_sums"]
    assert list(of_task["kind"])[:2] == ["base", "post"]
    assert set(of_task["kind"]) == {"base", "post", "edit", "control"}
    assert not data.duplicated(["subject_id", "task", "metric", "filter"]).any()


def test_latest_follows_the_pointer(tmp_path: Path) -> None:
    assert latest(tmp_path) is None
    one = synthetic.write(tmp_path, [synthetic.Model("b", "f", "base", "b", "base")], synthetic.Shape(layers=1))
    assert latest(tmp_path / "published") == one.path
    held = Source(one.path)
    models = [synthetic.Model("b", "f", "base", "b", "base"), synthetic.Model("m", "f", "math", "b")]
    two = synthetic.write(tmp_path, models, synthetic.Shape(layers=1))
    path = latest(tmp_path / "published")
    assert path == two.path != one.path
    assert (len(queries.models(held)), len(queries.models(Source(path)))) == (1, 2)
