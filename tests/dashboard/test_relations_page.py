"""The page Relations: what it says, the tree it draws, and that every number has its chance beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from dashboard import relation_frames
from dashboard.figures import relations as figures
from dashboard.relation_frames import Node

from .conftest import charts, words

App = Callable[..., AppTest]


def test_the_page_opens_with_what_was_found(app: App, small: Path) -> None:
    test = app(small, "relations")
    assert not test.exception
    said = words(test)
    assert "Of 21 pairs of models 15 are related and 6 are unrelated. None of them contradicts the family file." in said
    assert "`demo-math` and `demo-math-lora`: cosine 0.40" in said
    assert "above the chord in 0 of 45 tasks between relatives and in 3 of 3 tasks to an unrelated model" in said


def test_verdicts_stand_below_the_diagonal_and_the_tree_is_connected(app: App, small: Path) -> None:
    test = app(small, "relations")
    grid = next(chart for chart in charts(test) if chart["data"][0].get("texttemplate") == "%{text}")
    cells = [word for row in grid["data"][0]["text"] for word in row if word]
    assert (len(cells), cells.count("unrelated")) == (21, 6)
    tree = next(chart for chart in charts(test) if any(t.get("mode") == "markers+text" for t in chart["data"]))
    assert sum(trace["mode"] == "lines" for trace in tree["data"]) == 5  # one to each descendant, none to the stranger
    labels = [label for trace in tree["data"] for label in trace.get("text", [])]
    assert any("demo-scratch" in label and "unrelated, p = " in label for label in labels)
    assert any("demo-math<" in label and "related, p &lt; 1e-299" in label for label in labels)


def test_the_choices_stand_in_the_address(app: App, small: Path) -> None:
    test = app(small, "relations", pair="demo-math – demo-math-lora", line="demo-base – demo-scratch")
    assert test.selectbox(key="choice_pair").value == "demo-math – demo-math-lora"
    assert "Chance: 0 ± 0.010" in words(test)
    tiles = next(chart for chart in charts(test) if any(t.get("name") == "chord" for t in chart["data"]))
    loss = [trace for trace in tiles["data"] if trace["mode"] == "lines+markers"]
    assert len(loss) == 3  # a tile per task
    assert all(trace["y"][2] > max(trace["y"][0], trace["y"][-1]) for trace in loss)  # a barrier
    assert not test.warning


MEMBERS = pd.DataFrame(
    [("b", "base", "b"), ("sft", "descendant", "b"), ("rl", "descendant", "b"), ("x", "unrelated", "b")],
    columns=["model_id", "role", "base_id"],
)


def lineage(**verdicts: str) -> pd.DataFrame:
    rows = [("b", name, verdict, 1e-300, None, 0.1) for name, verdict in verdicts.items()]
    return pd.DataFrame(rows, columns=["model_a", "model_b", "verdict", "p_exact", "p_match", "distance"])


def pairs(undone: float | None) -> pd.DataFrame:
    row = {"model_a": "sft", "model_b": "rl", "cosine": 0.9, "cosine_chance": 0.01, "matrices": 4}
    return pd.DataFrame([row | {"matrices_beyond_chance": 4, "undone": undone, "undone_chance": 0.02}])


def test_a_stage_hangs_on_the_stage_before() -> None:
    tested = lineage(sft="related", rl="related", x="unrelated")
    nodes = {node.model: node for node in relation_frames.tree(MEMBERS, tested, pairs(0.3))}
    assert {name: node.parent for name, node in nodes.items()} == {"b": "", "sft": "b", "rl": "sft", "x": ""}
    assert nodes["sft"] == Node("sft", "b", 0.1, "related", "related, p < 1e-299")
    assert "`rl` took back 30.0 % of what `sft` had changed (chance: 0 ± 2.0)" in relation_frames.alike_sentence(
        pairs(0.3)
    )
    assert "took back" not in relation_frames.alike_sentence(pairs(0.03))  # within chance


@pytest.mark.parametrize(("name", "verdict"), [("x", "related"), ("sft", "unrelated")])
def test_a_verdict_against_the_family_file_is_said(name: str, verdict: str) -> None:
    said = relation_frames.lineage_sentence(MEMBERS, lineage(**{name: verdict}))
    assert f"Against what the family file says: `b` and `{name}`." in said


def test_without_rows_the_page_says_what_is_missing(app: App, registered_only: Path) -> None:
    test = app(registered_only, "relations")
    assert not test.exception
    assert "No two models stand beside each other yet" in words(test)


def test_a_model_beyond_the_axis_of_the_tree_is_an_arrow() -> None:
    nodes = [
        Node("b", "", 0.0, "", "the base"), Node("sft", "b", 0.2, "related", ""),
        Node("near", "", 0.1, "unrelated", ""), Node("far", "", 1.4, "unrelated", ""),
    ]  # fmt: skip
    (drawn,) = [t for t in figures.tree(nodes, "light").to_dict()["data"] if t.get("name") == "unrelated"]
    assert drawn["marker"]["symbol"] == ["x", "triangle-right"]
    assert drawn["x"] == [0.1, 0.2]
