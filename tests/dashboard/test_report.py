"""The report: one small file, complete, harmless, and refused with a sentence where it cannot be made."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest

from dashboard.report import write_report
from resources.warehouse import WarehouseError
from tests import synthetic
from tests.synthetic import open_store, publish

from .conftest import HOSTILE


class Reader(HTMLParser):
    """Elements and texts of a report."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def opened(file: Path) -> tuple[Reader, str]:
    page = file.read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(page)
    return reader, page


def figures(page: str) -> list[dict[str, Any]]:
    return [json.loads(spec) for spec in re.findall(r'data-figure="[^"]+">(.*?)</script>', page, re.DOTALL)]


def test_a_pair_of_32_layers_stays_under_5_mb(tmp_path: Path) -> None:
    models = [synthetic.Model("b", "f", "base", "b", "base"), synthetic.Model("m", "f", "reasoning", "b")]
    synthetic.write(tmp_path, models, synthetic.Shape(32, 2048, 16, 2048, 64))
    out = write_report("m", tmp_path / "report.html", tmp_path / "published")
    assert out.stat().st_size < 5_000_000
    reader, page = opened(out)
    assert len(figures(page)) > 12
    for spec in figures(page):
        go.Figure(spec)
    outside = [v for _, attrs in reader.elements for k, v in attrs.items() if k in ("src", "href")]
    assert outside == []
    assert "default-src 'none'" in page


@pytest.mark.parametrize("name", ["demo", "demo-base", "demo-math"])
def test_a_model_a_base_and_a_family(small: Path, tmp_path: Path, name: str) -> None:
    reader, page = opened(write_report(name, tmp_path / "report.html", small / "published"))
    said = " ".join(reader.texts)
    assert "plain weight decay" in said
    assert "demo-math" in said
    if name == "demo-math":
        assert "Paired contrasts" in said
        assert "as anyone can count" in said
    else:
        assert "quarantined" in said
    for spec in figures(page):
        go.Figure(spec)


def test_numbers_are_those_of_the_rows(small: Path, tmp_path: Path, source: Any) -> None:
    from dashboard import queries

    _, page = opened(write_report("demo-math", tmp_path / "report.html", small / "published"))
    summary = queries.summary(source).set_index(["model_id", "matrix"])
    alpha = summary.loc[("demo-math", "q"), "alpha"]
    assert f'<td class="number">{alpha:.4f}</td>' in page


def test_names_that_anybody_gave_are_text(hostile: Path, tmp_path: Path) -> None:
    for number, name in enumerate((HOSTILE[0] + "!", HOSTILE[1])):
        reader, page = opened(write_report(name, tmp_path / f"{number}.html", hostile / "published"))
        assert "img" not in {tag for tag, _ in reader.elements}
        scripts = [attrs for tag, attrs in reader.elements if tag == "script"]
        assert all(a.get("type") in ("application/json", "text/plain", None) for a in scripts)
        assert len([a for a in scripts if a.get("type") is None]) == 1
        assert "document.title='owned'</script>" not in page
        assert not [k for _, attrs in reader.elements for k in attrs if k.startswith("on")]


def test_what_cannot_be_made_is_said(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    with pytest.raises(WarehouseError, match="there are: demo, demo-base"):
        write_report("nobody", out, small / "published")
    with pytest.raises(WarehouseError, match="status ready"):
        write_report("demo-waiting", out, small / "published")
    with pytest.raises(WarehouseError, match="3 values that are NaN"):
        write_report("demo-broken", out, small / "published")
    with pytest.raises(WarehouseError, match="nothing is published"):
        write_report("demo", out, tmp_path)
    assert not out.exists()


def test_it_draws_itself_without_a_network(browser: Any, small: Path, tmp_path: Path) -> None:
    out = write_report("demo-reasoning", tmp_path / "report.html", small / "published")
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(out.as_uri())
    page.wait_for_selector("body[data-drawn]", timeout=60_000)
    assert page.locator(".main-svg").count() > 12
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert [url for url in asked if not url.startswith(("file:", "blob:", "data:"))] == []
    context.close()


def test_local_folders_are_not_told(small: Path, tmp_path: Path) -> None:
    """A report is sent to others, whom the folders of the one who made it do not concern."""
    data = tmp_path / "data"
    shutil.copytree(small, data)
    store = open_store(data)
    for key in store.models("models"):
        rows = [row | {"source": "/home/somebody/secret/folder"} for row in store.read("models", key)]
        store.write("models", key, rows, run_id="", code_version="")
    publish(store, data / "published")
    for name in ("demo-instruct", "demo"):
        page = write_report(name, tmp_path / "report.html", data / "published").read_text(encoding="utf-8")
        assert "somebody" not in page
    assert "demo-instruct" in page


@pytest.mark.parametrize("name", ["demo", "demo-reasoning"])
def test_it_opens_with_verdicts_and_hashes_come_last(small: Path, tmp_path: Path, name: str) -> None:
    _, page = opened(write_report(name, tmp_path / "report.html", small / "published"))
    headings = re.findall(r"<h2>(.*?)</h2>", page)
    assert headings[0].startswith("What the papers claim")
    assert "The verdicts in words" in headings
    assert headings[-1] == "Where this comes from"
    body, end = page.split("<h2>Where this comes from</h2>")
    assert not re.search(r"\b[0-9a-f]{64}\b", body)
    assert re.search(r"\b[0-9a-f]{64}\b", end)
    assert '<td class="text">synthetic</td>' in end, "the version of each method"


def test_the_run_beside_the_newest_row_is_the_one_that_made_it(small: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(small, data)
    store = open_store(data)
    found = [(key, store.read("decompositions", key)) for key in store.models("decompositions")]
    for key, rows in sorted(found, key=lambda item: item[1][0]["model_id"] == "demo-base"):  # the base's last
        made_by = "of-the-base" if rows[0]["model_id"] == "demo-base" else "of-a-descendant"
        store.write("decompositions", key, rows, run_id=made_by, code_version="svd")
    publish(store, data / "published")
    _, page = opened(write_report("demo-math", tmp_path / "report.html", data / "published"))
    (row,) = re.findall(r'<tr>\s*<td class="text">decompositions</td>.*?</tr>', page, re.DOTALL)
    assert "of-the-base" in row
    assert "of-a-descendant" not in page.split("<h2>Where this comes from</h2>")[0]


@pytest.mark.parametrize("name", ["demo", "demo-reasoning"])
def test_nothing_is_cut_on_a4(browser: Any, small: Path, tmp_path: Path, name: str) -> None:
    """The paper between the margins is 186 mm wide; what is wider would be cut, or the whole page made smaller."""
    out = write_report(name, tmp_path / "report.html", small / "published")
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(out.as_uri())
    page.wait_for_selector("body[data-drawn]", timeout=60_000)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 703, "height": 900})
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") == 703
    widths = page.evaluate("Array.from(document.querySelectorAll('.main-svg')).map(svg => svg.clientWidth)")
    assert widths
    assert max(widths) <= 703
    kept = "Array.from(document.querySelectorAll('table.short')).map(table => getComputedStyle(table).breakInside)"
    assert set(page.evaluate(kept)) == {"avoid"}
    page.close()
