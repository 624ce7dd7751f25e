"""Choices live in the address: they are taken from it, checked, written to it, and follow from page to page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from streamlit.testing.v1 import AppTest

from .conftest import HOSTILE, PAGES, charts, open_page, words

App = Callable[..., AppTest]
VIEW = {"family": "demo", "model": "demo-math", "base": "demo-base", "scale": "ratio_cv", "layer": "3", "matrix": "up"}


def test_the_address_makes_the_view(app: App, small: Path) -> None:
    test = app(small, "scale", **VIEW)
    assert test.selectbox(key="choice_model").value == "demo-math"
    assert test.selectbox(key="choice_layer").value == 3
    assert test.selectbox(key="choice_matrix").value == "up"
    assert test.subheader[0].value == "Layer 3, `up`"
    assert {k: test.query_params[k] for k in VIEW} == VIEW


def test_the_same_address_makes_the_same_view(app: App, small: Path) -> None:
    first = app(small, "rotation", model="demo-reasoning", layer="2", matrix="o", rotation="leak")
    second = app(small, "rotation", **first.query_params)
    assert charts(first) == charts(second)
    assert words(first) == words(second)


def test_a_choice_is_written_to_the_address(app: App, small: Path) -> None:
    test = app(small, "scale")
    test.selectbox(key="choice_model").set_value("demo-math").run()
    test.selectbox(key="choice_layer").set_value(5).run()
    test.segmented_control(key="choice_scale").set_value("unexplained").run()
    assert test.query_params["model"] == "demo-math"
    assert test.query_params["layer"] == "5"
    assert test.query_params["scale"] == "unexplained"
    assert not test.warning


def test_defaults_stay_out_of_the_address(app: App, small: Path) -> None:
    test = app(small, "scale")
    assert set(test.query_params) <= {"families", "family", "model", "base", "layer", "matrix"}


def test_an_emptied_box_stays_empty(app: App, small: Path) -> None:
    test = app(small, "families")
    test.multiselect(key="choice_families").set_value([]).run()
    assert "No family is picked" in words(test)
    assert "No family is picked" in words(app(small, "families", **test.query_params))


def test_what_does_not_exist_is_named_and_ignored(app: App, small: Path) -> None:
    for value in ("demo-nobody", "' OR 1=1 --", HOSTILE[0]):
        test = app(small, "scale", model=value, layer="99", scale="alpha_median; DROP TABLE models")
        assert not test.exception
        assert len(test.warning) == 3
        assert "which is not in the warehouse" in test.warning[0].value
        assert test.selectbox(key="choice_model").value == "demo-instruct"


def test_another_family_or_model_is_no_error(app: App, small: Path) -> None:
    test = app(small, "edits", model="demo-math")
    test.selectbox(key="choice_model").set_value("demo-reasoning").run()
    assert not test.warning
    assert test.query_params["model"] == "demo-reasoning"


def test_choices_follow_to_another_page(app: App, small: Path) -> None:
    test = app(small, "scale")
    test.selectbox(key="choice_model").set_value("demo-reasoning").run()
    test.selectbox(key="choice_layer").set_value(4).run()
    test.query_params.clear()  # as Streamlit does when a page of the menu is opened
    open_page(test, "rotation")
    assert test.selectbox(key="choice_model").value == "demo-reasoning"
    assert test.selectbox(key="choice_layer").value == 4
    assert test.query_params["model"] == "demo-reasoning"


def test_going_back_in_the_browser_goes_back(app: App, small: Path) -> None:
    """On the same page the address alone counts, so that an earlier one brings the earlier view."""
    test = app(small, "scale")
    test.segmented_control(key="choice_scale").set_value("unexplained").run()
    del test.query_params["scale"]
    test.run()
    assert test.segmented_control(key="choice_scale").value == "alpha_median"


def test_pages_do_not_narrow_each_other(app: App, small: Path) -> None:
    """Models shows all families unless told otherwise; Families has choices of its own."""
    test = app(small, "models")
    test.query_params.clear()
    open_page(test, "families")
    assert test.multiselect(key="choice_families").value == ["demo"]
    assert charts(test)


def test_choices_of_one_page_suit_every_other_page(app: App, small: Path) -> None:
    """Two pages that call different choices alike would take each other's."""
    test = app(small, PAGES[0])
    for page in (*PAGES[1:], *reversed(PAGES[:-1])):
        test.query_params.clear()
        open_page(test, page)
        assert not test.exception, page
        assert "Nothing to draw" not in words(test), page


def test_an_address_holds_only_what_its_page_asks_for(app: App, small: Path) -> None:
    """The browser may send what the page before wrote late, and the page before may have left something unsettled."""
    test = app(small, "compare")
    assert set(test.query_params) == {"left", "right"}
    test.session_state["waiting_for_the_address"] = {"left": ["demo-math · demo-base"]}
    test.query_params["model"] = "demo-math"
    open_page(test, "scale")
    assert test.query_params["model"] == "demo-math"
    assert not {"left", "right"} & set(test.query_params)


def test_what_a_part_of_the_page_does_not_ask_for_stays(app: App, small: Path) -> None:
    """A part that is drawn again alone asks for its own choices only."""
    test = app(small, "edits", model="demo-math")
    test.toggle(key="choice_secondary").set_value(True).run()
    assert test.query_params["model"] == "demo-math"
    assert test.query_params["secondary"] == "1"
