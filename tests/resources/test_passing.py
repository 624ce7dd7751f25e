"""Which errors are worth another try: a network's and a full disk's, through whatever wraps them; no others."""

from __future__ import annotations

import errno

import httpx
import pytest

from resources.hub import HubDiskError, HubGatedError, HubInterruptedError, HubOfflineError, HubSwitchedOffError
from resources.passing import passes
from rotoscale.errors import MatrixError, RotoscaleError


def answered(status: int) -> httpx.HTTPStatusError:
    request = httpx.Request("GET", "http://127.0.0.1")
    return httpx.HTTPStatusError("no", request=request, response=httpx.Response(status, request=request))


def wrapped(error: Exception, into: Exception) -> Exception:
    try:
        raise into from error
    except Exception as raised:
        return raised


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError("reset"),
        TimeoutError("slow"),
        OSError(errno.ENOSPC, "full"),
        httpx.ReadTimeout("slow"),
        httpx.ConnectError("refused"),
        httpx.RemoteProtocolError("cut"),
        answered(429),
        answered(503),
        HubOfflineError("no network"),
        HubInterruptedError("cut"),
        HubDiskError("full"),
        wrapped(httpx.ConnectError("refused"), RuntimeError("could not load the task")),
    ],
)
def test_these_pass(error: Exception) -> None:
    assert passes(error)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("shape"),
        MemoryError(),
        FileNotFoundError(errno.ENOENT, "gone"),
        BrokenPipeError("a worker process died"),
        answered(404),
        answered(401),
        RotoscaleError("a truncated file"),
        MatrixError("not finite"),
        HubGatedError("terms"),
        HubSwitchedOffError("HF_HUB_OFFLINE is set"),
        wrapped(ConnectionResetError("reset"), MatrixError("ours decides, whatever it came of")),
    ],
)
def test_these_do_not(error: Exception) -> None:
    assert not passes(error)
