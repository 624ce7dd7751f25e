"""Running one function over many matrices: in this process when they are small, in worker processes when they are not.

There is one BLAS thread for each matrix, in a worker as in this process: two on a shared machine cost 1.3 to 5 times
the processor time for little or no wall time, and the number of threads decides the order of sums, so that a run that
was cut and resumed would differ in its last digits. The longest matrices come first. The number of workers is bounded
by cores and by memory. They stay for the next batch until `release` or the end of this process.

On Linux they are forked from one process that has loaded torch and what the work needs, which takes it about two
seconds; `prepare` starts it ahead, so that it does so while this process is still busy with imports of its own. What
is certain to be asked for can be begun at once (`begin`): Dagster's own work then does not keep workers waiting.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from typing import Any, Generic, TypeVar

from resources.staged import each
from resources.threads import arithmetic_threads, keep_freed_memory, return_freed_memory
from rotoscale.errors import RotoscaleError

Task = TypeVar("Task")
Result = TypeVar("Result")

_WORTH_WORKERS = 2e10
"""Work (in all) from which starting processes pays."""

_WORTH_BYTES = 64 << 20
"""Size of a model's files from which its matrices are certain to be that much work."""

_LOADED = [
    "scipy.linalg",
    "torch",
    "resources.decomposing",
    "resources.pairs",
    "resources.checkpoints.verify",
    "rotoscale.measure",
]
"""What workers need and is slow to load."""

_COPIES = 6
"""Float64 copies of the largest matrix that one worker may hold at its peak."""

_COST_OF_A_BYTE = 40.0
"""That of reading and hashing it, beside the unit of `Work.on_matrix`."""

_INTERPRETER_BYTES = 400 << 20

_BLAS_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


class WorkerError(RotoscaleError):
    """A worker process died without a Python error, most often for want of memory."""


@dataclass(frozen=True)
class Work:
    """One task's size: its cost up to a constant, and the memory that it takes at its peak."""

    cost: float
    peak_bytes: float

    @classmethod
    def on_matrix(cls, rows: int, cols: int) -> Work:
        """Arithmetic on one matrix: m n min(m, n), what a decomposition costs."""
        return cls(float(rows) * cols * min(rows, cols), _COPIES * 8.0 * rows * cols)

    @classmethod
    def of_reading(cls, nbytes: int, held: int) -> Work:
        """Reading and hashing so many bytes, with `held` of them in memory at a time."""
        return cls(_COST_OF_A_BYTE * nbytes, held)


@dataclass(frozen=True)
class Batch(Generic[Task, Result]):
    """One function of many tasks, all of which can be pickled and hashed, with the size of each."""

    function: Callable[[Task], Result]
    tasks: Sequence[Task]
    sizes: Sequence[Work]

    @property
    def on_device(self) -> bool:
        """Whether a task wants an accelerator."""
        return any(getattr(task, "device", "cpu") != "cpu" for task in self.tasks)


def run(
    batch: Batch[Task, Result], *, workers: int, memory_bytes: float, report: Callable[[float, float], None]
) -> list[Result]:
    """The function of every task, in the order of the tasks; `report(done, total)` hears the work done so far.

    The first error stops the rest and is raised as it is; a worker that was killed raises WorkerError.
    """
    function, tasks, sizes = batch.function, batch.tasks, batch.sizes
    total = sum(size.cost for size in sizes)
    if not tasks:
        return []
    _wait_for_ahead()
    largest = max(size.peak_bytes for size in sizes)
    # Work that was begun is in memory already, and another pool would begin it again.
    workers = _kept[0][0] if _begun else _bounded(workers, memory_bytes, largest)
    results: list[Any] = [None] * len(tasks)
    order = _longest_first(sizes)
    done = 0.0
    small = len(tasks) == 1 or total < _WORTH_WORKERS
    if workers == 1 or (small and not (_prepared or _kept)):
        with arithmetic_threads(1):
            for i, result in zip(order, each(function, [tasks[i] for i in order]), strict=True):
                results[i] = result
                done += sizes[i].cost
                report(done, total)
        return results
    with _environment(dict.fromkeys(_BLAS_THREADS, "1")):
        try:
            with _without_interrupts():
                pool = _pool(workers)
                futures = {_taken_over(function, tasks[i]) or pool.submit(_work, function, tasks[i]): i for i in order}
            for future in as_completed(futures):
                i = futures[future]
                results[i] = future.result()
                done += sizes[i].cost
                report(done, total)
        except BrokenProcessPool as error:
            release()
            raise WorkerError(
                f"one of {workers} worker processes was killed, most likely for want of memory; "
                "run again with a smaller ROTOSCALE_WORKERS (finished matrices are kept)"
            ) from error
        except BaseException:
            release()
            raise
    return results


