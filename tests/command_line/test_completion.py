"""Completion as a shell asks for it: a real bash with the script, and the command's own answer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]


def answer(line: str, families: Path, data: Path) -> list[str]:
    """What `rotoscale` offers after `line`, which ends where the cursor is."""
    words = line.split(" ")
    environment = {
        **os.environ,
        "_ROTOSCALE_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
        "ROTOSCALE_FAMILIES": str(families),
        "ROTOSCALE_DATA": str(data),
    }
    done = subprocess.run(
        [sys.executable, "-m", "command_line"],
        cwd=PROJECT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return [found.split(",", 1)[1] for found in done.stdout.splitlines() if found]


def test_commands_options_and_models_are_offered(families: Path, tmp_path: Path) -> None:
    assert answer("rotoscale new-", families, tmp_path) == ["new-family"]
    assert "--recipe" in answer("rotoscale edit --rec", families, tmp_path)
    assert answer("rotoscale run tun", families, tmp_path) == ["tuned"]


def test_a_broken_family_file_does_not_spoil_the_prompt(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("family: [")
    assert answer("rotoscale run de", tmp_path, tmp_path / "data") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_that_the_shell_reads(shell: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "command_line", "completion", shell],
        cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "_ROTOSCALE_COMPLETE" in done.stdout
    if shutil.which(shell):
        read = subprocess.run([shell, "-n"], input=done.stdout, capture_output=True, text=True, check=False)
        assert read.returncode == 0, read.stderr
