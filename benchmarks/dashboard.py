"""How quick the dashboard is with 60 models of 80 layers, seen from a browser.

    python benchmarks/dashboard.py [--data FOLDER] [--repeats 5] [--json FILE] [--whole]

Generates the warehouse once (about a gigabyte, a few minutes) into FOLDER, starts the dashboard as
`rotoscale dashboard` does, and drives Chromium through it: every page opened by its address in a fresh tab (with
Streamlit's and Plotly's own code, the first time without a browser cache), every page opened from the menu, and
filters changed. The page itself takes the times, from the press of the mouse (or the asking for the page) to the frame
in which the figure or table stands. Targets: first paint 1.5 s, filter change 0.5 s. Beside the time stands what server
and browser spent on the processor until the whole page stood, which other work on the machine changes less.

With `--whole` it takes another time, of any data folder: from asking for a page until all of its charts and tables
stand, for every page, of a server that was started for it (cold) and again in fresh tabs of the same browser (warm).
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

from dashboard import launch, pages
from resources.warehouse import current
from tests import synthetic

CHROMIUM = "/usr/bin/chromium"
MODEL = "synthetic-03-reasoning"
TITLES = {"families": "Families", "scale": "Scale", "rotation": "Rotation", "edits": "Edits and scores",
          "models": "Models"}  # fmt: skip
HEADING = '[data-testid="stHeading"]'
MAP = '[class*="st-key-map_"]'


def shows(selector: str, words: str = "") -> str:
    """JavaScript that tells whether something with these words in it is drawn, not left over from the view before."""
    return (
        f"[...document.querySelectorAll({json.dumps(selector)})].some(found => "
        f"!found.closest('[data-stale=\"true\"]') && found.textContent.includes({json.dumps(words)}))"
    )


# What shows first on each page. Scale and Rotation differ in the words at their colour bars.
FIRST = {
    "families": shows(".st-key-figure_overview .main-svg"),
    "scale": shows(f"{MAP} .main-svg text", "α median"),
    "rotation": shows(f"{MAP} .main-svg text", "NF / null"),
    "edits": shows(".st-key-figure_edit-scores .main-svg"),
    "models": shows(".st-key-box_models [data-testid='stDataFrameResizable'] canvas"),
}
SETTLED = """() => document.querySelector('[data-testid="stApp"]')?.dataset.testScriptState === 'notRunning'
    && !document.querySelector('[data-stale="true"]')"""

# All of a page: its footer comes last, no place is held for anything, and every chart and table is drawn.
WHOLE = """(SETTLED)()
    && [...document.querySelectorAll('[data-testid="stCaptionContainer"]')].at(-1)?.textContent.includes('Published')
    && !document.querySelector('[data-testid="stSkeleton"]')
    && [...document.querySelectorAll('[data-testid="stPlotlyChart"]')].every(found => found.querySelector('.main-svg'))
    && [...document.querySelectorAll('[data-testid="stDataFrame"]')]
        .every(found => found.closest('details:not([open])') || found.querySelector('canvas'))
