"""`rotoscale compare` with Hub ids, through the real client against a small local Hub."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from resources.warehouse import read
from tests.resources.hub_server import HubServer


def files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def compare(server: HubServer, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    environment |= {
        "HF_ENDPOINT": server.endpoint,
        "HF_HOME": str(folder / "hub"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "ROTOSCALE_DATA": str(folder / "data"),
    }
    command = [sys.executable, "-m", "command_line", "compare", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


def test_hub_ids_are_compared_at_pinned_commits(tmp_path: Path, checkpoints: Path) -> None:
    with HubServer() as server:
        server.add("lab/base", files(checkpoints / "base"))
        commit = server.add("lab/tuned", files(checkpoints / "tuned"))
        result = compare(server, tmp_path, "lab/base", "lab/tuned@main")
        assert result.returncode == 0, result.stderr
        assert "edits and scores can tell" in result.stdout
        pickles = {"pytorch_model.bin": b"\x80\x04", "config.json": b"{}"}
        server.add("lab/pickled", pickles)
        refused = compare(server, tmp_path, "lab/base", "lab/pickled")
    assert refused.returncode == 1
    assert "safetensors" in refused.stderr
    assert "Traceback" not in refused.stderr
    with read(tmp_path / "data" / "published") as connection:
        rows = connection.execute("SELECT model_id, revision, source, status FROM models ORDER BY 1").fetchall()
    tuned = next(row for row in rows if "tuned" in row[0])
    assert tuned[1:] == (commit, "lab/tuned@main", "ready")
