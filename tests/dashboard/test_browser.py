"""A walk through the dashboard in Chromium, as a researcher would take it; screenshots stay in screenshots/."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dashboard import launch
from tests import synthetic
from tests.synthetic import open_store, publish

SCREENSHOTS = launch.PROJECT / "screenshots"
PATIENCE = 60_000

Serve = Callable[[Path], str]


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    context.set_default_timeout(PATIENCE)
    yield context.new_page()
    context.close()


def drawn(page: Any, figure: str = ".js-plotly-plot") -> None:
    """Wait until a figure stands and the page has come to rest."""
    page.wait_for_selector(f"{figure} .main-svg")
    settled(page)


def settled(page: Any) -> None:
    page.wait_for_function(
        """() => document.querySelector('[data-testid="stApp"]')?.dataset.testScriptState === 'notRunning'
        && !document.querySelector('[data-stale="true"]')"""
    )


def keep(page: Any, name: str) -> None:
    """Keep a screenshot of the whole page, which Streamlit scrolls inside a box of its own."""
    SCREENSHOTS.mkdir(exist_ok=True)
    size = page.viewport_size
    height = page.evaluate("""() => document.querySelector('[data-testid="stMain"]').scrollHeight""")
    page.set_viewport_size({"width": size["width"], "height": min(height + 40, 6000)})
    drawn(page) if page.query_selector(".js-plotly-plot") else settled(page)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")
    page.set_viewport_size(size)


def choose(page: Any, label: str, option: str) -> None:
    box = page.get_by_role("combobox", name=label, exact=False).first
    box.scroll_into_view_if_needed()
    page.wait_for_timeout(300)  # scrolling folds a list that is open
    box.click()
    page.get_by_role("option", name=option, exact=False).first.click()


def place_of(page: Any, layer: int, row: int) -> tuple[float, float]:
    """Where the cell (layer, row) of the heat map is on the screen, a little off its middle."""
    x, y = page.evaluate(
        """([layer, row]) => {
            const plot = document.querySelector('[class*="st-key-map_"] .js-plotly-plot');
            plot.scrollIntoView({block: 'center'});
            const {xaxis, yaxis} = plot._fullLayout, box = plot.getBoundingClientRect();
            return [box.left + xaxis._offset + xaxis.d2p(layer), box.top + yaxis._offset + yaxis.d2p(row)];
        }""",
        [layer, row],
    )
    return x + 9, y - 5


def map_of(page: Any, quantity: str) -> None:
    """Wait until the heat map shows a quantity, whose name stands at its colour bar."""
    drawn(page, '[class*="st-key-map_"]')
    page.wait_for_function(
        """name => Array.from(document.querySelectorAll('[class*="st-key-map_"] .js-plotly-plot text'))
            .some(text => text.textContent === name)""",
        arg=quantity,
    )


def no_scrolling_sideways(page: Any) -> None:
    main = page.locator('[data-testid="stMain"]')
    wide, there = main.evaluate("main => [main.scrollWidth, main.clientWidth]")
    assert wide <= there


def test_the_first_page_has_its_own_address_too(page: Any, serve: Serve, small: Path) -> None:
    """Streamlit answers "Page not found" to the address of the page that it opens at the root."""
    page.goto(f"{serve(small)}/claims?of=demo-math&claim=HC3")
    page.get_by_text("HC3 of demo-math").wait_for()
    assert page.get_by_text("Page not found").count() == 0
    assert page.get_by_role("link", name="Claims").count() == 1


def test_a_cell_of_the_claims_opens_its_verdict(page: Any, serve: Serve, small: Path) -> None:
    page.goto(serve(small))
    table = page.locator("[data-testid='stDataFrameResizable']").first
    table.wait_for()
    settled(page)
    no_scrolling_sideways(page)
    box = table.bounding_box()
    # The last but one column is demo-reasoning, the fourth row EP1: past the families' own column at the end.
    page.mouse.click(box["x"] + box["width"] - 170, box["y"] + 35 * 4 + 17)
    page.wait_for_url("**claim=EP1**")
    page.get_by_role("heading", name="EP1 of demo-").wait_for()
    assert "of=demo-" in page.url
    settled(page)
    # A later choice wins over the cell that is picked still.
    choose(page, "One claim", "HC1")
    page.get_by_role("heading", name="HC1 of demo-").wait_for()
    page.get_by_text("scale_statistics").first.click()
    keep(page, "claims")


def test_from_family_to_matrix_to_edit(page: Any, serve: Serve, small: Path) -> None:
    address = serve(small)
    page.goto(f"{address}/families?sort=registry")
    drawn(page)
    no_scrolling_sideways(page)
    keep(page, "families")

    # A row of the table opens its descendant; the third one is demo-math.
    table = page.locator(".st-key-box_descendants [data-testid='stDataFrameResizable']").first
    table.scroll_into_view_if_needed()
    box = table.bounding_box()
    page.mouse.click(box["x"] + 18, box["y"] + 35 + 2 * 35 + 17)
    link = page.locator("[data-testid='stPageLink'] a", has_text="Scale").first
    link.wait_for()
    link.click()
    page.wait_for_url("**/scale?**")
    drawn(page, '[class*="st-key-map_"]')
    assert "model=demo-math" in page.url

    # A cell of the heat map opens its matrix.
    page.mouse.click(*place_of(page, 5, 3))
    page.wait_for_url("**layer=5&matrix=o**")
    page.get_by_role("heading", name="Layer 5, o").wait_for()
    drawn(page, '[class*="st-key-figure_ratio-layer-5-o"]')
    no_scrolling_sideways(page)
    keep(page, "scale")

    # The box picks another one, and the cell can be clicked again; what was unfolded stays so.
    page.get_by_text("What plain weight decay would look like").click()
    drawn(page, '[class*="st-key-figure_decay-layer-5-o"]')
    settled(page)
    choose(page, "Layer", "4")
    drawn(page, '[class*="st-key-figure_decay-layer-4-o"]')
    page.mouse.click(*place_of(page, 5, 3))
    page.wait_for_url("**layer=5&matrix=o**")
    drawn(page, '[class*="st-key-figure_decay-layer-5-o"]')

    # The same matrix on the next page.
    page.get_by_role("link", name="Rotation").first.click()
    page.wait_for_url("**/rotation?**")
    drawn(page, '[class*="st-key-figure_picture-layer-5-o"]')
    no_scrolling_sideways(page)
    keep(page, "rotation")

    # And what editing it costs.
    page.get_by_role("link", name="Edits and scores").first.click()
    page.wait_for_url("**/edits?**")
    drawn(page, '[class*="st-key-figure_edit-scores"]')
    assert "model=demo-math" in page.url
    page.get_by_text("disrupt-left", exact=False).first.wait_for()
    no_scrolling_sideways(page)
    keep(page, "edits")

    page.get_by_role("link", name="Models").first.click()
    page.wait_for_url("**/models?**")
    page.get_by_text("layers.1.q has 3 values that are NaN").wait_for()
    settled(page)
    no_scrolling_sideways(page)
    keep(page, "models")


def test_a_filter_and_the_address_bring_the_same_view(page: Any, serve: Serve, small: Path) -> None:
    page.goto(f"{serve(small)}/scale?model=demo-reasoning&layer=2&matrix=v")
    map_of(page, "α median")
    page.get_by_role("radio", name="Unexplained by α").click()
    map_of(page, "Unexplained by α")
    page.wait_for_url("**scale=unexplained**")
    settled(page)

    def view() -> tuple[Any, ...]:
        z = page.evaluate(
            """() => Array.from(document.querySelector('[class*="st-key-map_"] .js-plotly-plot').data[1].customdata)"""
        )
        return (z, page.get_by_role("heading", level=3).all_inner_texts(), page.url)

    before = view()
    assert "Layer 2" in " ".join(before[1])
    page.reload()
    map_of(page, "Unexplained by α")
    assert view() == before


def test_a_table_is_downloaded(page: Any, serve: Serve, small: Path) -> None:
    page.goto(f"{serve(small)}/edits?model=demo-math")
    drawn(page)
    for kind in ("CSV", "Parquet"):
        with page.expect_download() as download:
            page.locator(f".st-key-{kind}_contrasts button").first.click()
        content = Path(download.value.path()).read_bytes()
        assert download.value.suggested_filename == f"rotoscale-contrasts.{kind.lower()}"
        if kind == "CSV":
            rows = list(csv.DictReader(io.StringIO(content.decode())))
        else:
            import pyarrow.parquet as pq

            rows = pq.read_table(io.BytesIO(content)).to_pylist()
        assert len(rows) == 30
        assert {row["model_id"] for row in rows} == {"demo-math"}


def test_a_newer_file_is_picked_up_while_the_page_is_open(page: Any, serve: Serve, small: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(small, data)
    page.goto(f"{serve(data)}/models")
    page.get_by_text("Published version 1").wait_for()
    store = open_store(data)
    (row,) = store.read("models", "0001")
    row |= {"model_id": "demo-latecomer", "status": "quarantined", "status_reason": "came after the page was opened"}
    store.write("models", "late", [row], run_id="", code_version="synthetic")
    publish(store, data / "published")
    page.get_by_text("Published version 2").wait_for()
    page.get_by_text("came after the page was opened").wait_for()


def test_a_page_opened_too_early_fills_itself(page: Any, serve: Serve, tmp_path: Path) -> None:
    page.goto(serve(tmp_path))
    page.get_by_text("rotoscale compare BASE POST").wait_for()
    synthetic.small(tmp_path, shape=synthetic.Shape(layers=2))
    page.get_by_role("heading", name="Claims").wait_for()
    settled(page)


def test_names_that_anybody_gave_are_text(page: Any, serve: Serve, hostile: Path) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    alerts: list[str] = []
    page.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.dismiss()))
    address = serve(hostile)
    for path in ("", "families", "scale", "rotation", "edits", "models"):
        page.goto(f"{address}/{path}")
        drawn(page) if path not in ("", "models") else page.wait_for_selector('[data-testid="stDataFrame"]')
        settled(page)
        assert page.title() != "owned"
        assert not page.query_selector("img[src='x'], a[href^='javascript']")
        assert not page.query_selector('[data-testid="stException"]')
        no_scrolling_sideways(page)
        if path in ("", "families"):
            keep(page, f"hostile-{path or 'claims'}")
    assert not alerts
    assert not [url for url in asked if not url.startswith((address, "data:", "blob:"))]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 1920])
def test_every_page_in_both_themes_and_widths(browser: Any, serve: Serve, small: Path, theme: str, width: int) -> None:
    """Kept to be looked at; asserted is only that nothing has to be scrolled sideways and no label is cut off."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    for path in ("", "families", "rotation?model=demo-reasoning"):
        page.goto(f"{serve(small)}/{path}")
        drawn(page) if path else page.wait_for_selector('[data-testid="stDataFrame"]')
        settled(page)
        no_scrolling_sideways(page)
        keep(page, f"{path.split('?')[0] or 'claims'}-{width}-{theme}")
    context.close()