""".replace("SETTLED", SETTLED)

# Runs in every page before its own code. `watch` tells when a condition holds in a frame that has been painted:
# milliseconds since the mouse button went down, or since the page was asked for.
WATCH = """window.watch = (condition, fromPress) => {
    let begin = fromPress ? null : 0;
    if (fromPress) addEventListener('pointerdown', () => begin ??= performance.now(), {capture: true, once: true});
    const holds = new Function('return ' + condition);
    return new Promise(done => {
        const look = () => begin !== null && holds()
            ? requestAnimationFrame(() => setTimeout(() => done(performance.now() - begin)))
            : requestAnimationFrame(look);
        look();
    });
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
    parser.add_argument("--whole", action="store_true", help="every page until all of it stands, cold and warm")
    arguments = parser.parse_args()
    if current(arguments.data / "published") is None:
        begin = time.perf_counter()
        synthetic.large(arguments.data, progress=lambda model: print(f"  {model}", file=sys.stderr))
        print(f"generated in {time.perf_counter() - begin:.0f} s", file=sys.stderr)
    path = current(arguments.data / "published")
    assert path
    print(f"{path.name}: {path.stat().st_size / 1e6:.0f} MB; load average {os.getloadavg()[0]:.1f} "
          f"on {len(os.sched_getaffinity(0))} cores")  # fmt: skip
    if arguments.whole:
        whole_pages(arguments.data, arguments.repeats)
        return
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
            for what, times in arrive(context, f"{address}/{page}", page).items():
                found.setdefault((page, how + what), []).append(times)
        context.close()
    context = opened(chromium)
    tab = context.new_page()
    tab.goto(f"{address}/models?model={MODEL}")
    tab.wait_for_function(FIRST["models"])
    for _ in range(repeats):
        for page, title in TITLES.items():
            link = tab.get_by_role("link", name=title, exact=False).first
            found.setdefault((page, "from the menu"), []).append(timed(tab, link.click, FIRST[page]))
    for page, what, change in changes():
        tab.goto(f"{address}/{page}?model={MODEL}")
        tab.wait_for_function(FIRST[page])
        settle(tab)
        for attempt in range(repeats):
            found.setdefault((page, what), []).append(change(tab, attempt))
    context.close()
    return found


def whole_pages(data: Path, repeats: int) -> None:
    """Print for every page the seconds until all of it stands: by its address cold and warm, and from the menu."""
    print(f"{'page':10} {'charts':>6} {'cold':>6} {'warm':>6} {'menu':>6}   (seconds: one; medians)")
    with browser() as chromium:
        with served(data) as address:
            clicked = from_the_menu(address, chromium, repeats)
        for page in pages.discover():
            with served(data) as address:
                context = opened(chromium)
                times = []
                for _ in range(repeats + 1):
                    tab = context.new_page()
                    tab.add_init_script(f"window.whole = watch({json.dumps(WHOLE)})")
                    tab.goto(f"{address}/{page.url}", wait_until="commit")
                    tab.wait_for_function("window.whole !== undefined")
                    times.append(tab.evaluate("window.whole") / 1000)
                    charts = tab.locator(".js-plotly-plot").count()
                    tab.close()
                context.close()
            warm, menu = statistics.median(times[1:]), statistics.median(clicked[page.url])
            print(f"{page.url:10} {charts:6} {times[0]:6.2f} {warm:6.2f} {menu:6.2f}", flush=True)


def from_the_menu(address: str, chromium: Any, repeats: int) -> dict[str, list[float]]:
    """Seconds from a click in the menu until all of a page stands, in a tab that has shown every page before."""
    context = opened(chromium)
    tab = context.new_page()
    tab.goto(f"{address}/{pages.discover()[-1].url}")
    tab.wait_for_function(f"() => {WHOLE}")
    found: dict[str, list[float]] = {}
    for attempt in range(repeats + 1):
        for page in pages.discover():
            link = tab.locator('[data-testid="stTopNavLink"]', has_text=page.title).first
            there = f"document.querySelector('h2')?.textContent === {json.dumps(page.title)}"
            first, _ = timed(tab, link.click, f"{there} && {WHOLE}")
            if attempt:
                found.setdefault(page.url, []).append(first)
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
        f"window.words = watch({json.dumps(shows(HEADING))}); window.figure = watch({json.dumps(FIRST[page])})"
    )
    tab.goto(f"{where}?model={MODEL}", wait_until="commit")
    tab.wait_for_selector(HEADING)
    words, figure = (tab.evaluate(f"window.{what}") / 1000 for what in ("words", "figure"))
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
            return timed(tab, button.click, shows(f"{MAP} .main-svg text", label))  # at the colour bar

        return change

    def cell(figure: str) -> Callable[[Any, int], tuple[float, float]]:
        def change(tab: Any, attempt: int) -> tuple[float, float]:
            layer = 10 + 7 * attempt
            x, y = tab.evaluate(PLACE, [layer, attempt % 7])
            tab.mouse.move(x, y)
            tab.wait_for_selector(f"{MAP} .hoverlayer .hovertext", state="attached")
            drawn = shows(f'[class*="st-key-figure_{figure}-layer-{layer}-"] .main-svg')
            return timed(tab, lambda: tab.mouse.click(x, y), drawn)

        return change

    def depth(tab: Any, attempt: int) -> tuple[float, float]:
        toggle = tab.locator(".st-key-choice_depth label").first
        toggle.scroll_into_view_if_needed()
        title = "depth" if attempt % 2 == 0 else "layer"
        return timed(tab, toggle.click, shows(".st-key-figure_compare-alpha_median .main-svg .xtitle", title))

    def controls(tab: Any, attempt: int) -> tuple[float, float]:
        legend = shows(".st-key-figure_edit-scores .legendtext", "control")
        without = f"{FIRST['edits']} && !{legend}"  # drawn anew, and not merely out of date
        toggle = tab.locator(".st-key-choice_controls label").first
        return timed(tab, toggle.click, without if attempt % 2 == 0 else legend)

    def model(tab: Any, attempt: int) -> tuple[float, float]:
        top_left = f"document.querySelector('{MAP} .js-plotly-plot')?.data?.[0].z[0][0]"
        before = tab.evaluate(top_left)
        tab.get_by_role("combobox", name="Model", exact=False).first.click()
        option = tab.get_by_role("option", name=("instruct", "reasoning")[attempt % 2]).first
        return timed(tab, option.click, f"![undefined, {json.dumps(before)}].includes({top_left})")

    return [
        ("scale", "another quantity", quantity("Unexplained by α", "α median")),
        ("scale", "a click on a cell", cell("ratio")),
        ("rotation", "another quantity", quantity("Leak", "NF / null")),
        ("rotation", "a click on a cell", cell("standing")),
        ("scale", "another model", model),
        ("families", "relative depth", depth),
        ("edits", "controls off and on", controls),
    ]


def timed(tab: Any, act: Callable[[], Any], condition: str) -> tuple[float, float]:
    """Seconds from the press of the mouse until a condition is painted, and processor seconds until everything is."""
    before = processor_seconds()
    tab.evaluate("condition => { window.seen = watch(condition, true) }", condition)
    act()
    first = tab.evaluate("window.seen") / 1000
    settle(tab)
    spent = processor_seconds() - before
    print(f"  {first:.2f} {spent:.2f}", file=sys.stderr)
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