_prepared: list[bool] = []
"""Not empty once workers are being prepared: then small work goes there too, and torch is not loaded here."""


def prepare(bytes_of_weights: int) -> None:
    """Start loading what worker processes need, if weights of this size will want them; returns at once."""
    if bytes_of_weights >= _WORTH_BYTES and sys.platform == "linux":
        _context()  # says what is to be loaded
        _prepared.append(True)
        with _environment(dict.fromkeys(_BLAS_THREADS, "1")), _without_interrupts():
            forkserver.ensure_running()


_begun: dict[tuple[Any, Any], Future[Any]] = {}
"""Results to come of tasks that were begun ahead, by function and task."""

_beginning: list[threading.Thread] = []
"""The thread that begins them, until somebody has waited for it."""


def begin(batches: Sequence[Batch[Any, Any]], *, workers: int, memory_bytes: float) -> None:
    """Begin work ahead, batch after batch, where workers are being prepared; returns at once.

    `run` takes the results over when it is asked for the same function of the same task. What nobody asks for, and what
    fails without being asked for, is forgotten.
    """
    largest = max((size.peak_bytes for batch in batches for size in batch.sizes), default=0.0)
    workers = _bounded(workers, memory_bytes, largest)
    if batches and workers > 1 and _prepared and not _beginning:
        thread = threading.Thread(target=_submit, args=(batches, workers), name="beginning ahead")
        _beginning.append(thread)
        thread.start()


def _submit(batches: Sequence[Batch[Any, Any]], workers: int) -> None:
    with suppress(OSError, BrokenProcessPool), _without_interrupts():  # `run` meets the same again, and says it
        pool = _pool(workers)
        for batch in batches:
            for i in _longest_first(batch.sizes):
                _begun[batch.function, batch.tasks[i]] = pool.submit(_work, batch.function, batch.tasks[i])


def _taken_over(function: Any, task: Any) -> Future[Any] | None:
    return _begun.pop((function, task)) if (function, task) in _begun else None


def _wait_for_ahead() -> None:
    while _beginning:
        _beginning[0].join()
        _beginning.clear()


def _bounded(workers: int, memory_bytes: float, peak_bytes: float) -> int:
    return max(1, min(workers, int(memory_bytes // (peak_bytes + _INTERPRETER_BYTES))))


def _longest_first(sizes: Sequence[Work]) -> list[int]:
    return sorted(range(len(sizes)), key=lambda i: -sizes[i].cost)


def _context() -> multiprocessing.context.BaseContext:
    """How workers are started: elsewhere than on Linux, forking is not safe once system libraries are loaded."""
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_LOADED)
    return context


_kept: list[tuple[int, ProcessPoolExecutor]] = []
"""The pool of this process and its number of workers, or nothing."""


def _pool(workers: int) -> ProcessPoolExecutor:
    """Worker processes from the last batch if there are as many, otherwise new ones."""
    if not _kept or _kept[0][0] != workers:
        _stop()
        environment = dict(os.environ) | dict.fromkeys(_BLAS_THREADS, "1")
        pool = ProcessPoolExecutor(workers, _context(), initializer=_set_up, initargs=(environment,))
        _kept.append((workers, pool))
    return _kept[0][1]


def release() -> None:
    """Stop the worker processes, before work of another kind that needs the memory; those at work finish first."""
    _wait_for_ahead()
    _stop()


def _stop() -> None:
    _begun.clear()
    while _kept:
        _kept.pop()[1].shutdown(wait=True, cancel_futures=True)


# Before the interpreter waits for their threads; a worker would otherwise outlive a process that is told to stop.
atexit.register(release)


def _set_up(environment: dict[str, str]) -> None:
    """What a worker does first: it ends with its parent, however that ends, has its environment, and one thread."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ.clear()
    os.environ.update(environment)
    keep_freed_memory()
    import torch

    torch.set_num_threads(1)


def _work(function: Callable[[Task], Result], task: Task) -> Result:
    """One task in a worker; what it freed is not kept for the next, so that many take no more memory than one."""
    try:
        return function(task)
    finally:
        return_freed_memory()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)  # nothing is lost: what is finished is stored, and nobody waits for the rest


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Processes started in this block never see Ctrl-C, which a terminal sends to all; their parent ends them.

    One that arrives meanwhile reaches this process at the end of the block.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    resource_tracker.ensure_running()  # otherwise started by the first worker, and it unblocks what is blocked
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Environment variables for child processes, read by BLAS when it is loaded, put back afterwards."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
