"""Agreement, energy and noise on Rotation and Scale: the stored numbers, and what decides nothing is grey."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from dashboard import colours, queries
from dashboard.figures import agreement, heat, spectrum
from dashboard.figures.frame import bulk, near
from dashboard.quantities import QUANTITIES
from dashboard.source import Source
from resources.warehouse.query import rows
from resources.warehouse.summaries.measures import APART, TOGETHER
from rotoscale.multiple import called_apart, called_together

from .conftest import charts, rows_of, words

App = Callable[..., AppTest]
PAIR = ("demo-reasoning", "demo-base")


def test_the_condition_on_rows_is_the_rule_of_the_science(source: Source) -> None:
    found = rows(source.connection, f"SELECT tau, q_together, q_apart, {TOGETHER} AS t, {APART} AS a FROM agreement")
    assert len(found) > 100
    for row in found:
        assert bool(row["t"]) == called_together(row["tau"], row["q_together"])
        assert bool(row["a"]) == called_apart(row["tau"], row["q_apart"])
    assert any(row["t"] for row in found)
    assert any(row["a"] for row in found)


def test_tau_is_the_first_map_and_what_decides_nothing_is_grey(app: App, small: Path) -> None:
    test = app(small, "rotation", model=PAIR[0])
    assert not test.exception
    assert test.segmented_control(key="choice_rotation").value == "tau"
    first, _, grey = charts(test)[0]["data"]
    stored = {(r["matrix"], r["layer"]): r for r in rows_of(small, "agreement", PAIR[0])}
    for i, matrix in enumerate(first["y"]):
        for j, layer in enumerate(first["x"]):
            row = stored[matrix, layer]
            decided = called_together(row["tau"], row["q_together"]) or called_apart(row["tau"], row["q_apart"])
            assert (first["z"][i][j] is None) is not decided
            assert (grey["z"][i][j] == 1) is not decided
            assert first["text"][i][j] == f"{row['tau']:.3f}"
            if decided:
                assert first["z"][i][j] == pytest.approx(row["tau"])
    assert "Grey cells are undecided" in words(test)


def test_the_energy_is_stored_shares_that_sum_to_one_beside_those_of_noise(source: Source, small: Path) -> None:
    data = queries.energy(source, *PAIR)
    assert data[list(queries.PARTS)].sum(axis=1).to_numpy() == pytest.approx(1.0)
    (row,) = [r for r in rows_of(small, "agreement", PAIR[0]) if (r["layer"], r["matrix"]) == (3, "up")]
    shown = data.set_index(["layer", "matrix"]).loc[(3, "up")]
    assert shown["shared"] == pytest.approx(row["share_shared"])
    assert shown["shared_expected"] == pytest.approx(row["share_shared_expected"])
    bars = [t for t in agreement.energy(data).to_dict()["data"] if t["type"] == "bar"]
    layers, noise = bars[4], bars[5]
    assert layers["name"] == "both sides together"
    assert sum(layers["y"]) == pytest.approx(data["shared"].sum())
    assert noise["y"][0] == pytest.approx(data.loc[data["matrix"] == "q", "shared_expected"].iloc[0])
    assert queries.energy(source, "demo-base", "demo-base").empty


def test_a_model_without_nf_still_has_its_agreement(app: App, small: Path, tmp_path: Path) -> None:
    """As at standard depth, where the post model's vectors are not computed."""
    import shutil

    from tests.synthetic import open_store, publish

    shutil.copytree(small / "tables", tmp_path / "tables")
    store = open_store(tmp_path)
    for key in store.models("rotation_statistics"):
        bare = [
            {
                k: v
                for k, v in row.items()
                if k in ("model_id", "base_id", "layer", "matrix", "expert", "relative_change")
            }
            for row in store.read("rotation_statistics", key)
        ]
        store.write("rotation_statistics", key, bare, run_id="", code_version="")
    publish(store, tmp_path / "published")
    test = app(tmp_path, "rotation", model=PAIR[0])
    assert not test.exception
    assert not test.warning
    assert test.segmented_control(key="choice_rotation").options[0] == QUANTITIES["tau"].label
    assert QUANTITIES["nf"].label not in test.segmented_control(key="choice_rotation").options
    assert "At standard depth" in words(test)
    assert len(charts(test)) >= 2


