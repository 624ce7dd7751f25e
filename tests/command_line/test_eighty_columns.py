"""Everything that is printed fits 80 columns in a pipe, without colours and frames."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from command_line import show, show_claims, show_scores
from command_line.cli import cli
from command_line.commands import circuit
from resources.warehouse import read
from resources.warehouse.summaries import summarize
from tests import synthetic

COMMANDS = sorted(cli.list_commands(None))  # type: ignore[arg-type]
WIDTH = 80


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a made-up demo family, published."""
    folder = tmp_path_factory.mktemp("eighty")
    synthetic.small(folder)
    return folder


@pytest.fixture
def short(tmp_path: Path, checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of short names, in which commands run: what exceeds the width is not the name of a folder."""
    for name in ("base", "tuned"):
        shutil.copytree(checkpoints / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROTOSCALE_DATA", "data")
    monkeypatch.delenv("COLUMNS", raising=False)
    return tmp_path


def require_plain(text: str) -> None:
    """Fail on a line that is too long, but for one long word, on colours, frames and cut words."""
    long = [line for line in text.splitlines() if len(line) > WIDTH and len(line.split()) > 1]
    assert not [line for line in long if not re.search(r"\S{60,}", line)], long
    assert not set(text) & set("\x1b…│┃━─")


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    shown = CliRunner().invoke(cli, [*([command] if command else []), "--help"])
    assert shown.exit_code == 0
    require_plain(shown.stdout)
    assert max(map(len, shown.stdout.splitlines())) <= WIDTH


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("families", "demo-math-lora"),
        ("families --wide", "demo-math-lora"),
        ("doctor --quick", "lm_eval"),
        ("releases", "No family watches anything"),
        ("backfill --dry-run", "models would be brought up to date"),
        ("publish", "published/"),
        ("audit base tuned", "Not bit for bit as expected"),
        ("lineage base tuned", "p_match"),
        ("edit base tuned --recipe interpolate --t 3 --out edited", "Note: "),
        ("adapter-init base --band top --rank 2 --out start", "PeftModel.from_pretrained"),
        ("new-family mine base tuned --out mine.yaml", "registers"),
    ],
)
def test_commands(arguments: str, said: str, short: Path) -> None:
    shown = CliRunner().invoke(cli, arguments.split())
    assert shown.exception is None or isinstance(shown.exception, SystemExit), shown.exception
    require_plain(shown.stdout)
    assert said in " ".join(shown.stdout.split())


def _circuit(console: Console, connection: Any) -> None:
    names = ("circuit_screens", "circuit_heads", "circuit_faithfulness", "cross_model_patching", "circuit_checks")
    tables = {name: connection.execute(f"SELECT * FROM {name}").df().to_dict("records") for name in names}
    circuit._print(console, tables, "the circuit was found on fewer prompts than its authors took " * 2)


PRINTED: dict[str, Callable[[Console, Any], Any]] = {
    "run": lambda console, c: show_claims.claims(console, c, {"demo"}),
    "run --verbose": lambda console, c: show_scores.scores(console, c, "demo-math"),
    "run --verbose, all": lambda console, c: show.overview(console, [summarize(c, "demo-math", "demo-base")]),
    "compare --wide": lambda console, c: show.comparison(console, summarize(c, "demo-math", "demo-base")),
    "circuit": _circuit,
}
"""What commands that take long print of rows that are there."""


@pytest.mark.parametrize("what", PRINTED)
def test_what_is_printed_of_a_warehouse(what: str, data: Path) -> None:
    console = Console(width=WIDTH, file=io.StringIO(), highlight=False)
    with read(data / "published") as connection:
        PRINTED[what](console, connection)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    require_plain(text)
    assert max(map(len, text.splitlines())) <= WIDTH
    assert len(text.splitlines()) > 2
