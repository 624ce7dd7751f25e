"""Tries: what failed is counted as long as nothing changed, a death counts, and what was stopped does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from resources.tries import DIED, Tries

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tries(tmp_path: Path) -> Tries:
    return Tries(tmp_path / "tries")


def count(tries: Tries, made_from: str = "v1") -> int:
    found = tries.of("m", "a", made_from)
    return found.count if found else 0


def test_failures_are_counted_and_a_success_forgets_them(tries: Tries) -> None:
    for number in (1, 2, 3):
        tries.begin("m", "a", "v1")
        tries.failed("m", "a", f"reason {number}")
        assert count(tries) == number
    found = tries.of("m", "a", "v1")
    assert found is not None
    assert (found.reason, found.passing) == ("reason 3", False)
    assert tries.has("m")
    tries.begin("m", "a", "v1")
    tries.succeeded("m", "a")
    assert count(tries) == 0
    assert not tries.has("m")


def test_other_inputs_start_from_nothing(tries: Tries) -> None:
    tries.begin("m", "a", "v1")
    tries.failed("m", "a", "no")
    assert count(tries, "v2") == 0
    tries.begin("m", "a", "v2")
    tries.failed("m", "a", "no")
    assert (count(tries, "v1"), count(tries, "v2")) == (0, 1)


def test_what_passes_is_named_and_not_counted(tries: Tries) -> None:
    for _ in range(5):
        tries.begin("m", "a", "v1")
        tries.failed("m", "a", "the network was down", passing=True)
    found = tries.of("m", "a", "v1")
    assert found is not None
    assert (found.count, found.passing, found.reason) == (0, True, "the network was down")


def test_what_was_stopped_is_not_counted(tries: Tries) -> None:
    tries.begin("m", "a", "v1")
    tries.interrupted("m", "a")
    assert not tries.has("m")
    tries.begin("m", "a", "v1")
    tries.failed("m", "a", "no")
    tries.begin("m", "a", "v1")
    tries.interrupted("m", "a")
    tries.interrupted("m", "a")  # by who stopped it and by the process that was stopped
    assert count(tries) == 1


def test_a_process_that_dies_counts_and_one_that_goes_on_does_not_yet(tries: Tries) -> None:
    tries.begin("m", "a", "v1")
    assert count(tries) == 0
    assert list(tries.begun("m")) == ["a"]
    tries.interrupted("m", "a")
    program = f"from pathlib import Path; from resources.tries import Tries; Tries(Path({str(tries.folder)!r}))"
    for number in (1, 2):
        code = f"{program}.begin('m', 'a', 'v1'); import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
        assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=False).returncode == -9
        found = tries.of("m", "a", "v1")
        assert found is not None
        assert (found.count, found.reason) == (number, DIED)


def test_a_damaged_record_is_no_record(tries: Tries) -> None:
    tries.begin("m", "a", "v1")
    tries.failed("m", "a", "no")
    file = tries.folder / "m" / "a.json"
    file.write_text(file.read_text().replace('"count":1', '"count":9'))
    assert count(tries) == 0


def test_every_change_moves_the_time_of_the_latest(tries: Tries) -> None:
    assert tries.latest() == 0
    tries.begin("m", "a", "v1")
    begun = tries.latest()
    tries.failed("m", "a", "no")
    failed = tries.latest()
    tries.succeeded("m", "a")
    assert 0 < begun <= failed <= tries.latest()