def test_one_value_has_one_colour_whatever_else_is_shown() -> None:
    quantity = QUANTITIES["alpha_median"]
    data = pd.DataFrame({"layer": [0, 1], "matrix": "q", "value": [1.0, 1.01], "matrices": 1})
    wide = data.assign(value=[1.0, 9.0])
    fixed = [heat.layer_map(d, quantity).to_dict()["data"][0] for d in (data, wide)]
    assert {(t["zmin"], t["zmax"]) for t in fixed} == {(0.75, 1.25)}
    free = [heat.layer_map(d, quantity, free=True).to_dict()["data"][0] for d in (data, wide)]
    assert free[0]["zmax"] < free[1]["zmax"]


def test_a_small_value_differs_in_colour_from_none_on_a_fixed_scale() -> None:
    scale = colours.steep("light", around=True)
    places = [place for place, _ in scale]
    assert places == sorted(places)
    assert (places[0], places[-1]) == (0.0, 1.0)

    def colour(at: float) -> str:
        return next(c for place, c in scale if place >= at)

    assert colour(0.5) != colour(0.5 + 0.5 * 0.02)


def test_ratios_by_layer_and_place_in_the_spectrum(source: Source, small: Path) -> None:
    data = queries.ratios(source, *PAIR, "o", -1)
    (row,) = [r for r in rows_of(small, "scale_statistics", PAIR[0]) if (r["layer"], r["matrix"]) == (2, "o")]
    (cell,) = data[(data["layer"] == 2) & (data["bin"] == 5)].to_dict("records")
    stretch = row["ratio"][int(cell["first"]) - 1 : int(cell["last"])]
    assert cell["ratio"] == pytest.approx(statistics.median(stretch))
    assert cell["noise"] == pytest.approx(row["ratio_cv_noise"])
    drawn, grey = spectrum.ratio_map(data, reach=0.25).to_dict()["data"]
    for values, tones in zip(drawn["z"], grey["z"], strict=True):
        for value, tone in zip(values, tones, strict=True):
            assert (value is None) is (tone == 1)
            assert value is None or abs(value - 1) > 2 * row["ratio_cv_noise"]


@pytest.mark.parametrize("size", [(300, 300), (400, 200)])
def test_the_law_of_marchenko_and_pastur_is_that_of_a_random_matrix(size: tuple[int, int]) -> None:
    """Against the singular values of a drawn matrix: the law's quantiles, and that it integrates to one."""
    values = np.linalg.svd(np.random.default_rng(0).normal(size=size), compute_uv=False)
    x, y = spectrum.marchenko_pastur(*size, float(np.linalg.norm(values)), points=4000)
    cumulated = np.concatenate([[0], np.cumsum((np.diff(np.log(x))) * (np.array(y)[1:] + np.array(y)[:-1]) / 2)])
    assert cumulated[-1] == pytest.approx(1, abs=0.01)
    for share in (0.25, 0.5, 0.75, 0.95):
        assert np.interp(share, cumulated, x) == pytest.approx(np.quantile(values, share), rel=0.03)
    assert spectrum.marchenko_pastur(3, 3, 0.0) == ([], [])


def test_a_density_counts_every_value(source: Source) -> None:
    bars = queries.densities(source, *PAIR, 1, "q", -1)
    for whose in ("base", "post"):
        mine = bars[bars["whose"] == whose]
        width = np.log(bars["value"].max() / bars["value"].min()) / (round(math.sqrt(128) + 0.5) - 1)
        assert mine["density"].sum() * width == pytest.approx(1, rel=0.02)


def test_one_tiny_value_does_not_flatten_the_rest() -> None:
    values = [1.0 + 0.01 * (i % 5) for i in range(100)] + [40.0]
    low, high = bulk(values)
    assert low < 1.0
    assert high < 1.2
    data = pd.DataFrame({"component": range(1, 102), "ratio": values})
    chart = spectrum.ratio(data, alpha=1.0, low=1.0, high=1.04, noise=0.01).to_dict()
    assert chart["layout"]["yaxis"]["range"][1] < 1.2
    assert chart["data"][1]["customdata"] == [40.0]


def test_a_collapse_leaves_room_for_small_differences() -> None:
    values, errors = pd.Series([0.85, 0.86, 0.87, 0.855, 0.02]), pd.Series([0.005] * 5)
    low, high = near(values, errors, 0.85)
    assert 0.8 < low < 0.85
    assert 0.87 < high < 0.9
    low, high = near(pd.Series([0.85, 0.86, 0.02]), pd.Series([0.005] * 3), 0.02)
    assert low < 0.02
