"""Page, report and command line say the same of one comparison, and it is what the rows say."""

from __future__ import annotations

import io
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from streamlit.testing.v1 import AppTest

from command_line import show
from dashboard.report import write_report
from resources.warehouse import read
from resources.warehouse.summaries import by_matrix_type, overall, summarize, where_changed, where_in_words
from tests import synthetic
from tests.synthetic import open_store, publish

from .conftest import rows_of

App = Callable[..., AppTest]
MODEL, BASE = "demo-math", "demo-base"


def relative_change(folder: Path, matrices: Iterable[str] | None = None) -> float:
    """|post - base| / |base| with every matrix's norm taken from the base's own singular values."""
    norms = {
        (r["layer"], r["matrix"], r["expert"]): np.linalg.norm(r["singular_values"])
        for r in rows_of(folder, "decompositions", BASE)
    }
    rows = [
        (r["relative_change"], norms[r["layer"], r["matrix"], r["expert"]])
        for r in rows_of(folder, "rotation_statistics", MODEL)
        if matrices is None or r["matrix"] in matrices
    ]
    changes, sizes = np.array(rows).T
    return float(np.sqrt(((changes * sizes) ** 2).sum() / (sizes**2).sum()))


def changed_in(change: dict[tuple[str, int], float], tmp_path: Path) -> str:
    """Where a model changed most whose matrices (type, layer) of equal norm changed that much."""
    store = open_store(tmp_path)
    pair = {"model_id": "m", "base_id": "b", "expert": -1}
    keys = [pair | {"matrix": matrix, "layer": layer} for matrix, layer in change]
    for table, column, values in (
        ("rotation_statistics", "relative_change", change.values()),
        ("scale_statistics", "alpha_frobenius", [1.0] * len(change)),
        ("decompositions", "frobenius_norm", [1.0] * len(change)),
    ):
        rows = [key | {column: value} for key, value in zip(keys, values, strict=True)]
        if table == "decompositions":
            rows = [{name: value for name, value in row.items() if name != "base_id"} for row in rows]
        store.write(table, "m", rows, run_id="", code_version="")
    publish(store, tmp_path / "published")
    with read(tmp_path / "published") as connection:
        (row,) = where_changed(connection).to_dict("records")
    return where_in_words(row)


