"""`rotoscale audit` as its user runs it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file, save_file

from command_line.commands.audit import audit
from rotoscale.errors import RotoscaleError


@pytest.fixture
def folders(checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """base, an adapter on it and two merged copies, the second with a norm's weight changed."""
    monkeypatch.setenv("ROTOSCALE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("ROTOSCALE_FAMILIES", str(tmp_path / "none"))
    base = load_file(checkpoints / "base" / "model.safetensors")
    generator = torch.Generator().manual_seed(0)
    module = "model.layers.1.self_attn.q_proj"
    A, B = torch.randn(2, 32, generator=generator), torch.randn(32, 2, generator=generator) * 0.1
    (tmp_path / "adapter").mkdir()
    names = {f"base_model.model.{module}.lora_{side}.weight": factor for side, factor in (("A", A), ("B", B))}
    save_file(names, tmp_path / "adapter" / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "base_model_name_or_path": "base"}
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(config))
    shutil.copytree(checkpoints / "base", tmp_path / "base")
    for name in ("merged", "wrong"):
        shutil.copytree(checkpoints / "base", tmp_path / name)
        tensors = base | {f"{module}.weight": base[f"{module}.weight"] + 2 * B @ A}
        if name == "wrong":
            tensors["model.norm.weight"] = tensors["model.norm.weight"] + 0.5
        save_file(tensors, tmp_path / name / "model.safetensors", {"format": "pt"})
    return tmp_path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(audit, [str(argument) for argument in arguments], standalone_mode=False)


def test_a_right_and_a_wrong_merge(folders: Path) -> None:
    right = run(folders / "base", folders / "adapter", folders / "merged")
    assert right.return_value == 0
    assert right.stdout.splitlines()[0] == "merged exactly"
    file = folders / "rows.json"
    wrong = run(folders / "base", folders / "adapter", folders / "wrong", "--json", file)
    assert wrong.return_value == 3
    assert wrong.stdout.splitlines()[0] == "something else changed besides"
    assert "model.norm.weight (32 of 32 elements" in wrong.stdout
    found = json.loads(file.read_text())
    assert found["verdicts"] == ["something else changed besides"]
    assert found["scale_low"] < 1 < found["scale_high"]
    norm = next(row for row in found["tensors"] if row["tensor"] == "model.norm.weight")
    assert (norm["verdict"]["outside"], norm["targeted"]) == (32, False)


def test_two_copies_and_mistakes(folders: Path) -> None:
    assert run(folders / "base", folders / "base").stdout.splitlines()[0] == "equal"
    different = run(folders / "merged", folders / "wrong")
    assert (different.return_value, different.stdout.splitlines()[0]) == (3, "different")
    mistake = run(folders / "base", folders / "base", folders / "merged")
    assert isinstance(mistake.exception, RotoscaleError)
    assert "no LoRA adapter" in str(mistake.exception)
