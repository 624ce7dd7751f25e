"""Running over many matrices: same results in this process and in workers, errors kept, killed workers explained."""

from __future__ import annotations

import os
import signal

import pytest

from resources.workers import Work, WorkerError, prepare, release, run
from rotoscale.errors import MatrixError

LARGE = Work(4000, 4000)
SMALL = Work(4, 4)


def threads_of_blas(task: int) -> tuple[int, str | None, int]:
    return task * 2, os.environ.get("OMP_NUM_THREADS"), os.getpid()


def refuse(task: int) -> int:
    raise MatrixError(f"matrix {task} is bad; do something")


def die(task: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def quiet(done: float, total: float) -> None:
    """A listener that does not care."""


def test_small_work_stays_in_this_process_in_order() -> None:
    heard: list[tuple[float, float]] = []
    results = run(
        threads_of_blas, [3, 1, 2], [SMALL] * 3, workers=4, memory_bytes=1e12, report=lambda *x: heard.append(x)
    )
    assert [r[0] for r in results] == [6, 2, 4]
    assert {r[2] for r in results} == {os.getpid()}
    assert heard[-1][0] == heard[-1][1]


def test_large_work_goes_to_workers_with_one_blas_thread_each() -> None:
    before = os.environ.get("OMP_NUM_THREADS")
    results = run(threads_of_blas, [3, 1], [LARGE, LARGE], workers=2, memory_bytes=1e12, report=quiet)
    assert [r[:2] for r in results] == [(6, "1"), (2, "1")]
    assert os.getpid() not in {r[2] for r in results}
    assert os.environ.get("OMP_NUM_THREADS") == before


def environment_of(name: str) -> str | None:
    return os.environ.get(name)


def test_workers_have_the_environment_in_which_they_start(monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(1 << 40)  # the process that they are forked from has the environment of now
    for value in ("first", "second"):
        release()
        monkeypatch.setenv("ROTOSCALE_ARCHITECTURES", value)
        names = ["ROTOSCALE_ARCHITECTURES"] * 2
        found = run(environment_of, names, [LARGE] * 2, workers=2, memory_bytes=1e12, report=quiet)
        assert found == [value] * 2


def test_memory_bounds_the_number_of_workers() -> None:
    results = run(threads_of_blas, [1, 2], [LARGE, LARGE], workers=2, memory_bytes=1e9, report=quiet)
    assert {r[2] for r in results} == {os.getpid()}


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_an_error_comes_through_as_it_is(size: Work) -> None:
    with pytest.raises(MatrixError, match=r"matrix \d is bad"):
        run(refuse, [1, 2], [size, size], workers=2, memory_bytes=1e12, report=quiet)


def test_a_killed_worker_is_explained() -> None:
    with pytest.raises(WorkerError, match="ROTOSCALE_WORKERS"):
        run(die, [1, 2], [LARGE, LARGE], workers=2, memory_bytes=1e12, report=quiet)
