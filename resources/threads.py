"""How many threads the arithmetic uses in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


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