def printed(draw: Callable[[Console], None]) -> str:
    console = Console(file=io.StringIO(), width=200)
    draw(console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_relative_change_is_one_number_everywhere(app: App, small: Path, tmp_path: Path) -> None:
    expected = relative_change(small)
    on_page = app(small, "families").dataframe[0].value.set_index("model_id").loc[MODEL, "relative_change"]
    assert on_page == pytest.approx(expected, rel=1e-6)
    report = write_report("demo", tmp_path / "report.html", small / "published").read_text(encoding="utf-8")
    rows = [line for line in report.splitlines() if f">{MODEL}<" in line and "<td" in line]
    assert any(f'<td class="number">{expected:.4f}</td>' in row for row in rows)
    with read(small / "published") as connection:
        summary = summarize(connection, MODEL, BASE)
    assert summary.overall["relative_change"] == pytest.approx(expected, rel=1e-6)
    in_overview = printed(lambda console: show.overview(console, [summary]))
    assert f" {expected:.4f} " in next(line for line in in_overview.splitlines() if line.split()[:1] == ["demo-math"])
    assert f"principal matrices: {expected:.4f}" in printed(lambda console: show.comparison(console, summary))


@pytest.mark.parametrize("matrix", ["q", "down"])
def test_so_it_is_of_one_matrix_type(small: Path, tmp_path: Path, matrix: str) -> None:
    expected = relative_change(small, [matrix])
    report = write_report(MODEL, tmp_path / "report.html", small / "published").read_text(encoding="utf-8")
    row = next(line for line in report.splitlines() if f'<td class="text">{matrix}</td>' in line)
    assert f'<td class="number">{expected:.4f}</td>' in row
    with read(small / "published") as connection:
        summary = summarize(connection, MODEL, BASE)
    (found,) = [r for r in summary.by_matrix_type if r["matrix"] == matrix]
    assert found["relative_change"] == pytest.approx(expected, rel=1e-6)
    assert f" {expected:.4f} " in printed(lambda console: show.comparison(console, summary))


def test_medians_are_the_same_numbers_too(app: App, small: Path, tmp_path: Path) -> None:
    scale, rotation = (rows_of(small, f"{name}_statistics", MODEL) for name in ("scale", "rotation"))
    alpha = statistics.median(r["alpha_median"] for r in scale)
    nf_over_null = statistics.median(r["nf_over_null"] for r in rotation)
    on_page = app(small, "families").dataframe[0].value.set_index("model_id").loc[MODEL]
    assert on_page[["alpha", "nf_over_null"]].tolist() == pytest.approx([alpha, nf_over_null])
    report = write_report("demo", tmp_path / "report.html", small / "published").read_text(encoding="utf-8")
    assert f'<td class="number">{alpha:.4f}</td>' in report
    assert f'<td class="number">{nf_over_null:.3f}</td>' in report
    with read(small / "published") as connection:
        line = printed(lambda console: show.overview(console, [summarize(connection, MODEL, BASE)]))
    assert f" {alpha:.4f} " in line
    assert f" {nf_over_null:.4f} " in line


def test_all_tensors_together_weigh_by_their_norm(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    pair = {"model_id": "m", "base_id": "b"}
    rows = [
        pair | {"tensor": name, "principal": False, "relative_change": change, "base_norm": norm}
        for name, change, norm in (("large", 0.1, 30.0), ("small", 1.0, 1.0), ("gone", float("nan"), 9.0))
    ]
    store.write("tensor_changes", "m", rows, run_id="", code_version="")
    publish(store, tmp_path / "published")
    with read(tmp_path / "published") as connection:
        found = summarize(connection, "m", "b")
    assert found.change_of_all_tensors == pytest.approx(np.hypot(3.0, 1.0) / np.hypot(30.0, 1.0))
    assert (found.matrices, found.overall["alpha"], found.outstanding) == (0, None, [])
    assert "gone" in printed(lambda console: show.comparison(console, found))


def test_a_forgotten_base_takes_no_number_away(tmp_path: Path) -> None:
    """The base's norms come from the rows of the model that is compared with it."""
    synthetic.small(tmp_path, shape=synthetic.Shape(layers=2))
    expected = relative_change(tmp_path)
    store = open_store(tmp_path)
    for table in ("decompositions", "scale_statistics", "rotation_statistics"):
        store.remove("0000", [table])
    publish(store, tmp_path / "published")
    with read(tmp_path / "published") as connection:
        assert overall(connection, MODEL, BASE)["relative_change"].tolist() == pytest.approx([expected], rel=1e-6)


def test_matrices_without_a_finite_number_are_left_out_of_it(tmp_path: Path) -> None:
    synthetic.small(tmp_path, shape=synthetic.Shape(layers=3))
    store = open_store(tmp_path)
    (key,) = [k for k in store.models("scale_statistics") if store.read("scale_statistics", k)[0]["model_id"] == MODEL]
    rows = store.read("scale_statistics", key)
    for row in rows:
        if row["layer"] == 0:
            row["alpha_median"] = float("inf")
    store.write("scale_statistics", key, rows, run_id="", code_version="")
    publish(store, tmp_path / "published")
    with read(tmp_path / "published") as connection:
        found = by_matrix_type(connection, MODEL, BASE).set_index("matrix")
    assert list(found.index) == ["q", "k", "v", "o", "gate", "up", "down"]
    values = [r["alpha_median"] for r in rows if r["matrix"] == "o" and r["layer"] > 0]
    assert found.loc["o", "alpha"] == pytest.approx(statistics.median(values))
    assert found.loc["o", "matrices"] == 3


def test_where_a_model_changed_most_is_a_type_and_a_layer(app: App, small: Path) -> None:
    with read(small / "published") as connection:
        row = next(row for row in where_changed(connection).to_dict("records") if row["model_id"] == MODEL)
        types = by_matrix_type(connection, MODEL, BASE).set_index("matrix")["relative_change"]
    assert row["most_matrix"] == types.idxmax()
    assert row["most_matrix_change"] == pytest.approx(relative_change(small, [row["most_matrix"]]), rel=1e-6)
    words = where_in_words(row)
    (on_card,) = [str(m.value) for m in app(small, "families").markdown if words.split(" (")[0] in str(m.value)][:1]
    assert on_card.startswith("moved")


def test_the_part_that_changed_most_is_named_where_it_did(tmp_path: Path) -> None:
    matrices = [("q", 0), ("q", 1), ("up", 0), ("up", 1)]
    said = {
        name: changed_in(dict(zip(matrices, changes, strict=True)), tmp_path / name)
        for name, changes in {
            "both": (0.01, 0.02, 0.03, 0.04), "layer": (0.01, 0.02, 0.01, 0.02), "even": (0.02,) * 4,
            "none": (0.0,) * 4,
        }.items()
    }  # fmt: skip
    assert said == {
        "both": "most in up (3.54 %) and layer 1 (3.16 %)",
        "layer": "most in layer 1 (2 %)",
        "even": "alike in all types and layers",
        "none": "alike in all types and layers",
    }
