"""Edits and scores: verdicts with corrected p, controls' draws, single documents, and axes that survive a collapse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from dashboard import queries
from dashboard.figures import forest, score
from dashboard.source import Source
from rotoscale.multiple import LEVEL, benjamini_hochberg

from .conftest import charts, rows_of, words

App = Callable[..., AppTest]
PAIR = ("demo-math", "demo-base")


def test_q_values_are_over_all_edits_and_tasks_and_verdicts_follow_them(source: Source, small: Path) -> None:
    found = queries.edit_verdicts(source, PAIR[0])
    stored = [r for r in rows_of(small, "evaluation_contrasts", PAIR[0]) if r["relation"] == "edit against post"]
    assert len(found) == len(stored) == 15
    by_hand = dict(
        zip(
            [(r["subject_id"], r["task"]) for r in stored],
            benjamini_hochberg([r["p_value"] for r in stored]),
            strict=True,
        )
    )
    for row in found.itertuples():
        assert row.q_value == pytest.approx(by_hand[row.edit_id, row.task])
        different = row.q_value < LEVEL
        equal = row.recipe == "replace-scale"
        sign = "better" if row.difference > 0 else "worse"
        expected = {
            (True, False): sign, (False, False): "undecided", (False, True): "as good",
            (True, True): f"{sign}, within the margin",
        }[different, equal]  # fmt: skip
        assert row.verdict == expected
        disruptive = "disrupt" in row.recipe
        assert row.control_verdict == (
            "" if not disruptive else "worse than its control" if row.task == "synthetic_sums" else "undecided"
        )


def test_the_page_shows_them_with_the_controls_and_documents(app: App, small: Path) -> None:
    test = app(small, "edits", model=PAIR[0])
    assert not test.exception
    shown = words(test)
    for heading in ("Edits against the post model", "Disruptive edits beside their controls", "Single documents"):
        assert heading in shown
    assert f"Disrupting {PAIR[0]} costs more than its control".replace("-", "\\-") in shown
    tables = [frame.value for frame in test.dataframe]
    (verdicts,) = [t for t in tables if "control_verdict" in t]
    assert set(verdicts.loc[verdicts["control_verdict"] != "", "recipe"]) == {"disrupt-left", "disrupt-right"}
    assert "[Single documents](#documents)" in shown


def test_documents_are_those_that_both_were_scored_on(source: Source, small: Path) -> None:
    edit, task = f"{PAIR[0]}.disrupt-left", "synthetic_sums"
    found = queries.documents(source, *PAIR, edit, task).set_index("doc_id")
    samples = rows_of(small, "evaluation_samples", PAIR[0])
    scores = {(r["subject_id"], r["doc_id"]): r["score"] for r in samples if r["task"] == task}
    assert len(found) == 5
    for doc, row in found.iterrows():
        assert row["post_score"] == scores[PAIR[0], doc]
        assert row["edit_score"] == scores[edit, doc]
        assert row["lost"] == row["post_score"] - row["edit_score"]
    assert found["lost"].is_monotonic_decreasing
    assert found["base_score"].notna().all()


def test_a_loss_is_a_loss_where_lower_is_better(small: Path, tmp_path: Path) -> None:
    import shutil

    from tests.synthetic import open_store, publish

    shutil.copytree(small / "tables", tmp_path / "tables")
    store = open_store(tmp_path)
    for key in store.models("evaluation_scores"):
        scores = [row | {"higher_is_better": False} for row in store.read("evaluation_scores", key)]
        store.write("evaluation_scores", key, scores, run_id="", code_version="")
    lower = Source(publish(store, tmp_path / "published").path)
    edit = f"{PAIR[0]}.disrupt-left"
    found = queries.documents(lower, *PAIR, edit, "synthetic_sums")
    assert (found["lost"] == found["edit_score"] - found["post_score"]).all()


def test_a_control_is_a_band_over_all_its_draws(source: Source) -> None:
    draws = queries.control_draws(source, PAIR[0])
    assert (draws["control"] == "edit").sum() == 6
    chart = forest.controls(draws).to_dict()
    bands = [s for s in chart["layout"]["shapes"] if s["type"] == "rect"]
    assert len(bands) == 12  # two edits, two controls, three tasks
    mine = draws[(draws["recipe"] == "disrupt-left") & (draws["control"] == "mirror")]
    assert (bands[0]["x0"], bands[0]["x1"]) == pytest.approx((mine["change"].min(), mine["change"].max()))


def test_an_edit_that_collapsed_stands_at_the_edge_with_its_score() -> None:
    data = pd.DataFrame(
        {
            "panel": "t", "name": ["base", "post", "a", "b", "c", "gone"], "stderr": 0.005, "label": "x",
            "value": [0.85, 0.86, 0.855, 0.865, 0.86, 0.02], "kind": ["base", "post", *["edit"] * 4],
        }
    )  # fmt: skip
    chart = score.dots(data).to_dict()
    low, high = chart["layout"]["xaxis"]["range"]
    assert low > 0.8
    (arrow,) = [t for t in chart["data"] if t["mode"] == "markers+text"]
    assert (arrow["y"], arrow["text"], arrow["x"]) == (["gone"], ["0.02"], [low])
    inside = [x for t in chart["data"] if t["mode"] == "markers" for x in t["x"]]
    assert sorted(inside) == [0.85, 0.855, 0.86, 0.86, 0.865]
    assert high > 0.865


def test_prediction_and_measurement_are_a_scatter(app: App, small: Path) -> None:
    test = app(small, "edits", model=PAIR[0])
    (chart,) = [c for c in charts(test) if "predicted temperature" in str(c["layout"]["xaxis"].get("title"))]
    heads = chart["data"][0]
    stored = rows_of(small, "attention_temperature", PAIR[0])
    assert sorted(heads["y"]) == pytest.approx(sorted(r["entropy_post"] - r["entropy_base"] for r in stored))
