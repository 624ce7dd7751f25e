"""Running servers until Ctrl-C, and leaving nothing behind.

Each server gets a session of its own, because they start children that a signal to the parent alone would leave
running; the whole session is asked to stop, and after a while made to. What they print goes to a file each, so that
the terminal keeps showing the addresses.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from command_line import interrupts
from rotoscale.errors import RotoscaleError

_PATIENCE_SECONDS = 10.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ServiceError(RotoscaleError):
    """A server cannot be started, or ended by itself."""


@dataclass(frozen=True)
class Service:
    """A server: its name for messages, its command line, the environment it runs in, and where its output goes."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path


def require_free(port: int, option: str) -> None:
    """Raise ServiceError, naming the option to change, when something listens at `port` of 127.0.0.1 already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ServiceError(f"port {port} is taken ({error.strerror}); choose another with {option}") from error


def serve(services: Sequence[Service], folder: Path, before_stop: Callable[[], None] = lambda: None) -> None:
    """Run services in `folder` until a signal arrives, then stop them all; `before_stop` is called first.

    Raises ServiceError naming the service and its log when one ends by itself.
    """
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    interrupts.uninstall()
    for number in _SIGNALS:
        signal.signal(number, stop)
    running: list[subprocess.Popen[bytes]] = []
    try:
        for service in services:
            service.log.parent.mkdir(parents=True, exist_ok=True)
            with open(service.log, "ab") as log:
                running.append(
                    subprocess.Popen(
                        service.command,
                        cwd=folder,
                        env=dict(service.environment),
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,
                    )
                )
        while not stopping:
            for service, process in zip(services, running, strict=True):
                if process.poll() is not None:
                    raise ServiceError(f"the {service.name} ended by itself; {service.log} says why")
            time.sleep(0.2)
    finally:
        before_stop()
        _stop(running)


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
