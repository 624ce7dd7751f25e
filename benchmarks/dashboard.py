"""How quick the dashboard is with 60 models of 80 layers, seen from a browser.

    python benchmarks/dashboard.py [--data FOLDER] [--repeats 5] [--json FILE]

Generates the warehouse once (about a gigabyte, a few minutes) into FOLDER, starts the dashboard as
`rotoscale dashboard` does, and drives Chromium through it. Three ways per page: opened by its address in a fresh tab
(which includes Streamlit's and Plotly's own code, the first time without a browser cache), opened from the menu, and
after a filter changed; each until the first figure (or table) of the new view is drawn, and by address also until the
page's first words stand. Targets: first paint 1.5 s, filter change 0.5 s. Beside the time stands what server and
browser together spent on the processor until the whole page stood, which other work on the machine changes less.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dashboard import launch, synthetic
from resources.warehouse import current

CHROMIUM = "/usr/bin/chromium"
MODEL = "synthetic-03-reasoning"
FIRST = {
    "families": ".st-key-figure_overview .main-svg",
    "scale": '[class*="st-key-map_"] .main-svg',
    "rotation": '[class*="st-key-map_"] .main-svg',
    "edits": ".st-key-figure_edit-scores .main-svg",
    "models": ".st-key-box_models [data-testid='stDataFrameResizable']",
}
TITLES = {"families": "Families", "scale": "Scale", "rotation": "Rotation", "edits": "Edits and scores",
          "models": "Models"}  # fmt: skip
SETTLED = """() => document.querySelector('[data-testid="stApp"]')?.dataset.testScriptState === 'notRunning'
    && !document.querySelector('[data-stale="true"]')"""

PLACE = """([layer, row]) => {
    const plot = document.querySelector('[class*="st-key-map_"] .js-plotly-plot');
    plot.scrollIntoView({block: 'center'});
    const {xaxis, yaxis} = plot._fullLayout, box = plot.getBoundingClientRect();
    return [box.left + xaxis._offset + xaxis.d2p(layer), box.top + yaxis._offset + yaxis.d2p(row)];
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(tempfile.gettempdir()) / "rotoscale-dashboard-benchmark")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if current(arguments.data / "published") is None:
        begin = time.perf_counter()
        synthetic.large(arguments.data, progress=lambda model: print(f"  {model}", file=sys.stderr))
        print(f"generated in {time.perf_counter() - begin:.0f} s", file=sys.stderr)
    path = current(arguments.data / "published")
    assert path
    print(f"{path.name}: {path.stat().st_size / 1e6:.0f} MB; load average {os.getloadavg()[0]:.1f} "
          f"on {len(os.sched_getaffinity(0))} cores")  # fmt: skip
    with served(arguments.data) as address, browser() as chromium:
        found = measure(address, chromium, arguments.repeats)
    print(f"{'page':10} {'what':28} {'first figure':>22} {'processor':>12}   (seconds: median, worst; median)")
    for (page, what), times in found.items():
        first, spent = zip(*times, strict=True)
        print(
            f"{page:10} {what:28} {statistics.median(first):12.2f} {max(first):9.2f} {statistics.median(spent):12.2f}"
        )
    print(f"load average afterwards {os.getloadavg()[0]:.1f}")
    if arguments.json:
        arguments.json.write_text(json.dumps({f"{p}: {w}": t for (p, w), t in found.items()}, indent=1))


