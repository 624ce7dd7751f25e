"""How quick the dashboard is with 60 models of 80 layers, seen from a browser.

    python benchmarks/dashboard.py [--data FOLDER] [--repeats 5] [--json FILE]

Generates the warehouse once (about a gigabyte, a few minutes) into FOLDER, starts the dashboard as
`rotoscale dashboard` does, and drives Chromium through it: every page opened by its address in a fresh tab (with
Streamlit's and Plotly's own code, the first time without a browser cache), every page opened from the menu, and
filters changed. The page itself takes the times, from the press of the mouse (or the asking for the page) to the frame
in which the figure or table stands. Targets: first paint 1.5 s, filter change 0.5 s. Beside the time stands what server
and browser spent on the processor until the whole page stood, which other work on the machine changes less.
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
TITLES = {"families": "Families", "scale": "Scale", "rotation": "Rotation", "edits": "Edits and scores",
          "models": "Models"}  # fmt: skip
MAP = '[class*="st-key-map_"]'
# Of each page: what shows first, and the words that must stand in it, since Scale and Rotation look alike.
FIRST = {
    "families": (".st-key-figure_overview .main-svg", ""),
    "scale": (f"{MAP} .main-svg text", "α median"),
    "rotation": (f"{MAP} .main-svg text", "NF / null"),
    "edits": (".st-key-figure_edit-scores .main-svg", ""),
    "models": (".st-key-box_models [data-testid='stDataFrameResizable'] canvas", ""),
}
SETTLED = """() => document.querySelector('[data-testid="stApp"]')?.dataset.testScriptState === 'notRunning'
    && !document.querySelector('[data-stale="true"]')"""

# Runs in every page before its own code. `rotoscale.stands` tells when something that is not left over from the view
# before has been painted: milliseconds since the mouse button went down, or since the page was asked for.
WATCH = """window.rotoscale = {
    stands(selector, words, fromPress) {
        let begin = fromPress ? null : 0;
        if (fromPress) addEventListener('pointerdown', () => begin ??= performance.now(), {capture: true, once: true});
        const there = () => [...document.querySelectorAll(selector)].some(
            found => !found.closest('[data-stale="true"]') && (!words || found.textContent.includes(words)));
        return this.seen = new Promise(done => {
            const look = () => begin !== null && there()
                ? requestAnimationFrame(() => setTimeout(() => done(performance.now() - begin)))
                : requestAnimationFrame(look);
            look();
        });
    },
};"""

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
    print(f"{'page':10} {'what':36} {'stands':>14} {'processor':>12}   (seconds: median, worst; median)")
    for (page, what), times in found.items():
        first, spent = zip(*times, strict=True)
        print(f"{page:10} {what:36} {statistics.median(first):8.2f} {max(first):5.2f} {statistics.median(spent):12.2f}")
    print(f"load average afterwards {os.getloadavg()[0]:.1f}")
    if arguments.json:
        arguments.json.write_text(json.dumps({f"{p}: {w}": t for (p, w), t in found.items()}, indent=1))


def measure(address: str, chromium: Any, repeats: int) -> dict[tuple[str, str], list[tuple[float, float]]]:
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for page in FIRST:
        context = opened(chromium)
        for attempt in range(repeats + 1):
            how = "by address" if attempt else "by address, no cache"
            for what, times in arrive(context, f"{address}/{'' if page == 'families' else page}", page).items():
                found.setdefault((page, how + what), []).append(times)
        context.close()
    context = opened(chromium)
    tab = context.new_page()
    tab.goto(f"{address}/models?model={MODEL}")
    tab.wait_for_selector(FIRST["models"][0])
    for _ in range(repeats):
        for page, title in TITLES.items():
            link = tab.get_by_role("link", name=title, exact=False).first
            found.setdefault((page, "from the menu"), []).append(timed(tab, link.click, *FIRST[page]))
    for page, what, change in changes():
        tab.goto(f"{address}/{'' if page == 'families' else page}?model={MODEL}")
        tab.wait_for_selector(FIRST[page][0], state="attached")
        settle(tab)
        for attempt in range(repeats):
            found.setdefault((page, what), []).append(change(tab, attempt))
    context.close()
    return found


def opened(chromium: Any) -> Any:
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    context.add_init_script(WATCH)
    return context


def arrive(context: Any, where: str, page: str) -> dict[str, tuple[float, float]]:
    """Open a page in a fresh tab: seconds to its first paint, its first words and its first figure."""
    tab = context.new_page()
    before = processor_seconds()
    tab.add_init_script(
        "rotoscale.words = rotoscale.stands('[data-testid=\"stHeading\"]', '');"
        f"rotoscale.stands({json.dumps(FIRST[page][0])}, {json.dumps(FIRST[page][1])})"
    )
    tab.goto(f"{where}?model={MODEL}", wait_until="commit")
    tab.wait_for_selector('[data-testid="stHeading"]')
    words, figure = (tab.evaluate(f"rotoscale.{what}") / 1000 for what in ("words", "seen"))
    paint = tab.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime") / 1000
    settle(tab)
    spent = processor_seconds() - before
    tab.close()
    print(f"  {page} {paint:.2f} {words:.2f} {figure:.2f} {spent:.2f}", file=sys.stderr)
    return {": first paint": (paint, spent), ": first words": (words, spent), ": first figure": (figure, spent)}


def changes() -> list[tuple[str, str, Callable[[Any, int], tuple[float, float]]]]:
    """Filter changes: what is done, and what must then be drawn."""

    def quantity(*labels: str) -> Callable[[Any, int], tuple[float, float]]:
        def change(tab: Any, attempt: int) -> tuple[float, float]:
            label = labels[attempt % 2]
            button = tab.get_by_role("radio", name=label, exact=True)
            return timed(tab, button.click, f"{MAP} .main-svg text", label)  # at the colour bar

        return change

    def cell(figure: str) -> Callable[[Any, int], tuple[float, float]]:
        def change(tab: Any, attempt: int) -> tuple[float, float]:
            layer = 10 + 7 * attempt
            x, y = tab.evaluate(PLACE, [layer, attempt % 7])
            tab.mouse.move(x, y)
            tab.wait_for_selector(f"{MAP} .hoverlayer .hovertext", state="attached")
            selector = f'[class*="st-key-figure_{figure}-layer-{layer}-"] .main-svg'
            return timed(tab, lambda: tab.mouse.click(x, y), selector)

        return change

    def depth(tab: Any, attempt: int) -> tuple[float, float]:
        toggle = tab.locator(".st-key-choice_depth label").first
        toggle.scroll_into_view_if_needed()
        title = "depth" if attempt % 2 == 0 else "layer"
        return timed(tab, toggle.click, ".st-key-figure_compare-alpha_median .main-svg .xtitle", title)

    return [
        ("scale", "another quantity", quantity("Unexplained by α", "α median")),
        ("scale", "a click on a cell", cell("ratio")),
        ("rotation", "another quantity", quantity("Leak", "NF / null")),
        ("rotation", "a click on a cell", cell("standing")),
        ("families", "relative depth", depth),
    ]


def timed(tab: Any, act: Callable[[], Any], selector: str, words: str = "") -> tuple[float, float]:
    """Seconds from the press of the mouse until something is painted, and processor seconds until everything is."""
    before = processor_seconds()
    tab.evaluate("([selector, words]) => { rotoscale.stands(selector, words, true) }", [selector, words])
    act()
    first = tab.evaluate("rotoscale.seen") / 1000
    settle(tab)
    spent = processor_seconds() - before
    print(f"  {selector} {words} {first:.2f} {spent:.2f}", file=sys.stderr)
    return first, spent


def settle(tab: Any) -> None:
    tab.wait_for_function(SETTLED, timeout=60_000)
    tab.evaluate("() => new Promise(done => requestIdleCallback(done, {timeout: 10000}))")


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
