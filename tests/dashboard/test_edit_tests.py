"""Edits and scores: verdicts with corrected p, controls' draws, single documents, and axes that survive a collapse."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from dashboard import colours, queries
from dashboard.figures import forest, score
from dashboard.source import Source
from rotoscale.multiple import LEVEL, benjamini_hochberg
from tests.synthetic import open_store, publish

from .conftest import charts, rows_of, words
from .test_catalogue import changed, source_of

App = Callable[..., AppTest]
PAIR = ("demo-math", "demo-base")


def test_q_values_are_over_all_edits_and_tasks(source: Source, small: Path) -> None:
    found = queries.edit_verdicts(source, PAIR[0])
    stored = [r for r in rows_of(small, "evaluation_contrasts", PAIR[0]) if r["relation"] == "edit against post"]
    assert len(found) == len(stored) == 15
    q_values = benjamini_hochberg([row["p_value"] for row in stored])
    by_hand = {(row["subject_id"], row["task"]): q for row, q in zip(stored, q_values, strict=True)}
    for row in found.itertuples():
        assert row.q_value == pytest.approx(by_hand[row.edit_id, row.task])
        if row.recipe != "replace-scale":
            sign = "better" if row.difference > 0 else "worse"
            assert row.verdict == (sign if row.q_value < LEVEL else "undecided")
    assert {"worse", "undecided"} <= set(found["verdict"])


@pytest.mark.parametrize(
    ("p", "difference", "higher", "p_equivalent", "verdict"),
    [
        (1e-9, -0.1, True, 0.9, "worse"), (1e-9, -0.1, False, 0.9, "better"), (1e-9, 0.1, True, None, "better"),
        (0.9, -0.001, True, 0.01, "as good"), (1e-9, -0.001, True, 0.01, "worse, within the margin"),
        (0.9, -0.1, True, 0.9, "undecided"), (0.9, -0.1, True, None, "undecided"),
        (None, -0.1, True, None, "undecided"),
    ],
)  # fmt: skip
def test_the_verdict_on_an_edit(
    small: Path, tmp_path: Path, p: float, difference: float, higher: bool, p_equivalent: float | None, verdict: str
) -> None:
    """One cell set by hand, whatever the other fourteen say."""
    edit, task = f"{PAIR[0]}.replace-scale", "synthetic_sums"
    data = changed(
        tmp_path / "data", small,
        f"UPDATE evaluation_contrasts SET p_value = {sql(p)}, difference = {difference}, higher_is_better = {higher} "
        f"WHERE subject_id = '{edit}' AND reference_id = '{PAIR[0]}' AND task = '{task}'",
        f"UPDATE equivalence SET p_value = {sql(p_equivalent)} WHERE edit_id = '{edit}' AND task = '{task}'",
    )  # fmt: skip
    rows = queries.edit_verdicts(source_of(data), PAIR[0])
    (row,) = rows[(rows["edit_id"] == edit) & (rows["task"] == task)].to_dict("records")
    assert row["verdict"] == verdict


@pytest.mark.parametrize(
    ("q_worse", "q_no_worse", "verdict"),
    [(0.01, 0.9, "worse than its control"), (0.9, 0.01, "no more than its control"), (0.2, 0.2, "undecided"),
     (None, None, "")],
)  # fmt: skip
def test_the_verdict_against_the_mirror_control(
    small: Path, tmp_path: Path, q_worse: float | None, q_no_worse: float | None, verdict: str
) -> None:
    data = changed(
        tmp_path / "data", small,
        f"UPDATE control_tests SET q_difference = {sql(q_worse)}, q_no_worse = {sql(q_no_worse)} "
        "WHERE control = 'mirror'",
        "UPDATE control_tests SET q_difference = 0.0001 WHERE control = 'noise'",
    )  # fmt: skip
    rows = queries.edit_verdicts(source_of(data), PAIR[0])
    disruptive = rows["recipe"].str.contains("disrupt")
    assert set(rows.loc[disruptive, "control_verdict"]) == {verdict}
    assert set(rows.loc[~disruptive, "control_verdict"]) == {""}


def sql(value: float | None) -> str:
    return "NULL" if value is None else str(value)


def test_the_page_shows_them_with_the_controls_and_documents(app: App, small: Path) -> None:
    test = app(small, "edits", model=PAIR[0])
    assert not test.exception
    shown = words(test)
    for heading in ("Edits against the post model", "Disruptive edits beside their controls", "Single documents"):
        assert heading in shown
    assert f"disrupt-left breaks {PAIR[0]}".replace("-", "\\-") in shown
    tables = [frame.value for frame in test.dataframe]
    (verdicts,) = [t for t in tables if "control_verdict" in t]
    assert set(verdicts.loc[verdicts["control_verdict"].notna(), "label"]) == {"disrupt-left", "disrupt-right"}
    assert "[Single\u00a0documents](#documents)" in shown


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
    draws = queries.control_losses(source, PAIR[0])
    assert (draws["control"] == "edit").sum() == 6
    chart = forest.controls(draws).to_dict()
    bands = [s for s in chart["layout"]["shapes"] if s["type"] == "rect"]
    assert len(bands) == 12  # two edits, two controls, three tasks
    first = draws["task"] == draws["task"].iloc[0]
    mine = draws[first & (draws["recipe"] == "disrupt-left") & (draws["control"] == "mirror")]
    assert (bands[0]["x0"], bands[0]["x1"]) == pytest.approx((mine["loss"].min(), mine["loss"].max()))


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


def test_an_edit_has_the_colour_of_its_verdict_in_the_figure_and_in_the_table(source: Source) -> None:
    data = queries.edit_verdicts(source, PAIR[0]).assign(panel="t", task="t", difference=0.01, stderr=0.01)
    words = ["worse", "better", "as good", "undecided", "worse, within the margin"]
    data = data.head(len(words)).assign(label=words, verdict=words)
    (points,) = [t for t in forest.differences(data).to_dict()["data"] if t["mode"] == "markers"]
    red, green, grey = (colours.VERDICTS[word] for word in ("refuted", "supported", "undecided"))
    assert points["marker"]["color"] == [red, green, green, grey, green]
    for tone, word in zip(points["marker"]["color"], words, strict=True):
        assert tone in colours.of_test(word)


def test_draws_of_two_controls_do_not_look_alike(source: Source) -> None:
    found = {t["name"]: t["marker"] for t in forest.controls(queries.control_losses(source, PAIR[0])).to_dict()["data"]}
    mirror, noise = found[colours.MIRROR], found[colours.NOISE]
    assert mirror["symbol"] != noise["symbol"]
    assert mirror["color"] != noise["color"]


def test_a_p_that_is_0_is_said_to_be_below_something(app: App, small: Path, tmp_path: Path) -> None:
    shutil.copytree(small, tmp_path / "data")
    store = open_store(tmp_path / "data")
    for key in store.models("evaluation_contrasts"):
        rows = [row | {"p_value": 0.0} for row in store.read("evaluation_contrasts", key)]
        store.write("evaluation_contrasts", key, rows, run_id="", code_version="")
    publish(store, tmp_path / "data" / "published")
    tables = app(tmp_path / "data", "edits", model=PAIR[0]).dataframe
    shown = [table.proto.arrow_data.styler.display_values for table in tables if "p_value" in table.value]
    assert shown
    assert all(b"< 1e-299" in values for values in shown)
