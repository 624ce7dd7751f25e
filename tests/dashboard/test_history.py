"""Back and Forward step through what was chosen, once per choice, and every address brings its view again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from tests import synthetic

from .test_browser import PATIENCE, choose, place_of, settled

Serve = Callable[[Path], str]
Act = Callable[[Any], None]

SEEN = """() => {
    const main = document.querySelector('[data-testid="stMain"]');
    return [
        location.pathname + [...new URLSearchParams(location.search)].map(String).sort().join(' '),
        ...[...main.querySelectorAll('h3')].map(found => found.innerText),
        ...[...main.querySelectorAll('input[role="combobox"]')].map(found => `${found.ariaLabel}: ${found.value}`),
        ...[...main.querySelectorAll('[data-tag]')].map(found => found.ariaLabel),
        ...[...main.querySelectorAll('[role="radio"][aria-checked="true"]')].map(found => found.innerText),
        ...[...main.querySelectorAll('input[type="checkbox"]')].map(found => `${found.ariaLabel}: ${found.checked}`),
    ];
}"""
"""The address, and what is said and chosen on the page; figures follow from these and are tested elsewhere."""


@pytest.fixture(scope="session")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two families of three layers."""
    folder = tmp_path_factory.mktemp("two")
    other = [synthetic.Model("other-base", "other", "base", "other-base", "base")]
    other += [synthetic.Model(f"other-{method}", "other", method, "other-base") for method in ("instruct", "math")]
    synthetic.small(folder, shape=synthetic.Shape(layers=3, rank=20, picture=8), extra=other)
    return folder


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE)
    yield context.new_page()
    context.close()


def box(label: str, option: str) -> Act:
    """Choose from a selection box; of one that takes several, one more."""
    return lambda page: choose(page, label, option)


def button(name: str) -> Act:
    return lambda page: page.get_by_role("radio", name=name).first.click()


def toggle(name: str) -> Act:
    return lambda page: page.locator('[data-testid="stCheckbox"]', has_text=name).first.click()


def cell(layer: int, row: int) -> Act:
    """Click a cell of the heat map."""
    return lambda page: page.mouse.click(*place_of(page, layer, row))


CHOICES: dict[str, list[Act]] = {
    "claims": [box("Model or family", "demo-math"), box("One claim", "HC3"), box("Verdicts", "refuted")],
    "families": [box("Sort by", "Registry order"), toggle("Relative depth"), box("Methods", "math")],
    "scale": [
        box("Family", "other"), box("Model", "other-math"), box("Layer", "2"), box("Matrix", "gate"),
        button("Unexplained by α"), cell(0, 1), toggle("Numerical floor"), box("Set off", "up"),
    ],
    "rotation": [box("Model", "demo-reasoning"), box("Layer", "0"), cell(1, 2), button("NF / null"), button("free")],
    "compare": [box("Left", "demo-reasoning"), box("Right", "other-math"), box("Shown", "Relative change")],
    "edits": [
        box("Model", "demo-math"), box("Family", "other"), toggle("Controls"), box("Prompt", "1:"),
        toggle("Secondary metrics"),
    ],
    "circuits": [box("Model", "demo-math"), box("Step", "B"), box("Head", "1.1"), button("counterfactual")],
    "relations": [
        box("Family", "other"), box("Family", "demo"), box("Two descendants", "demo-instruct – demo-reasoning"),
        box("From one", "demo-base – demo-math"),
    ],
    "models": [box("Status", "ready"), box("Model", "other-math"), box("Families", "other")],
}  # fmt: skip


def seen(page: Any) -> list[str]:
    page.get_by_text("Published version").wait_for()
    page.wait_for_function("() => !document.querySelector('[data-testid=\"stSkeleton\"]')")
    settled(page)
    found: list[str] = page.evaluate(SEEN)
    return found


def step(page: Any, act: Act) -> list[str]:
    """What stands after a choice, whose address is another one."""
    page.wait_for_function("() => !document.querySelector('[role=\"listbox\"]')")  # a list that closes takes clicks
    before = page.url
    act(page)
    page.wait_for_function("before => location.href !== before", arg=before)
    return seen(page)


def comes_to(page: Any, view: list[str]) -> None:
    """Wait until the page shows a view and rests in it."""
    with suppress(PlaywrightTimeout):
        page.wait_for_function(
            f"view => JSON.stringify(({SEEN})()) === view",
            arg=json.dumps(view, ensure_ascii=False, separators=(",", ":")),
            timeout=15_000,
        )
    assert seen(page) == view


OFTEN = ("scale", "relations")
"""Pages that every run of the tests walks through: one with fragments and clicks on a figure, and one with boxes."""


@pytest.mark.parametrize("url", [url if url in OFTEN else pytest.param(url, marks=pytest.mark.slow) for url in CHOICES])
def test_back_and_forward_step_through_the_choices(page: Any, serve: Serve, two: Path, url: str) -> None:
    page.goto(f"{serve(two)}/{url}")
    views = [seen(page)]
    for act in CHOICES[url]:
        views.append(step(page, act))
    assert all(before[0] != after[0] for before, after in pairwise(views))
    for view in reversed(views[:-1]):
        page.go_back()
        comes_to(page, view)
    for view in views[1:]:
        page.go_forward()
        comes_to(page, view)
    page.reload()
    comes_to(page, views[-1])
