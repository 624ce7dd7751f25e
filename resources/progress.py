"""Progress of long work, told to whoever listens: a bar in a terminal, log lines in Dagster.

Work calls `report(label, done, total)` often and cheaply; listeners are installed around it by whoever shows it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Listener = Callable[[str, float, float], None]

_listeners: list[Listener] = []
_LOG_EVERY_SECONDS = 10.0


def report(label: str, done: float, total: float) -> None:
    """Tell all listeners that `done` of `total` units of `label` are finished."""
    for listener in _listeners:
        listener(label, done, total)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Install a listener for the duration of a block."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


@contextmanager
def logging_to(write: Callable[[str], None]) -> Iterator[None]:
    """Log progress through `write`, at most one line in ten seconds and one when a label is finished."""
    last = time.monotonic()

    def listener(label: str, done: float, total: float) -> None:
        nonlocal last
        now = time.monotonic()
        if total and now - last >= _LOG_EVERY_SECONDS:
            last = now
            write(f"{label}: {100 * done / total:.0f} %")

    with listening(listener):
        yield
