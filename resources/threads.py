"""How many threads the arithmetic of this process uses, and what becomes of the memory it frees."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_MOST = 2**31 - 1
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_* of malloc.h


@contextmanager
def arithmetic_threads(limit: int | None) -> Iterator[None]:
    """At most `limit` threads for BLAS and torch within the block; None leaves them as they are.

    The libraries are loaded first: one that is loaded within the block would not hear of a limit set before.
    """
    import scipy.linalg  # noqa: F401 (has a BLAS of its own beside NumPy's)
    import torch  # noqa: F401
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limit):
        yield


def keep_freed_memory() -> None:
    """Keep freed blocks in this process for the next matrix, where the C library is glibc; elsewhere nothing.

    glibc gives a block of some megabytes back as soon as it is freed, and the system fills every page of the next one
    with zeros: a sixth of the processor time of structure work. Call it before other threads are there, and
    `return_freed_memory` between tasks: kept for good, the gaps between blocks of other sizes would add up.
    """
    with suppress(AttributeError, OSError):
        libc = ctypes.CDLL(None)
        for threshold in (_MMAP_THRESHOLD, _TRIM_THRESHOLD):
            libc.mallopt(threshold, _MOST)


def return_freed_memory() -> None:
    """Give what was freed back to the system, where the C library is glibc."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
