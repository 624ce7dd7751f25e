"""Worker processes: work begun ahead is done once, and what is small goes where workers are."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from resources import workers
from resources.workers import Batch, Work
from rotoscale.errors import RotoscaleError

LARGE = Work.on_matrix(3000, 3000)
LIMITS = {"workers": 2, "memory_bytes": 1e12}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are prepared on Linux alone")


@pytest.fixture(autouse=True)
def prepared(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(workers, "_prepared", [])
    workers.prepare(1 << 30)
    yield
    workers.release()


def mark(file: Path) -> int:
    """Note that the work was done once more, and in which process."""
    with file.open("a") as open_file:
        open_file.write(f"{os.getpid()}\n")
    return os.getpid()


def fail(file: Path) -> int:
    mark(file)
    raise RotoscaleError(f"{file.name} cannot be done")


def done(batch: Batch[Path, int]) -> list[int]:
    return workers.run(batch, report=lambda done, total: None, **LIMITS)


def batch(folder: Path, names: str, size: Work = LARGE) -> Batch[Path, int]:
    return Batch(mark, [folder / name for name in names], [size] * len(names))


def test_work_begun_ahead_is_taken_over_and_done_once(tmp_path: Path) -> None:
    first, second = batch(tmp_path, "abc"), batch(tmp_path, "de")
    workers.begin([first, second], **LIMITS)
    found = done(first) + done(second) + done(batch(tmp_path, "f"))
    for name, process in zip("abcdef", found, strict=True):
        assert (tmp_path / name).read_text() == f"{process}\n"
    assert os.getpid() not in found
    assert done(first) != []  # and again when it is asked for again
    assert len((tmp_path / "a").read_text().split()) == 2


def test_what_fails_ahead_is_said_by_whoever_asks_for_it(tmp_path: Path) -> None:
    good, bad = batch(tmp_path, "ab"), Batch(fail, [tmp_path / "c", tmp_path / "d"], [LARGE] * 2)
    workers.begin([bad, good], **LIMITS)
    assert len(done(good)) == 2
    with pytest.raises(RotoscaleError, match="cannot be done"):
        done(bad)


def test_what_nobody_asks_for_keeps_nobody(tmp_path: Path) -> None:
    workers.begin([batch(tmp_path, "abcdefgh")], **LIMITS)
    workers.release()
    assert os.getpid() not in done(batch(tmp_path, "z"))


def test_small_work_goes_to_workers_that_are_coming_anyway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = batch(tmp_path, "ab", Work.of_reading(1000, 0))
    assert os.getpid() not in done(small)
    workers.release()
    monkeypatch.setattr(workers, "_prepared", [])
    assert done(small) == [os.getpid()] * 2


def test_memory_bounds_how_many_there_are(tmp_path: Path) -> None:
    large = Batch(mark, [tmp_path / "a", tmp_path / "b"], [Work(1e12, 8e9)] * 2)
    assert workers.run(large, workers=2, memory_bytes=10e9, report=lambda done, total: None) == [os.getpid()] * 2
