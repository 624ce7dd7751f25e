"""The page Circuits: what it says of a base and its descendants, of empty groups, and of edges that changed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from dashboard import circuit_frames
from tests import synthetic
from tests.synthetic import open_store, publish

from .conftest import charts, words

App = Callable[..., AppTest]


def test_every_model_of_the_family_stands_side_by_side(app: App, small: Path) -> None:
    test = app(small, "circuits", model="demo-math")
    grid = next(chart for chart in charts(test) if any(trace["type"] == "heatmap" for trace in chart["data"]))
    heat = [trace for trace in grid["data"] if trace["type"] == "heatmap"]
    assert len(heat) == 5 + 1  # base and descendants with a circuit of their own; not the unrelated model
    assert len({(trace["zmin"], trace["zmax"]) for trace in heat}) == 1  # one colour scale
    dots = [trace for trace in grid["data"] if trace["type"] == "scatter"]
    assert all((trace["x"], trace["y"]) == ([3], [0]) for trace in dots)  # step A's kept head


def test_an_empty_group_says_its_best_rejected_score(app: App, small: Path) -> None:
    said = words(app(small, "circuits", model="demo-math"))
    assert "No head is kept of D structure readers: the best rejected score is -0.011" in said
    assert "A value fetchers: empty" not in said


def test_the_choices_stand_in_the_address(app: App, small: Path) -> None:
    test = app(small, "circuits", model="demo-math", step="B", ablation="counterfactual", models="demo-base")
    assert test.selectbox(key="choice_step").value == "B"
    grid = next(chart for chart in charts(test) if any(trace["type"] == "heatmap" for trace in chart["data"]))
    assert [(t["x"], t["y"]) for t in grid["data"] if t["type"] == "scatter"] == [([2], [1])]
    assert not test.warning


def test_edges_that_changed_are_marked(app: App, small: Path) -> None:
    test = app(small, "circuits", model="demo-math")
    names = {trace.get("name") for chart in charts(test) for trace in chart["data"]}
    assert "weaker" in names  # -0.4 in the base, -0.3 in the descendant
    base = app(small, "circuits", model="demo-base")
    assert "weaker" not in {trace.get("name") for chart in charts(base) for trace in chart["data"]}


def test_the_attention_of_a_head_stands_beside_the_base_s(app: App, small: Path) -> None:
    test = app(small, "circuits", model="demo-math", head="2.1", box="4")
    heads = test.selectbox(key="choice_head")
    assert heads.value == "2.1"
    assert heads.options[:3] == ["1.2 (C)", "2.1 (B)", "3.0 (A)"]  # members of the circuit come first
    chart = next(c for c in charts(test) if any("sees" in str(t.get("customdata")) for t in c["data"]))
    assert [trace["z"][0][0] for trace in chart["data"]] == [1.0, 1.0]  # base and descendant
    assert [trace["z"][0][1] for trace in chart["data"]] == [None, None]  # nobody sees what comes after
    assert len(chart["data"][0]["z"]) == 6
    assert "answers `bell`" in words(test)


def test_models_whose_search_was_not_repeated_are_named(app: App, small: Path) -> None:
    said = words(app(small, "circuits", model="demo-math"))
    assert "Not computed for" not in said  # the made-up family has it of all
    data = small.parent / "left-out"
    shutil.copytree(small, data)
    store = open_store(data)
    (key,) = (one for one in store.models("circuit_stability")
              if store.read("circuit_stability", one)[0]["model_id"] == "demo-math")  # fmt: skip
    store.write("circuit_stability", key, [], run_id="r", code_version="c")
    publish(store, data / "published")
    assert "Not computed for `demo-math`: below 105 prompts" in words(app(data, "circuits", model="demo-math"))


def test_a_change_within_the_errors_is_none() -> None:
    def edges(score: float, stderr: float) -> pd.DataFrame:
        row = dict(zip(circuit_frames.EDGE, ("B", 2, 1, 3, 0, "q"), strict=True))
        return pd.DataFrame([{**row, "probability_score": score, "stderr": stderr, "screened": False}])

    before = edges(-0.30, 0.03)
    for score, stderr, change in ((-0.36, 0.03, "same"), (-0.60, 0.03, "stronger"), (-0.10, 0.03, "weaker"),
                                  (-0.31, 0.0, "same"), (-0.30, 0.0, "same")):  # fmt: skip
        assert circuit_frames.compared(before, edges(score, stderr))["change"].tolist() == [change], score


def test_controls_stand_beside_every_dot(app: App, small: Path) -> None:
    test = app(small, "circuits", model="demo-math")
    assert not test.exception
    kinds = [{trace.get("name") for trace in chart["data"]} for chart in charts(test)]
    assert {"model", "circuit", "control"} in kinds  # faithfulness
    assert {"base", "post", "control"} in kinds  # masks
    assert {"base", "post", "patched", "control"} in kinds  # exchange
    assert any("random heads" in names for names in kinds)  # the band of the curves


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base without descendants."""
    folder = tmp_path_factory.mktemp("alone")
    synthetic.write(folder, [synthetic.Model("b", "f", "base", "b", "base")], synthetic.Shape(layers=2))
    return folder


def test_a_base_alone_has_its_circuit(app: App, alone: Path) -> None:
    test = app(alone, "circuits")
    assert not test.exception
    assert charts(test)
    assert "A base has nobody to exchange with" in words(test)
