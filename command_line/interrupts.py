"""Ctrl-C at any moment: one sentence, exit code 130, no traceback.

The first one raises KeyboardInterrupt, so that temporary files go and locks and slots are given back. But it may
arrive inside a library that swallows it, turns it into another error or prints it, or in a long call into LAPACK that
no exception can end. So a thread watches too: after a few seconds, or at the second Ctrl-C, the process ends as it is.
That is safe because every file is written under a temporary name, and what a process leaves is swept by the next.

A terminal sends Ctrl-C to child processes too, whose tracebacks would be shown. So the main thread, from which children
inherit, blocks the signal, and the watching thread takes it; Python runs the handler in the main thread all the same.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from typing import Any, NoReturn

PATIENCE_SECONDS = 5.0
"""How long cleaning up may take."""

_SENTENCE = "interrupted; finished matrices are kept, run the same command again to go on\n"
_SHOW_CURSOR = "\x1b[?25h"
_signals: list[int] = []
"""Signals that have arrived."""
_arrived = threading.Event()
_raised = False
"""Whether KeyboardInterrupt was raised: once is enough, cleaning up must not be interrupted itself."""


def install() -> None:
    """Handle Ctrl-C (SIGINT) and `kill` (SIGTERM) from now on; call it once, in the main thread."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:  # as `nohup` and shells do for what runs in the background
            signal.signal(number, _raise)
    sys.unraisablehook = _unraisable
    before = threading.excepthook
    threading.excepthook = lambda arguments: None if _signals else before(arguments)
    threading.Thread(target=_watch, args=(reader,), name="interrupts", daemon=True).start()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])


def uninstall() -> None:
    """Leave both signals to whoever asks for them, as servers do that have children to stop."""
    signal.set_wakeup_fd(-1)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def happened() -> bool:
    """Whether this process was told to stop."""
    return bool(_signals)


def raise_again() -> None:
    """Raise KeyboardInterrupt if one was swallowed; for use after calls into libraries that do."""
    if _signals:
        raise KeyboardInterrupt


def leave() -> NoReturn:
    """End the process now, saying why; nothing that could print more is run."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, RuntimeError):  # closed, or in use by the code that was interrupted
            continue
    text = (_SHOW_CURSOR if os.isatty(2) else "") + _SENTENCE
    try:
        os.write(2, text.encode())
    finally:
        os._exit(128 + (_signals[0] if _signals else signal.SIGINT))


def _raise(number: int, _: Any) -> None:
    global _raised
    _note(number)
    if not _raised:
        _raised = True
        raise KeyboardInterrupt


def _note(number: int) -> None:
    _signals.append(number)
    _arrived.set()
    # Libraries log what they swallow, traceback and all.
    if "logging" in sys.modules:
        sys.modules["logging"].disable(sys.modules["logging"].CRITICAL)


def _watch(reader: int) -> None:
    """Wait for the first signal, then for the second or the end of patience."""
    arrived = 0
    while arrived < 2:
        ready, _, _ = select.select([reader], [], [], PATIENCE_SECONDS if arrived else None)
        if not ready:
            break
        for number in os.read(reader, 64):
            if number in (signal.SIGINT, signal.SIGTERM):  # seen here too: a library may have put a handler of its own
                _note(number)
                arrived += 1
    leave()


def _unraisable(unraisable: Any) -> None:
    """An error where Python cannot raise one; of an interrupt that was lost in such a place, the end.

    A library's own handler raises an interrupt of its own, maybe before the watching thread has seen the signal.
    """
    interrupted = not isinstance(unraisable.exc_value, Exception)
    if interrupted and _arrived.wait(1.0):
        leave()
    if not _signals:
        sys.__unraisablehook__(unraisable)
