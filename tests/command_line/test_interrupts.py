"""Ctrl-C and `kill` at any moment: one sentence, an exit code, no traceback, nothing left running."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.kill_campaign import group_ends, temporary_files

PROJECT = Path(__file__).resolve().parents[2]
SENTENCE = "interrupted; finished matrices are kept"

PROGRAM = """
import subprocess, sys, threading, time
from command_line import interrupts, main
interrupts.PATIENCE_SECONDS = 0.5

def run():
    {body}

def ready():
    print("ready", flush=True)

main._run = run
main.main()
"""

LOST = """
    class Lost:
        def __del__(self):
            ready(); time.sleep(60)
    lost = Lost()
    del lost
    time.sleep(60)"""
"""What is raised while an object goes is printed and lost."""

BODIES = {
    "plain": "ready(); time.sleep(60)",
    "swallowed": """
    try:
        ready(); time.sleep(60)
    except KeyboardInterrupt:
        pass
    time.sleep(60)""",
    "turned into another error": """
    try:
        ready(); time.sleep(60)
    except KeyboardInterrupt as error:
        raise ImportError("numpy could not be imported") from error""",
    "lost where nothing can be raised": LOST,
    "lost by a library's handler before it was seen": """
    import signal
    class Interrupted(BaseException):
        pass
    def handler(*_):
        raise Interrupted
    signal.signal(signal.SIGINT, handler)
    signal.signal(signal.SIGTERM, handler)
    note = interrupts._note
    interrupts._note = lambda number: (time.sleep(0.3), note(number))"""
    + LOST,
    "logged": """
    import logging
    try:
        ready(); time.sleep(60)
    except KeyboardInterrupt:
        logging.getLogger("library").error("exception closing connection", exc_info=True)
    time.sleep(60)""",
    "a call that no exception ends": """
    import hashlib
    ready()
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**30)""",
    "with a child": """
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(2)"])
    ready()
    child.wait()""",
    "in a thread too": """
    def wait():
        while not interrupts.happened():
            time.sleep(0.01)
        raise KeyError("what the main thread took away")
    threading.Thread(target=wait, daemon=True).start()
    ready(); time.sleep(60)""",
}


def stopped(process: subprocess.Popen[str], number: signal.Signals, group: bool) -> tuple[int, str]:
    """Exit code and output of a command after a signal to it, or to all processes of its terminal."""
    (os.killpg if group else os.kill)(process.pid, number)
    printed, _ = process.communicate(timeout=120)
    assert group_ends(process.pid)
    return process.returncode, printed


def started(*command: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=PROJECT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("body", BODIES)
def test_whatever_the_code_does_with_it(body: str, number: signal.Signals) -> None:
    process = started("-c", PROGRAM.format(body=BODIES[body]))
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.05)
    code, printed = stopped(process, number, group=number == signal.SIGINT)
    assert code == 128 + number
    assert printed.count(SENTENCE) == 1
    assert printed.strip().splitlines()[-1].startswith(SENTENCE)
    assert "Traceback" not in printed
    assert "Error" not in printed


def test_what_runs_in_the_background_of_a_shell_is_not_interrupted() -> None:
    body = "ready(); time.sleep(1); print('done')"
    process = started("-c", "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)" + PROGRAM.format(body=body))
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    code, printed = stopped(process, signal.SIGINT, group=True)
    assert (code, printed) == (0, "done\n")


WORK = """
import time
from command_line import main
from resources.workers import Batch, Work, begin, prepare, run
from tests.command_line.test_interrupts import sleep

batch, limits = Batch(sleep, [0, 1, 2], [Work.on_matrix(4000, 4000)] * 3), {{"workers": 2, "memory_bytes": 1e12}}

def work():
    if {ahead}:
        prepare(1 << 30)
        begin([batch], **limits)
        time.sleep(60)
    run(batch, report=print, **limits)

main._run = work
if __name__ == "__main__":
    main.main()
"""


def sleep(_: int) -> None:
    print("working", flush=True)
    time.sleep(60)


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_workers_say_nothing_and_end_with_their_parent(tmp_path: Path, number: signal.Signals, ahead: bool) -> None:
    (tmp_path / "work.py").write_text(WORK.format(ahead=ahead))
    process = started(str(tmp_path / "work.py"), PYTHONPATH=str(PROJECT))
    assert process.stdout is not None
    assert process.stdout.readline() == "working\n"
    code, printed = stopped(process, number, group=number == signal.SIGINT)
    assert code == (-9 if number == signal.SIGKILL else 128 + number)
    assert "Traceback" not in printed


def test_a_comparison_interrupted_at_any_moment_leaves_nothing(tmp_path: Path, checkpoints: Path) -> None:
    generator = random.Random(0)
    pair = [str(checkpoints / "base"), str(checkpoints / "tuned")]
    for _ in range(4):
        process = started("-m", "command_line", "compare", *pair, ROTOSCALE_DATA=str(tmp_path / "data"))
        time.sleep(0.3 + 4 * generator.random())
        if process.poll() is not None:
            continue
        code, printed = stopped(process, signal.SIGINT, group=True)
        assert code == 130, printed
        assert SENTENCE in printed
        assert "Traceback" not in printed
        assert not list(temporary_files(tmp_path))
