"""Calls of `resolve` in other processes, against the small Hub.

The client reads HF_ENDPOINT and HF_HUB_OFFLINE when it is imported, so each setting needs a process of its own; a
killed run needs one anyway. Calls with nothing special share one worker, which saves most of the time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.resources.hub_server import HubServer

PROJECT = Path(__file__).resolve().parents[2]
WORKER = """
import json, logging, resource, sys
from pathlib import Path
from resources import hub
logging.basicConfig()
for line in sys.stdin:
    a = json.loads(line)
    if a["largest"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (a["largest"], a["largest"]))
    steps = []
    try:
        s = hub.resolve(a["repo"], a["revision"], Path(a["cache"]), lambda done, total: steps.append((done, total)))
        out = {"path": str(s.path), "commit": s.commit}
    except hub.HubError as e:
        out = {"error": type(e).__name__, "message": str(e)}
    print(json.dumps(out | {"steps": steps}), flush=True)
"""


class Caller:
    """Calls `resolve` in other processes, which share one cache."""

    def __init__(self, server: HubServer, worker: subprocess.Popen[str], folder: Path):
        self.server, self.worker, self.folder = server, worker, folder
        self.cache = folder / "hub"

    def question(self, repo: str, revision: str = "main", cache: Path | None = None, largest: int = 0) -> str:
        asked = {"repo": repo, "revision": revision, "cache": str(cache or self.cache), "largest": largest}
        return json.dumps(asked) + "\n"

    def __call__(self, repo: str, revision: str = "main", cache: Path | None = None) -> dict[str, Any]:
        """Call in the shared worker."""
        assert self.worker.stdin
        assert self.worker.stdout
        self.worker.stdin.write(self.question(repo, revision, cache))
        self.worker.stdin.flush()
        return json.loads(self.worker.stdout.readline())

    def apart(self, repo: str, revision: str = "main", largest: int = 0, **env: str) -> dict[str, Any]:
        """Call in a process of its own; what it logged is under "log"."""
        process = start_worker(self.server, env)
        out, err = process.communicate(self.question(repo, revision, largest=largest), timeout=60)
        assert process.returncode == 0, err
        assert "Traceback" not in err
        return json.loads(out) | {"log": err}


def start_worker(server: HubServer, env: dict[str, str], errors: int = subprocess.PIPE) -> subprocess.Popen[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING_FACE"))}
    clean |= {"HF_ENDPOINT": server.endpoint, "HF_HOME": "/nowhere", "HF_HUB_DISABLE_TELEMETRY": "1"}
    clean |= {"PYTHONPATH": str(PROJECT), "NO_PROXY": "*", "no_proxy": "*", "OMP_NUM_THREADS": "1", **env}
    command, pipe = [sys.executable, "-c", WORKER], subprocess.PIPE
    return subprocess.Popen(command, env=clean, stdin=pipe, stdout=pipe, stderr=errors, text=True)


def shards(files: dict[str, bytes]) -> list[str]:
    return sorted(name for name in files if name.endswith(".safetensors"))


def on_disk(path: str) -> dict[str, bytes]:
    return {f.name: f.read_bytes() for f in Path(path).iterdir()}