def measure(address: str, chromium: Any, repeats: int) -> dict[tuple[str, str], list[tuple[float, float]]]:
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for page in FIRST:
        context = chromium.new_context(viewport={"width": 1280, "height": 900})
        for attempt in range(repeats + 1):
            tab = context.new_page()
            where = f"{address}/{'' if page == 'families' else page}?model={MODEL}"
            words: list[tuple[float, float]] = []
            times = timed(tab, page, lambda tab=tab, where=where, words=words: words.append(arrive(tab, where)))
            how = "by address" if attempt else "by address, no cache"
            found.setdefault((page, f"{how}: words"), []).extend(words)
            found.setdefault((page, how), []).append(times)
            tab.close()
        context.close()
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    tab = context.new_page()
    tab.goto(f"{address}/models?model={MODEL}")
    tab.wait_for_selector(FIRST["models"])
    for _ in range(repeats):
        for page, title in TITLES.items():
            link = tab.get_by_role("link", name=title, exact=False).first
            found.setdefault((page, "from the menu"), []).append(timed(tab, page, link.click))
    for page, what, change in changes():
        tab.goto(f"{address}/{'' if page == 'families' else page}?model={MODEL}")
        tab.wait_for_selector(FIRST[page])
        tab.wait_for_function(SETTLED)
        for attempt in range(repeats):
            found.setdefault((page, what), []).append(change(tab, attempt))
    context.close()
    return found


def arrive(tab: Any, where: str) -> tuple[float, float]:
    """Seconds, and processor seconds, until the first words of the page at an address stand."""
    before, begin = processor_seconds(), time.perf_counter()
    tab.goto(where, wait_until="commit")
    tab.wait_for_selector('[data-testid="stHeading"]')
    return time.perf_counter() - begin, processor_seconds() - before


def changes() -> list[tuple[str, str, Callable[[Any, int], tuple[float, float]]]]:
    """Filter changes: what is done, and what must then be drawn."""

    def quantity(page: str, *labels: str) -> Callable[[Any, int], tuple[float, float]]:
        def change(tab: Any, attempt: int) -> tuple[float, float]:
            label = labels[attempt % 2]
            button = tab.get_by_role("radio", name=label, exact=True)
            named = f'[class*="st-key-map_"] .main-svg text:text-is("{label}")'  # at the colour bar
            return timed(tab, page, button.click, named)

        return change

    def cell(tab: Any, attempt: int) -> tuple[float, float]:
        layer = 10 + 7 * attempt
        x, y = tab.evaluate(PLACE, [layer, attempt % 7])
        tab.mouse.move(x, y)
        tab.wait_for_selector('[class*="st-key-map_"] .hoverlayer .hovertext', state="attached")
        selector = f'[class*="st-key-figure_ratio-layer-{layer}-"] .main-svg'
        return timed(tab, "scale", lambda: tab.mouse.click(x, y), selector)

    def depth(tab: Any, attempt: int) -> tuple[float, float]:
        words = "by relative depth" if attempt % 2 == 0 else "by layer"
        toggle = tab.locator(".st-key-choice_depth label").first
        toggle.scroll_into_view_if_needed()
        return timed(tab, "families", toggle.click, f"text=α median {words}")

    return [
        ("scale", "another quantity", quantity("scale", "Unexplained by α", "α median")),
        ("scale", "a click on a cell", cell),
        ("rotation", "another quantity", quantity("rotation", "Leak", "NF / null")),
        ("families", "relative depth", depth),
    ]


def timed(tab: Any, page: str, act: Callable[[], Any], selector: str = "") -> tuple[float, float]:
    """Seconds until the first figure is drawn after `act`, and processor seconds until everything is."""
    before, begin = processor_seconds(), time.perf_counter()
    act()
    tab.wait_for_selector(selector or FIRST[page], timeout=60_000)
    first = time.perf_counter() - begin
    tab.wait_for_function(SETTLED, timeout=60_000)
    tab.evaluate("() => new Promise(done => requestIdleCallback(done, {timeout: 10000}))")
    spent = processor_seconds() - before
    print(f"  {page} {selector} {first:.2f} {spent:.2f}", file=sys.stderr)
    return first, spent


def processor_seconds() -> float:
    """What the server and the browser, both children of this process, have used so far."""
    total = 0.0
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            times = child.cpu_times()
            total += times.user + times.system
    return total


@contextmanager
def served(data: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**launch.environment(), "ROTOSCALE_DATA": str(data)}
    process = subprocess.Popen(
        launch.command(port), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    address = launch.address(port)
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{address}/_stcore/health", timeout=2).close()
                break
            except OSError:
                time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
                  "--disable-sync", "--no-first-run"],
        )  # fmt: skip
        yield chromium
        chromium.close()


if __name__ == "__main__":
    main()
