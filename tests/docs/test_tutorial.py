"""The tutorial word by word: its commands, in its order, in one shell, as a reader types them; and the notebook.

What installs, takes minutes or serves until it is stopped is not run here: `make` is asked whether it knows the target.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import synthetic
from tests.docs.pages import DOCS, PROJECT, blocks, commands

TUTORIAL = DOCS / "tutorial.md"
NOT_HERE = {"make setup", "source .venv/bin/activate", "make demo", "make ui"}
"""Of the tutorial's commands; all others run."""


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The folder that the tutorial was followed in, and what each command printed."""
    folder = tmp_path_factory.mktemp("tutorial")
    for needed in ("demo", "families"):
        (folder / needed).symlink_to(PROJECT / needed)
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    command = bin_folder / "rotoscale"
    command.write_text(f'#!/bin/sh\nPYTHONPATH={PROJECT} exec {sys.executable} -W ignore -m command_line "$@"\n')
    command.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "ROTOSCALE_DATA": str(folder / "data"),
        "COLUMNS": "100",
    }
    printed = {}
    for line in commands(TUTORIAL):
        if line not in NOT_HERE:
            done = subprocess.run(
                line, shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=500, check=False
            )
            assert done.returncode == 0, f"{line}\n{done.stdout[-1000:]}\n{done.stderr[-2000:]}"
            printed[line] = done.stdout
    return folder, printed


def test_what_is_not_run_is_known_to_make() -> None:
    assert set(commands(TUTORIAL)) >= NOT_HERE
    for line in NOT_HERE:
        if line.startswith("make "):
            known = subprocess.run(["make", "-n", line.split()[1]], cwd=PROJECT, capture_output=True, check=False)
            assert known.returncode == 0, line


def test_commands_do_what_the_tutorial_says(followed: tuple[Path, dict[str, str]]) -> None:
    folder, printed = followed
    compared = next(text for line, text in printed.items() if "compare" in line)
    reading = " ".join(compared.split())
    for said in ("The weights changed by", "One factor per matrix", "of 28 matrices", "bit-identical"):
        assert said in reading
    assert (folder / "build" / "broken" / "edit.json").exists()
    assert (folder / "build" / "control" / "edit.json").exists()
    assert (folder / "build" / "demo-math.html").stat().st_size > 100_000


def test_queries_print_what_the_tutorial_says(
    followed: tuple[Path, dict[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The first over what was compared just now, the one about claims over verdicts that are made up."""
    synthetic.small(tmp_path / "data")
    first, on_claims = blocks(TUTORIAL, "python")
    for folder, program, said in ((followed[0], first, "share_scale"), (tmp_path, on_claims, "supported")):
        monkeypatch.chdir(folder)
        exec(compile(program, TUTORIAL.name, "exec"), {})
        assert said in capsys.readouterr().out


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed (the extra `dev`)")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed (the extra `dev`)")
    import nbformat

    notebook = nbformat.read(DOCS / "tour.ipynb", as_version=4)
    monkeypatch.setenv("JUPYTER_PATH", str(_kernel(tmp_path)))
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    monkeypatch.delenv("MPLBACKEND", raising=False)  # what other tests set would keep figures out of the notebook
    where = {"metadata": {"path": str(DOCS)}}
    client = nbclient.NotebookClient(notebook, timeout=500, resources=where, kernel_name="tour")
    client.execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    figures = [output for output in outputs if "image/png" in output.get("data", {})]
    printed = "".join(output.text for output in outputs if output.output_type == "stream")
    assert len(figures) == 4
    for said in ("28 principal matrices", "called together after correction:", "distance to demo-math", "control"):
        assert said in printed


def _kernel(folder: Path) -> Path:
    """A folder with a kernel called `tour`, of this very Python, installed nowhere else."""
    place = folder / "kernels" / "tour"
    place.mkdir(parents=True)
    arguments = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (place / "kernel.json").write_text(json.dumps({"argv": arguments, "display_name": "tour", "language": "python"}))
    return folder
