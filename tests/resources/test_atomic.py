"""Atomic files: the old or the new content, and no leftovers of processes that are gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from resources.atomic import leftovers, replacing, sweep, write_text

PROJECT = Path(__file__).resolve().parents[2]
WRITER = """
import sys, time
from pathlib import Path
from resources.atomic import replacing
with replacing(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    temporary.with_name(temporary.name + ".wal").write_text("journal")
    print("writing", flush=True)
    time.sleep(600)
"""


def writer(target: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(target)], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    return process


def test_what_a_killed_process_left_is_swept_at_once_and_what_is_being_written_is_not(tmp_path: Path) -> None:
    living, killed = (writer(tmp_path / name / "file") for name in ("living", "killed"))
    try:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        with replacing(tmp_path / "own") as temporary:
            temporary.write_text("half")
            assert {path.parent.name for path in leftovers(tmp_path)} == {"killed"}
            assert sweep(tmp_path) == 2  # the file and its journal
            assert temporary.exists()
        assert list((tmp_path / "killed").iterdir()) == []
        assert len(list((tmp_path / "living").iterdir())) == 2
    finally:
        living.kill()
        living.wait()


def test_what_another_machine_left_is_swept_by_age(tmp_path: Path) -> None:
    dead = 2**22 + 1  # above the largest process number of Linux
    names = [f".rows.parquet.{'0' * 12}-{dead}-{'a' * 32}.tmp", f".rows.parquet.{'b' * 32}.tmp"]
    for name in names:
        (tmp_path / name).write_text("half")
    assert sweep(tmp_path) == 0
    os.utime(tmp_path / names[0], (time.time() - 90_000,) * 2)
    assert sweep(tmp_path) == 1
    assert [path.name for path in tmp_path.iterdir()] == [names[1]]


def fail(target: Path) -> None:
    with replacing(target) as temporary:
        temporary.write_text("half")
        temporary.with_name(temporary.name + ".wal").write_text("journal")
        raise ZeroDivisionError


def test_a_failed_write_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "old")
    with pytest.raises(ZeroDivisionError):
        fail(tmp_path / "file")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file", "old")]
