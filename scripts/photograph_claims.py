"""Take the picture of the claims table that README.md shows, from a dashboard that runs.

rotoscale dashboard                 # in another terminal, over the finished demo family
python -m scripts.photograph_claims [ADDRESS]
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "dashboard-claims.png"
_WIDTH, _HEIGHT = 1280, 1300


def photograph(address: str, picture: Path) -> None:
    """The first page down to the end of the table, in light colours."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": _WIDTH, "height": _HEIGHT}, color_scheme="light")
        page.goto(f"{address}/?families=demo")
        page.wait_for_selector("[data-testid=stDataFrame] canvas", timeout=60_000)
        page.get_by_text("One claim").wait_for()
        page.wait_for_timeout(2000)  # the table paints itself after its element is there
        table = page.locator("[data-testid=stDataFrame]").first.bounding_box()
        assert table
        height = table["y"] + table["height"] + 12
        page.screenshot(path=picture, clip={"x": 0, "y": 0, "width": _WIDTH, "height": height})
        browser.close()


if __name__ == "__main__":
    photograph(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8501", PICTURE)
    print(f"{PICTURE}: {PICTURE.stat().st_size / 1000:.0f} kB")
