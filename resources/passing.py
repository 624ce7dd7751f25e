"""Which errors pass by themselves: a network's, a server's that has too much to do, a disk's that is full.

Everything else is the work's own failure, and the same again would end the same.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

from rotoscale.errors import RotoscaleError

_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_ERRNO = frozenset({errno.ENOSPC, errno.EDQUOT, errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH})
_TRANSPORTS = ("httpx", "httpcore", "requests", "urllib3", "aiohttp")
_BROKEN = ("Timeout", "Connect", "ReadError", "WriteError", "ProtocolError", "NetworkError", "PayloadError")


def passes(error: BaseException) -> bool:
    """Whether an error, or what it came of, may pass by itself; one of ours says so of itself."""
    for one in _chain(error):
        if isinstance(one, RotoscaleError):
            return one.passes
        if getattr(getattr(one, "response", None), "status_code", None) in _STATUS:
            return True
        if isinstance(one, ConnectionError | TimeoutError) and not isinstance(one, BrokenPipeError):
            return True
        if isinstance(one, OSError) and one.errno in _ERRNO:
            return True
        # Libraries for HTTP are no dependency of ours, and their errors share no base.
        kind = type(one)
        if kind.__module__.split(".")[0] in _TRANSPORTS and any(word in kind.__name__ for word in _BROKEN):
            return True
    return False


def _chain(error: BaseException | None, most: int = 20) -> Iterator[BaseException]:
    while error is not None and most:
        yield error
        error, most = error.__cause__ or error.__context__, most - 1
