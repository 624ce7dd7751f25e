"""Work on matrices in three stages, so that a device can be fed: while one is computed, the next is read.

A staged function can be called like any other, in a worker process for instance; `each` runs it over many tasks and,
for tasks on an accelerator, loads one ahead in a thread. On the CPU that would only take a core from the arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Task = TypeVar("Task")
Loaded = TypeVar("Loaded")
Computed = TypeVar("Computed")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Staged(Generic[Task, Loaded, Computed, Result]):
    """`store(task, compute(task, load(task)))`; all three are functions of a module, so that processes can share them.

    load: reads what a task needs from disk, or finds that it is done. compute: arithmetic only. store: keeps the result
    and gives it its final form.
    """

    load: Callable[[Task], Loaded]
    compute: Callable[[Task, Loaded], Computed]
    store: Callable[[Task, Computed], Result]

    def __call__(self, task: Task) -> Result:
        """All three stages of one task."""
        return self.store(task, self.compute(task, self.load(task)))


def each(function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
    """`function` of every task in order; of a staged function on an accelerator with the next task being read."""
    on_device = any(getattr(task, "device", "cpu") != "cpu" for task in tasks)
    if not (on_device and isinstance(function, Staged)):
        yield from map(function, tasks)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="reading") as reader:
        following: Any = reader.submit(function.load, tasks[0])
        for i, task in enumerate(tasks):
            loaded = following.result()
            following = reader.submit(function.load, tasks[i + 1]) if i + 1 < len(tasks) else None
            computed = function.compute(task, loaded)
            del loaded
            yield function.store(task, computed)
