"""`rotoscale edit` as its user runs it, in processes of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file

from rotoscale.recipes import RECIPES

PROJECT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "command_line", "edit"]


def environment(data: Path) -> dict[str, str]:
    return {**os.environ, "ROTOSCALE_DATA": str(data), "ROTOSCALE_FAMILIES": str(data / "none"), "COLUMNS": "200"}


def edit(data: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], env=environment(data), capture_output=True, text=True, timeout=300
    )


def test_an_edit_is_made_and_can_be_loaded(checkpoints: Path, tmp_path: Path) -> None:
    pair = checkpoints / "base", checkpoints / "tuned"
    scope = ["--matrices", "q,o", "--layers", "0,2"]
    out = tmp_path / "out"
    result = edit(tmp_path, *pair, "--recipe", "disrupt-left", *scope, "--out", out)
    assert result.returncode == 0, result.stderr
    assert "4 matrices edited" in result.stdout
    assert "doing nothing" in result.stdout
    assert f'from_pretrained("{out}")' in result.stdout
    manifest = json.loads((out / "edit.json").read_text())["manifest"]
    assert manifest["parameters"] == {
        "recipe": "disrupt-left",
        "aligned": True,
        "matrices": ["q", "o"],
        "layers": "0,2",
        "of": "post",
    }
    assert 0 < manifest["base_error"] < manifest["weight_error"]
    before, after = load_file(checkpoints / "tuned" / "model.safetensors"), load_file(out / "model.safetensors")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert len(changed) == 4
    assert all(("q_proj" in name or "o_proj" in name) and ".1." not in name for name in changed)
    assert (
        hf.AutoModelForCausalLM.from_pretrained(out).generate(torch.arange(1, 5)[None], max_new_tokens=3).shape[1] > 4
    )
    # Nothing was registered: the pair does not appear in the UI.
    assert not (tmp_path / "families").exists()
    # The same again replaces it; every option reaches the recipe.
    again = edit(tmp_path, *pair, "--recipe", "disrupt-left", "--unaligned", "--of-noise", "--seed", 5, "--out", out)
    assert again.returncode == 0, again.stderr
    manifest = json.loads((out / "edit.json").read_text())["manifest"]
    assert (manifest["parameters"]["aligned"], manifest["parameters"]["of"], manifest["seed"]) == (False, "noise", 5)


def test_a_folder_may_be_called_anything(checkpoints: Path, tmp_path: Path) -> None:
    """Brackets are markup to the library that prints, and a long name must stay in one piece."""
    out = tmp_path / ("a long [bold] name " * 8) / "x[/y]"
    result = edit(tmp_path, checkpoints / "base", checkpoints / "tuned", "--recipe", "noise", "--out", out)
    assert result.returncode == 0, result.stderr
    assert f'from_pretrained("{out}")' in result.stdout
    assert (out / "edit.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--recipe", "disrupt"], "there is no recipe 'disrupt'. Did you mean"),
        (["--recipe", "noise", "--alpha", "one"], "noise has no parameter 'alpha'"),
        (["--recipe", "prescale"], "needs factor"),
        (["--recipe", "noise", "--unaligned"], "noise has no parameter 'aligned'"),
        (["--recipe", "noise", "--layers", "7"], "no layer 7"),
        (["--recipe", "noise", "--matrices", "w"], "no matrix type w"),
    ],
)
def test_mistakes_are_one_sentence(checkpoints: Path, tmp_path: Path, arguments: list[str], words: str) -> None:
    result = edit(tmp_path, checkpoints / "base", checkpoints / "tuned", *arguments, "--out", tmp_path / "out")
    assert result.returncode == 1
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


def test_help_names_every_recipe(tmp_path: Path) -> None:
    text = edit(tmp_path, "--help").stdout
    for name in RECIPES:
        assert f"  {name} " in text
    for recipe in RECIPES.values():
        assert recipe.question in " ".join(text.split())
        for parameter in recipe.parameters:
            assert f"--{(parameter.opposite or parameter.name).replace('_', '-')} " in text
    for option in ("--matrices", "--layers", "--of-noise", "--seed"):
        assert option in text


TOY = """
from rotoscale.recipes.registry import Parameter, recipe

_AMOUNT = Parameter("amount", "number", "what is added to every entry", default=0.25)
_DRY = Parameter("dry", "flag", "add nothing", default=False)


@recipe(
    "shift", "W_b + amount", question="?", order=15, around="base", parameters=[_AMOUNT, _DRY], by_default=({},)
)
def shift(pair, *, amount, dry):
    \"\"\"The base with a number added.\"\"\"
    return pair.base + (0 if dry else amount)
"""


def test_a_recipe_is_one_file(checkpoints: Path, tmp_path: Path) -> None:
    """A copy of the project with one more file: an option, a place in the list, a default edit, a checkpoint."""
    for package in ("rotoscale", "resources", "command_line", "assets"):
        shutil.copytree(PROJECT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "rotoscale" / "recipes" / "shift.py").write_text(TOY, encoding="utf-8")

    def run(*arguments: object) -> str:
        command = [sys.executable, *map(str, arguments)]
        return subprocess.run(
            command, cwd=tmp_path, env=environment(tmp_path / "data"), capture_output=True, text=True, check=True
        ).stdout

    help_text = run("-m", "command_line", "edit", "--help")
    assert help_text.index("replace-scale ") < help_text.index("shift ") < help_text.index("disrupt-left ")
    assert "--amount FLOAT" in help_text
    out = tmp_path / "out"
    edited = ["--recipe", "shift", "--amount", 0.5, "--matrices", "q", "--layers", 0, "--out", out]
    run("-m", "command_line", "edit", checkpoints / "base", checkpoints / "tuned", *edited)
    name = "model.layers.0.self_attn.q_proj.weight"
    before, after = (load_file(folder / "model.safetensors")[name] for folder in (checkpoints / "base", out))
    assert torch.allclose(after, before + 0.5)
    labels = run("-c", "from resources.edits import default_plans; print([plan.label for plan in default_plans()])")
    assert "'shift-amount0.25'" in labels


def test_a_killed_run_leaves_nothing_half_made(tmp_path: Path) -> None:
    """kill -9 while the checkpoint is being written, then the same command again."""
    config = hf.LlamaConfig(
        hidden_size=256, intermediate_size=512, num_hidden_layers=6, num_attention_heads=4, vocab_size=512
    )
    torch.manual_seed(0)
    model = hf.AutoModelForCausalLM.from_config(config)
    model.save_pretrained(tmp_path / "base")
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.01 * torch.randn_like(weight))
    model.save_pretrained(tmp_path / "post")
    out = tmp_path / "edits" / "out"
    arguments = [tmp_path / "base", tmp_path / "post", "--recipe", "disrupt-left", "--out", out]
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)], env=environment(tmp_path / "data"), stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    written = 0
    while time.monotonic() < deadline and written < 1_000_000:
        files = list((tmp_path / "edits").glob(".out.partial-*/*.safetensors"))
        written = max((file.stat().st_size for file in files), default=0)
        time.sleep(0.002)
    assert process.poll() is None, "it was done before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert written >= 1_000_000
    assert not out.exists()
    result = edit(tmp_path / "data", *arguments)
    assert result.returncode == 0, result.stderr
    assert [path.name for path in (tmp_path / "edits").iterdir()] == ["out"]
    assert hf.AutoModelForCausalLM.from_pretrained(out)
