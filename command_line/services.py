"""Running servers until Ctrl-C, and leaving nothing behind.

Each server gets a session of its own, because they start children that a signal to the parent alone would leave
running; the whole session is asked to stop, and after a while made to.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_PATIENCE_SECONDS = 10.0


@dataclass(frozen=True)
class Service:
    """A server: its name for messages, its command line, and the environment it runs in."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]


class _Stop(Exception):  # noqa: N818 (a signal, not an error)
    pass


def serve(services: Sequence[Service], folder: Path) -> int:
    """Run services in `folder` until a signal arrives or one of them ends; then stop all. Returns an exit code."""

    def stop(*_: object) -> None:
        raise _Stop

    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, stop)
    running: list[tuple[Service, subprocess.Popen[bytes]]] = []
    try:
        for service in services:
            process = subprocess.Popen(
                service.command, cwd=folder, env=dict(service.environment), start_new_session=True
            )
            running.append((service, process))
        while all(process.poll() is None for _, process in running):
            time.sleep(0.3)
        return 1
    except _Stop:
        return 0
    finally:
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, signal.SIG_IGN)
        _stop([process for _, process in running])


def _stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        _signal(process, signal.SIGTERM)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            continue
    for process in processes:
        _signal(process, signal.SIGKILL)  # children may outlive the parent that was asked
        process.wait()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return
