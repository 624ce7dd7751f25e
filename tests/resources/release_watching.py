"""Passes over a watched family against the small Hub, in another process: the client reads HF_ENDPOINT at import.

The worker's `time.sleep` is fifty times as short, so that the client's own waits between its tries cost a test little.
"""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.resources.hub_server import HubServer

PROJECT = Path(__file__).resolve().parents[2]
NOW = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC)

WORKER = """
import datetime, json, sys, time
slow = time.sleep
time.sleep = lambda seconds: slow(seconds / 50)
from assets.groups import open_workspace
from resources.releases import one_pass, seen_from
from resources.settings import load_settings
for line in sys.stdin:
    asked = json.loads(line)
    space = open_workspace(load_settings(data=asked["data"], families=asked["families"]))
    at = datetime.datetime.fromisoformat(asked["at"])
    started = time.monotonic()
    passed = one_pass(space, asked["family"], lambda: "made", "run", "releases-1", at=at)
    rows = {table: space.tables.read(table, asked["family"]) for table in ("releases", "release_polls")}
    registered = {m.id: m.source for m in space.registry.models.values() if m.id in space.registry.releases}
    answer = {"new": passed.registered, "until": passed.until, "registered": registered, **rows}
    print(json.dumps({**answer, "seconds": time.monotonic() - started}, default=str), flush=True)
"""


class Watcher:
    """One family of a folder of its own, watched from a worker process."""

    def __init__(self, server: HubServer, folder: Path, **env: str) -> None:
        self.server, self.folder = server, folder
        self.data, self.families = folder / "data", folder / "families"
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING_FACE", "ROTOSCALE_"))}
        clean |= {"HF_ENDPOINT": server.endpoint, "HF_HOME": str(folder / "hub"), "HF_HUB_DISABLE_TELEMETRY": "1"}
        clean |= {"PYTHONPATH": str(PROJECT), "NO_PROXY": "*", "no_proxy": "*", "OMP_NUM_THREADS": "1", **env}
        self.log = folder / "worker.log"
        folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as errors:
            command, pipe = [sys.executable, "-W", "ignore", "-c", WORKER], subprocess.PIPE
            self.worker = subprocess.Popen(command, env=clean, stdin=pipe, stdout=pipe, stderr=errors, text=True)

    def family(self, watch: str, name: str = "tiny", more: str = "") -> None:
        """Write the family file: one base on the Hub, and what it watches."""
        self.families.mkdir(exist_ok=True)
        text = f"family: {name}\nmodels:\n- {{id: {name}-base, role: base, hub: lab/base}}\n{more}watch: {watch}\n"
        (self.families / f"{name}.yaml").write_text(text)

    def look(self, hours: float = 0, family: str = "tiny") -> dict[str, Any]:
        """One pass, so many hours after `NOW`; its rows, with those of releases by model."""
        assert self.worker.stdin
        assert self.worker.stdout
        at = (NOW + datetime.timedelta(hours=hours)).isoformat()
        asked = {"data": str(self.data), "families": str(self.families), "family": family, "at": at}
        self.worker.stdin.write(json.dumps(asked) + "\n")
        self.worker.stdin.flush()
        line = self.worker.stdout.readline()
        assert line, self.log.read_text()[-3000:]
        return json.loads(line)

    def stop(self) -> None:
        """End the worker."""
        self.worker.communicate(timeout=30)


def decided(answer: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Decision and reason of every release but the watched base, by model; of several commits the last."""
    rows = [row for row in answer["releases"] if row["relation"] != "base"]
    return {row["model"]: (row["decision"], row["reason"]) for row in rows}


def words(answer: dict[str, Any]) -> dict[str, str]:
    """The decisions alone."""
    return {model: decision for model, (decision, _) in decided(answer).items()}
