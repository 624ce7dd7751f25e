"""`rotoscale doctor` finds every kind of damage, names the file and what to do."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file, save_file

from assets.groups import contract
from command_line.commands.doctor import doctor
from resources.checkpoints import open_checkpoint, weight_hash
from resources.evaluation.store import ResultStore
from resources.factors import FactorStore
from resources.records import write_record
from resources.warehouse import TableStore, publish

STAMP = {"run_id": "r", "code_version": "1"}


@pytest.fixture
def data(tmp_path: Path, checkpoints: Path) -> Path:
    """A data folder with one sound thing of every kind."""
    data = tmp_path / "data"
    W = torch.randn(40, 24, generator=torch.Generator().manual_seed(0))
    FactorStore(data / "factors").get_values(weight_hash(W), W)
    FactorStore(data / "factors").get(weight_hash(W), W)
    write_record(data / "pairs" / "ab" / "pair.json", {"nf": 0.25})
    write_record(data / "content-hashes" / "hash.json", {"content_hash": "abc"})
    ResultStore(data / "evaluations").keep("too sharp", "broken", 1)
    shutil.copytree(checkpoints / "tuned", data / "edits" / "tuned--noise")
    edit = {
        "edit_id": "tuned--noise",
        "model_id": "tuned",
        "status": "ready",
        "content_hash": open_checkpoint(data / "edits" / "tuned--noise").content_hash(),
    }
    tables = TableStore(data / "tables", contract())
    tables.write("edited_checkpoints", "tuned", [edit, {**edit, "edit_id": "tuned--gone"}], **STAMP)
    tables.write("models", "tuned", [{"model_id": "tuned", "status": "ready"}], **STAMP)
    publish(tables, data / "published")
    return data


def examined(data: Path, *arguments: str) -> Result:
    environment = {"ROTOSCALE_DATA": str(data), "ROTOSCALE_FAMILIES": str(data / "none"), "COLUMNS": "400"}
    return CliRunner(env=environment).invoke(doctor, arguments, catch_exceptions=False)


def flipped(pattern: str, share: float = 0.5) -> Callable[[Path], Path]:
    def damage(data: Path) -> Path:
        (path,) = data.glob(pattern)
        content = bytearray(path.read_bytes())
        content[int(len(content) * share)] ^= 4
        path.write_bytes(content)
        return path

    return damage


def rewritten(pattern: str, old: str, new: str) -> Callable[[Path], Path]:
    def damage(data: Path) -> Path:
        (path,) = data.glob(pattern)
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        return path

    return damage


def zeroed(data: Path) -> Path:
    path = data / "edits" / "tuned--noise" / "model.safetensors"
    tensors = load_file(path)
    save_file({name: torch.zeros_like(tensor) for name, tensor in tensors.items()}, path, {"format": "pt"})
    return path.parent


def cut_short(data: Path) -> Path:
    path = data / "edits" / "tuned--noise" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    return path.parent


def test_a_sound_folder_is_called_so(data: Path) -> None:
    result = examined(data)
    assert result.exit_code == 0, result.output
    assert "WRONG" not in result.output
    for line in ("tables", "pairs", "evaluations", "hashes", "factors", "edits", "published"):
        assert line in result.output


@pytest.mark.parametrize(
    ("damage", "remedy"),
    [
        (flipped("tables/models/*/rows.parquet"), "materialize models for tuned again"),
        (flipped("tables/models/*/rows.parquet", 0.95), "materialize models for tuned again"),
        (rewritten("pairs/*/*.json", "0.25", "0.75"), "made again"),
        (rewritten("evaluations/*/*.json", "sharp", "blunt"), "made again"),
        (rewritten("content-hashes/*.json", "abc", "abd"), "made again"),
        (flipped("factors/??/*[0-9].safetensors"), "damaged"),
        (flipped("factors/??/*-values.safetensors"), "damaged"),
        (zeroed, "rotoscale run tuned"),
        (cut_short, "rotoscale run tuned"),
    ],
)
def test_damage_is_found_and_named_with_its_remedy(data: Path, damage: Callable[[Path], Path], remedy: str) -> None:
    path = damage(data)
    result = examined(data)
    assert result.exit_code == 1
    assert result.output.count("WRONG") == 1
    shown = "".join(result.output.split())  # long lines are folded
    assert "".join(str(path).split()) in shown.replace("│", "")
    assert "".join(remedy.split()) in shown.replace("│", "")


def test_what_takes_long_can_be_left_out(data: Path) -> None:
    zeroed(data)
    flipped("factors/??/*-values.safetensors")(data)
    assert examined(data, "--quick").exit_code == 0
    assert examined(data).output.count("WRONG") == 2


def test_an_empty_folder_is_sound(tmp_path: Path) -> None:
    result = examined(tmp_path / "data")
    assert result.exit_code == 0, result.output
    assert "nothing published yet" in result.output
