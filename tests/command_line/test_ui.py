"""`rotoscale ui` and `rotoscale dashboard` as their user has them: started, asked over HTTP, stopped by a signal.

Nothing is launched here but the command itself: what appears in its data folder is the automation's own doing.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest
from dagster._core.test_utils import create_run_for_test

from resources.warehouse import current, read

MODELS = {"base", "tuned", "unrelated"}
STRUCTURE = {"checkpoints", "decompositions", "scale_statistics", "rotation_statistics", "tensor_changes"}
MATRICES = 3 * 7  # layers of a tiny model, matrices of a layer
PATIENCE = 300.0  # seconds; took 213 on two cores with seven times their work, so that less would fail for no fault
ASSETS = """{ assetNodes {
    assetKey { path } partitionKeys partitionStats { numMaterialized numPartitions numFailed }
} }"""


class Command:
    """One running `rotoscale` command that serves, and every process that came of it."""

    def __init__(self, arguments: list[str], data: Path, families: Path, log: Path) -> None:
        self.data, self.log = data, log
        self.started = time.monotonic()
        with log.open("wb") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "command_line", *arguments],
                env={**os.environ, "ROTOSCALE_DATA": str(data), "ROTOSCALE_FAMILIES": str(families)},
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def until(self, what: str, look: Callable[[], Any], seconds: float) -> Any:
        """The first true answer of `look`; fails `seconds` after the start, or when the command ends before."""
        seen = None
        while time.monotonic() < self.started + seconds:
            assert self.process.poll() is None, f"ended while waiting for {what}; {self.said()}"
            seen = look()
            if seen:
                return seen
            time.sleep(0.5)
        pytest.fail(f"{what}: not within {seconds:.0f} s; {self.said()}")

    def said(self) -> str:
        """The end of what the command wrote."""
        return "its last words:\n" + self.log.read_text(errors="replace")[-3000:]

    def family(self) -> set[psutil.Process]:
        """The command's descendants, and strays: processes that were handed its data folder."""
        found: set[psutil.Process] = set()
        with contextlib.suppress(psutil.NoSuchProcess):
            found |= set(psutil.Process(self.process.pid).children(recursive=True))
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("ROTOSCALE_DATA") == str(self.data):
                    found.add(process)
        return {process for process in found if process.pid != self.process.pid}

    def stop(self) -> int:
        """Ask the command itself, and nobody else, to end; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def kill(self) -> None:
        """End whatever is left, however the test went."""
        for process in self.family():
            with contextlib.suppress(psutil.Error):
                process.kill()
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def running(*arguments: object, data: Path, families: Path) -> Iterator[Command]:
    command = Command([str(part) for part in arguments], data, families, data.with_name("log.txt"))
    try:
        yield command
    finally:
        command.kill()


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, all different because all are held at once."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def answer(url: str, query: str | None = None) -> tuple[int, bytes] | None:
    """Status and body of a request (of a GraphQL one, if there is a query); None while nobody answers it."""
    body = json.dumps({"query": query}).encode() if query else None
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"} if query else {})
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, response.read()
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return None


def asset_nodes(port: int) -> dict[str, dict[str, Any]]:
    """What Dagster's GraphQL says of every asset, by name; empty while the code location is loading."""
    found = answer(f"http://127.0.0.1:{port}/graphql", ASSETS)
    reply = json.loads(found[1]) if found else {}
    return {node["assetKey"]["path"][-1]: node for node in (reply.get("data") or {}).get("assetNodes", ())}


def structure_is_there(port: int) -> bool:
    stats = [node["partitionStats"] for name, node in asset_nodes(port).items() if name in STRUCTURE]
    assert not any(counts["numFailed"] for counts in stats), stats
    return len(stats) == len(STRUCTURE) and all(counts["numMaterialized"] == len(MODELS) for counts in stats)


def published_matrices(published: Path) -> dict[str, int]:
    """Per model, the matrices whose rotation is in the published file."""
    if current(published) is None:
        return {}
    with read(published) as connection:
        return dict(connection.execute("SELECT model_id, count(*) FROM rotation_statistics GROUP BY 1").fetchall())


def assert_gone(processes: set[psutil.Process]) -> None:
    """None of them runs any more, which a process that was just killed may take a moment to show."""
    deadline = time.monotonic() + 5
    left = processes
    while left and time.monotonic() < deadline:
        left = {process for process in left if _runs(process)}
        time.sleep(0.1)
    assert not left


def _runs(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


@pytest.mark.long
def test_ui_fills_everything_by_itself_and_leaves_no_process(tmp_path: Path, families: Path) -> None:
    data = tmp_path / "data"
    port, dashboard_port = free_ports(2)
    arguments = ("ui", "--port", port, "--dashboard-port", dashboard_port)
    with running(*arguments, data=data, families=families) as command:
        status, page = command.until("dashboard", lambda: answer(f"http://127.0.0.1:{dashboard_port}"), 120)
        assert (status, b"<html" in page) == (200, True)
        status, info = command.until("Dagster UI", lambda: answer(f"http://127.0.0.1:{port}/server_info"), 120)
        assert status == 200
        assert "dagster_webserver_version" in json.loads(info)

        nodes = command.until("assets", lambda: asset_nodes(port), 120)
        assert set(nodes) >= {*STRUCTURE, "warehouse"}
        assert all(set(nodes[name]["partitionKeys"]) == MODELS for name in STRUCTURE)

        command.until("structure of every model", lambda: structure_is_there(port), PATIENCE)
        everything = dict.fromkeys(MODELS, MATRICES)
        command.until("publication", lambda: published_matrices(data / "published") == everything, PATIENCE + 120)

        children = command.family()
        assert len(children) >= 4  # Dagster's webserver, daemon and code server, and the dashboard
        assert command.stop() == 0
        assert_gone(children | command.family())
    for listening in (port, dashboard_port):
        assert answer(f"http://127.0.0.1:{listening}") is None


def test_dashboard_alone_starts_without_data_and_stops(tmp_path: Path, families: Path) -> None:
    (port,) = free_ports(1)
    with running("dashboard", "--port", port, data=tmp_path / "data", families=families) as command:
        status, page = command.until("dashboard", lambda: answer(f"http://127.0.0.1:{port}"), 60)
        assert (status, b"<html" in page) == (200, True)
        children = command.family()
        assert children
        assert command.stop() == 0
        assert_gone(children | command.family())
    assert answer(f"http://127.0.0.1:{port}") is None


def test_a_port_that_is_taken_is_named_with_the_option_to_change(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        environment = {**os.environ, "ROTOSCALE_DATA": str(tmp_path)}
        command = [sys.executable, "-m", "command_line", "dashboard", "--port", str(port)]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == 1
    assert f"port {port} is taken" in result.stderr
    assert "--port" in result.stderr


def test_unfinished_runs_of_the_daemon_are_released_and_those_of_the_command_line_are_not() -> None:
    from command_line.commands.ui import release_runs

    with dg.DagsterInstance.ephemeral() as instance:
        runs = {
            name: create_run_for_test(instance, job_name="job", status=dg.DagsterRunStatus.STARTED, tags=tags)
            for name, tags in {"daemon": {".dagster/grpc_info": "{}"}, "command line": {}}.items()
        }
        release_runs(instance)
        found = {name: instance.get_run_by_id(run.run_id).status for name, run in runs.items()}
    assert found == {"daemon": dg.DagsterRunStatus.CANCELED, "command line": dg.DagsterRunStatus.STARTED}
