"""`rotoscale circuit`: rows as JSON for models that nobody registered, and a sentence for what does not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from assets.groups import contract
from command_line.cli import cli
from rotoscale.errors import RotoscaleError
from tests.wired_family import make_wired_family


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("wired")
    make_wired_family(made)
    return made


def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *arguments: Any) -> Result:
    for name in ("ROTOSCALE_DATA", "ROTOSCALE_DEVICE", "ROTOSCALE_WORKERS"):
        monkeypatch.setenv(name, "")  # what the command sets is undone after the test
    words = ["circuit", *map(str, arguments), "--data", str(tmp_path / "data")]
    return CliRunner().invoke(cli, words)


def test_rows_of_every_table(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "rows.json"
    result = run(
        tmp_path, monkeypatch, folder / "wired", "--in", folder / "without-backup", "--json", file, "--prompts", 8,
        "--boxes", 3,
    )  # fmt: skip
    assert result.exit_code == 0, result.exception
    for words in ("Circuits by group", "Faithfulness", "Heads exchanged", "without-backup"):
        assert words in result.output
    assert "Check failed" not in result.output
    rows = json.loads(file.read_text(), parse_constant=lambda value: pytest.fail(f"{value} is no JSON"))
    tables = {name: table for name, table in contract().items() if table.group == "circuits"}
    assert set(rows) == set(tables)
    for name, table in tables.items():
        keys = [tuple(row[column] for column in table.key) for row in rows[name]]
        assert keys, name
        assert len(set(keys)) == len(keys), name
        assert all(set(row) <= {column.name for column in table.columns} for row in rows[name]), name
    steps = {(r["model_id"], r["circuit_group"]) for r in rows["circuit_heads"]}
    assert steps == {(model, group) for model in ("wired", "without-backup") for group in "ABCD"}
    assert len(rows["circuit_heads"]) == 2 * 4 * 16  # every head's score of every step
    assert not (tmp_path / "data" / "tables").exists()  # nothing is stored


@pytest.mark.parametrize(
    ("model", "more", "complaint"),
    [
        ("one-layer", (), "one-layer has one layer; a circuit is a chain of heads and needs at least two"),
        ("short", (), r"short: .*context"),
        ("wired", ("--in", "other-heads"), "their heads do not correspond"),
        ("wired", ("--in", "wired"), "is the model itself"),
        ("wired", ("--in", "nowhere"), "nowhere"),
    ],
)
def test_what_does_not_fit_is_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, more: tuple[str, ...], complaint: str
) -> None:
    arguments = [word if word.startswith("--") else folder / word for word in more]
    result = run(tmp_path, monkeypatch, folder / model, *arguments, "--prompts", 8)
    assert isinstance(result.exception, RotoscaleError)
    assert result.exit_code == 1
    with pytest.raises(RotoscaleError, match=complaint):
        raise result.exception


def test_a_tokenizer_that_splits_the_words_is_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    from tests.speakers import tokenizer

    copy = tmp_path / "letters"
    shutil.copytree(folder / "wired", copy)
    tokenizer().save_pretrained(copy)
    result = run(tmp_path, monkeypatch, copy)
    assert isinstance(result.exception, RotoscaleError)
    assert "letters: only 0 objects are single tokens" in str(result.exception)
