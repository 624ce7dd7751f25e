"""Figures as data: what lines go through, which numbers they carry, and styles that can be told apart."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from dashboard import colours
from dashboard.figures import lines
from dashboard.figures.frame import beside, layer_axis, log_ticks, near, rounded, tile_step


def test_logarithmic_ticks_are_written_out() -> None:
    assert {"0.05", "0.1", "1"} <= set(log_ticks([0.04, 1.4])["ticktext"])
    assert log_ticks([0.0, 1.0]) == {"rangemode": "tozero"}
    assert log_ticks([None, math.nan]) == {"rangemode": "tozero"}
    assert [tile_step(v) for v in (0, 1, 7, 31, 79)] == [1, 0.5, 2, 10, 20]


def test_an_axis_of_layers_holds_them_all_and_no_more() -> None:
    assert layer_axis(0, 3)["range"] == [-0.5, 3.5]
    assert [layer_axis(0, last)["dtick"] for last in (39, 40, 99, 100)] == [1, 5, 5, 10]


def test_a_label_gets_the_room_of_what_is_read_not_of_its_markup() -> None:
    assert beside(["&lt;b&gt;"]) == beside(["<b>"]) < beside(["abcd"])


@pytest.mark.parametrize("value", [0.99812345678, -1234567.89, 1e-12, 3.0e-308, 0.0])
def test_rounding_keeps_six_digits(value: float) -> None:
    (found,) = rounded(pd.Series([value]))
    assert found == pytest.approx(value, rel=5e-6, abs=1e-300)
    assert len(str(float(found))) <= 12


def test_rounding_leaves_what_is_no_number() -> None:
    found = rounded(pd.Series([math.nan, math.inf, -math.inf]))
    np.testing.assert_array_equal(found, [math.nan, math.inf, -math.inf])


def test_small_multiples_go_through_every_tile_in_order_whatever_the_order_of_the_rows() -> None:
    data = pd.DataFrame(
        [(m, layer, i, layer + 10 * i) for layer in (2, 0, 1) for i in (0, 1) for m in ("down", "q")],
        columns=["matrix", "layer", "line", "value"],
    )
    data["line"] = data["line"].map({0: "a", 1: "b"})
    chart = lines.multiples(data, series="line", styles=colours.assigned(["a", "b"]), y_title="y").to_dict()
    first, second = chart["data"]
    assert first["y"] == [0, 1, 2, None, 0, 1, 2, None]
    assert second["y"] == [10, 11, 12, None, 10, 11, 12, None]
    assert first["customdata"][:4] == ["q, layer 0", "q, layer 1", "q, layer 2", None]
    assert first["x"][:3] == [0, 1, 2]
    assert first["x"][4] > 2


def test_a_gap_in_the_numbers_is_a_gap_in_the_line() -> None:
    data = pd.DataFrame({"matrix": "q", "layer": [0, 1, 2], "line": "a", "value": [1.0, math.nan, math.inf]})
    (line,) = lines.multiples(data, series="line", styles=colours.assigned(["a"]), y_title="y").to_dict()["data"]
    assert line["y"] == [1.0, None, None, None]


def test_styles_differ_past_the_eighth() -> None:
    assert len(set(colours.assigned(map(str, range(32))).values())) == 32


def test_an_axis_of_what_is_never_negative_has_no_negative_ticks() -> None:
    errors = pd.Series([0.1] * 3)
    low, high = near(pd.Series([0.0, 20.0, 23.0]), errors)
    assert -0.05 * high < low <= 0
    assert near(pd.Series([-5.0, 20.0, 23.0]), errors)[0] < -5
    assert near(pd.Series([20.0, 22.0, 23.0]), errors)[0] > 19


def test_distances_stand_on_a_logarithmic_axis_and_none_at_its_edge() -> None:
    data = pd.DataFrame({"series": "a", "layer": [0, 1, 2], "value": [0.0, 0.002, 0.4]})
    chart = lines.along(data, series=["a"], styles=colours.assigned(["a"]), y_title="1 - CKA", same=1e-6).to_dict()
    (line,) = chart["data"]
    assert chart["layout"]["yaxis"]["type"] == "log"
    assert line["y"] == [0.001, 0.002, 0.4]
    assert line["customdata"] == [0.0, 0.002, 0.4]
    assert [mark == "triangle-down" for mark in line["marker"]["symbol"]] == [True, False, False]


def test_nothing_but_equal_representations_can_be_drawn() -> None:
    data = pd.DataFrame({"series": "a", "layer": [0, 1], "value": [0.0, -1e-12]})
    chart = lines.along(data, series=["a"], styles=colours.assigned(["a"]), y_title="1 - CKA", same=1e-6).to_dict()
    assert chart["data"][0]["y"] == [1e-6, 1e-6]
