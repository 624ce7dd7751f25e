"""Arithmetic too small for a library to divide: done side by side, each piece by one thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def side_by_side(function: Callable[[Item], Result], items: Sequence[Item], threads: int) -> list[Result]:
    """`function` of every item, in their order; up to `threads` at a time, none of which computes with a second one.

    A result is the same bits however many threads there are, as long as `function` itself computes in one.
    """
    if threads < 2 or len(items) < 2:
        return [function(item) for item in items]
    with ThreadPoolExecutor(min(threads, len(items)), initializer=_one_thread) as pool:
        return list(pool.map(function, items))


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)
