"""A real Postgres and a real Ray cluster on this machine, as several machines would have them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil

PASSWORD = "only-for-this-test"
ATTEMPTS = 8
"""How often a node of Ray that ends while it starts is started again."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def postgres_programs() -> Path | None:
    """The folder of Postgres' programs; Debian keeps them off the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[dict[str, str]]:
    """A fresh Postgres with a password; the environment that Dagster's instance finds it by."""
    programs = postgres_programs()
    assert programs is not None
    port = free_port()
    folder.mkdir()
    # Postgres refuses to run as root; its package brings a user of its own.
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if as_user:
        shutil.chown(folder, "postgres")
    password = folder.with_name("password")
    password.write_text(PASSWORD)
    password.chmod(0o644)

    def run(*command: str) -> None:
        done = subprocess.run([*as_user, *command], cwd="/", capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr + done.stdout

    data, log = folder / "data", folder / "log"
    run(f"{programs}/initdb", "-D", str(data), "-U", "rotoscale", "-A", "scram-sha-256", f"--pwfile={password}")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
    run(f"{programs}/pg_ctl", "-D", str(data), "-w", "-l", str(log), "-o", options, "start")
    try:
        yield {
            "DAGSTER_PG_HOST": "127.0.0.1",
            "DAGSTER_PG_PORT": str(port),
            "DAGSTER_PG_USER": "rotoscale",
            "DAGSTER_PG_PASSWORD": PASSWORD,
            "DAGSTER_PG_DB": "postgres",
        }
    finally:
        run(f"{programs}/pg_ctl", "-D", str(data), "-m", "immediate", "stop")


class Ray:
    """A Ray head that hands out work, and workers of one CPU each, every one with its own processes."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.port, self.dashboard = free_port(), free_port()
        waiting = {
            "RAY_JOB_START_TIMEOUT_SECONDS": "86400",  # as in deploy/compose.yaml
            "RAY_gcs_server_request_timeout_seconds": "300",  # a busy machine may not keep the minute that is usual
        }
        self.environment = {**environment, **waiting, "ROTOSCALE_RAY": self.address}
        self.nodes: list[subprocess.Popen[bytes]] = []

    @property
    def address(self) -> str:
        """Where jobs are submitted."""
        return f"http://127.0.0.1:{self.dashboard}"

    def __enter__(self) -> Ray:
        head = ["--head", f"--port={self.port}", "--num-cpus=0", f"--dashboard-port={self.dashboard}"]
        shown = ["--include-dashboard=true", "--dashboard-host=127.0.0.1"]
        for _ in range(ATTEMPTS):
            node = self._start(*head, f"--temp-dir={self.folder}", *shown)
            while node.poll() is None:
                with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.address}/api/version", timeout=30):
                    return self
                time.sleep(1)
            self.nodes.remove(node)
        raise AssertionError("Ray's head does not start")

    def __exit__(self, *exc: object) -> None:
        for node in reversed(self.nodes):
            kill_all(node)

    def add_worker(self) -> None:
        """Start a worker and wait until it has joined."""
        before = self._alive()
        for _ in range(ATTEMPTS):
            node = self._start(f"--address=127.0.0.1:{self.port}", "--num-cpus=1")
            while node.poll() is None:
                if self._alive() > before:
                    return
                time.sleep(1)
            self.nodes.remove(node)
        raise AssertionError("no worker joins")

    def _alive(self) -> int:
        """Nodes that the head counts as alive."""
        with urllib.request.urlopen(f"{self.address}/nodes?view=summary", timeout=60) as answer:
            nodes = json.load(answer)["data"]["summary"]
        return sum(node["raylet"].get("state") == "ALIVE" for node in nodes)

    def worker_of(self, run_id: str) -> subprocess.Popen[bytes] | None:
        """The worker that executes a run of Dagster now."""
        for node in self.nodes[1:]:
            for process in descendants(node):
                with contextlib.suppress(psutil.Error):
                    command = process.cmdline()
                    if "execute_run" in command and any(run_id in argument for argument in command):
                        return node
        return None

    def jobs(self) -> str:
        """What everybody who can reach the head may read about the jobs."""
        with urllib.request.urlopen(f"{self.address}/api/jobs/", timeout=60) as answer:
            return str(answer.read().decode())

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        # Each node has an agent that speaks HTTP: on one machine each needs a port of its own.
        own = [f"--dashboard-agent-listen-port={free_port()}", "--node-ip-address=127.0.0.1"]
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", *arguments, *own]
        with open(self.folder.with_name("ray.log"), "ab") as log:
            node = subprocess.Popen(
                [*command, "--object-store-memory=100000000", "--disable-usage-stats", "--block"],
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.nodes.append(node)
        return node


def descendants(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def kill_all(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to a process and all that came of it, as when a machine loses its power."""
    for one in [*descendants(process), process]:
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            one.kill()
    process.wait()
