"""Made-up warehouses that the dashboard is shown with, and the apps and browsers that show them."""

from __future__ import annotations

import json
import math
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from dashboard import launch, pages
from dashboard.source import Source, latest
from resources.warehouse import TableStore
from tests import synthetic
from tests.synthetic import open_store, publish

PAGES = tuple(page.url for page in pages.discover())
CHROMIUM = Path("/usr/bin/chromium")

HOSTILE = (
    "<script>document.title='owned'</script>",
    """quotes ' " ` and ``more`` \\""",
    ":red[shout] **bold** $x^2$ [link](javascript:alert(1)) :smile: :material/home:",
    "<img src=x onerror=\"document.title='owned'\">",
    "long " * 60,
    "line\nbreak\tand & < > %{x} {curly}",
)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The structure of the demo family, with one model in progress and one quarantined."""
    folder = tmp_path_factory.mktemp("small")
    extra = [
        synthetic.Model("demo-waiting", "demo", "rl", "demo-base", measured=False),
        synthetic.Model("demo-unscored", "demo", "sft", "demo-base", edited=False),
        synthetic.Model(
            "demo-broken", "demo", "code", "demo-base", status="quarantined",
            reason="layers.1.q has 3 values that are NaN; download the checkpoint again",
        ),
    ]  # fmt: skip
    synthetic.small(folder, extra=extra)
    return folder


@pytest.fixture(scope="session")
def registered_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published file that knows one base and one descendant and nothing about either."""
    folder = tmp_path_factory.mktemp("registered")
    models = [
        synthetic.Model("only-base", "only", "base", "only-base", "base", measured=False),
        synthetic.Model("only-post", "only", "instruct", "only-base", measured=False),
    ]
    synthetic.write(folder, models, synthetic.Shape())
    return folder


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published file whose tables are all empty."""
    folder = tmp_path_factory.mktemp("empty")
    publish(open_store(folder), folder / "published")
    return folder


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Names that anybody may have given, and values that are no numbers, in every table."""
    folder = tmp_path_factory.mktemp("hostile")
    base = HOSTILE[0]
    models = [synthetic.Model(base, HOSTILE[1], "base", base, "base")]
    models += [synthetic.Model(n + "!", HOSTILE[1], n, base) for n in HOSTILE]
    models.append(synthetic.Model("bad", HOSTILE[3], HOSTILE[4], base, status="quarantined", reason=HOSTILE[3] * 3))
    synthetic.write(folder, models, synthetic.Shape(layers=3, rank=20, picture=8))
    _spoil(open_store(folder))
    publish(open_store(folder), folder / "published")
    return folder


def _spoil(store: TableStore) -> None:
    """In every table: numbers become NaN, infinite or missing in turn, arrays get holes, texts become hostile."""
    strange = (math.nan, math.inf, -math.inf, None)
    for table in ("scale_statistics", "rotation_statistics", "evaluation_scores", "evaluation_contrasts",
                  "attention_temperature", "representation_similarity", "decompositions", "tensor_changes",
                  "edited_checkpoints", "generations", "document_answers", "coverage",
                  "circuit_heads", "circuit_edges", "followed_edges",
                  "circuit_screens", "circuit_faithfulness", "faithfulness_curves", "component_masks",
                  "cross_model_patching", "circuit_overlap", "attention_knockouts", "claims", "control_draws",
                  "control_tests", "recovered_gain", "equivalence", "degeneration", "divergence",
                  "temperature_test", "agreement", "lineage", "descendant_relations", "straight_lines",
                  "feature_linearity"):  # fmt: skip
        place = store.definition(table).key
        for key in store.models(table):
            rows = store.read(table, key)
            for i, row in enumerate(rows):
                for j, (column, value) in enumerate(row.items()):
                    if column in place:  # a row without its key is none
                        continue
                    if isinstance(value, float) and (i + j) % 3 == 0:
                        row[column] = strange[(i + j) % 4]
                    elif isinstance(value, list) and value and isinstance(value[0], float):
                        value[: len(value) // 3] = [strange[k % 4] for k in range(len(value) // 3)]
                    elif column in ("text", "prompt", "right_answer", "edit_answer", "status_reason",
                                    "reason", "recipe", "applicability", "statistic",
                                    "verdict"):  # fmt: skip
                        row[column] = HOSTILE[(i + j) % len(HOSTILE)] if i % 2 else None
            store.write(table, key, rows, run_id="../../<b>&run", code_version="<i>")


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Callable[..., AppTest]:
    """A function that shows one page over one data folder, with an address, and returns what it drew."""

    def show(data: Path, page: str, **address: Any) -> AppTest:
        monkeypatch.setenv("ROTOSCALE_DATA", str(data))
        test = AppTest.from_file(str(launch.APP), default_timeout=60)
        test.query_params.update(address)
        test.run()
        if page != PAGES[0]:
            test.query_params.update(address)
            open_page(test, page)
        return test

    return show


def open_page(test: AppTest, url: str) -> None:
    """Open a page by its address; `switch_page` knows only pages that are files."""
    test._page_hash = calc_hash(url)
    test.run()


def charts(test: AppTest) -> list[dict[str, Any]]:
    """The Plotly figures on a page, as they are sent to the browser."""
    return [json.loads(element.proto.spec) for element in test.get("plotly_chart")]


def words(test: AppTest) -> str:
    """All markup that a page sends to be rendered as markdown."""
    return "\n".join(str(element.value) for element in (*test.markdown, *test.caption, *test.header, *test.subheader))


def rows_of(small: Path, table: str, model: str) -> list[dict[str, Any]]:
    """Rows of a table about one model, as they were written."""
    store = open_store(small)
    return [row for key in store.models(table) for row in store.read(table, key) if row["model_id"] == model]


@pytest.fixture
def source(small: Path) -> Source:
    path = latest(small / "published")
    assert path
    return Source(path)


# ------------------------------------------------------------------------------------------------- a real browser


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Path], str]]:
    """A function that starts the dashboard over a data folder, as `rotoscale dashboard` does, and says where it is."""
    running: dict[Path, tuple[subprocess.Popen[bytes], str]] = {}

    def start(data: Path) -> str:
        if data not in running:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            log = open(tmp_path_factory.mktemp("server") / "log", "wb")  # noqa: SIM115
            environment = {**launch.environment(), "ROTOSCALE_DATA": str(data)}
            process = subprocess.Popen(launch.command(port), env=environment, cwd="/", stdout=log, stderr=log)
            running[data] = (process, launch.address(port))
            _wait(process, launch.address(port))
        return running[data][1]

    yield start
    for process, _ in running.values():
        process.terminate()
        process.wait(20)


def _wait(process: subprocess.Popen[bytes], address: str) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        assert process.poll() is None, "the dashboard ended while starting"
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the dashboard did not answer within a minute")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium; tests are skipped where it is not installed. Its event loop ends with the file that used it."""
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not installed; `make setup-test` installs it")
    from playwright.sync_api import sync_playwright

    quiet = ["--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--no-first-run", *quiet]
        )
        yield chromium
        chromium.close()
