"""The official client, with two habits it does not have: no call without a time-out, and no wait beyond our patience.

Asked to wait (status 429 or 503 with Retry-After, or the reset of a rate-limit window), the client sleeps for as long
as it is told, be it a day. Here a wait within the patience of the settings is slept through, up to the client's five
tries; a longer one is HubLimitError at once, which says until when. Silence, of a server or in the middle of a body,
ends after `SILENCE` seconds; the client then resumes a file a few times.

Both are hooks on the client's own HTTP session, so that they hold for every call and for every tool in this process.
Files in the Hub's Xet storage come through that session too: `hf_xet`, which has connections of its own that nothing
here bounds, is used only where HF_HUB_DISABLE_XET=0 asks for it. A download at night that hangs for good costs more
than one that is slower.
"""

from __future__ import annotations

import datetime
import email.utils
import functools
import math
import os
import re
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from resources.hub.errors import HubLimitError
from resources.settings import load_settings

if TYPE_CHECKING:
    from huggingface_hub import HfApi

SILENCE = 30.0
"""Seconds without a byte after which a connection counts as broken, where the client sets no limit itself."""

_TRIES = 3
_WINDOW_IS_USED_UP = re.compile(r'"\w+"\s*;\s*r\s*=\s*0\s*;\s*t\s*=\s*(\d+)')

Answer = TypeVar("Answer")


def api() -> HfApi:
    """The client's interface, through a session with our hooks. Raises SettingsError for a bad patience."""
    from huggingface_hub import HfApi

    install()
    return HfApi(library_name="rotoscale")


@functools.cache
def install() -> None:
    """Give the client's session our hooks, and all files to it, once per process."""
    from huggingface_hub import constants, set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    patience = load_settings().hub_patience

    def respect(response: Any) -> None:
        if response.status_code not in (429, 503):
            return
        seconds = stated_wait(response.headers)
        if seconds is None:
            return
        if seconds > patience:
            raise HubLimitError(now() + datetime.timedelta(seconds=seconds), response.status_code)
        response.headers["Retry-After"] = str(math.ceil(seconds))  # the client does not read dates

    def bound(request: Any) -> None:
        given = request.extensions.get("timeout") or {}
        bounded = {part: given.get(part) or SILENCE for part in ("connect", "read", "write", "pool")}
        request.extensions = {**request.extensions, "timeout": bounded}

    def factory() -> Any:
        session = default_client_factory()
        session.event_hooks["request"].append(bound)
        session.event_hooks["response"].append(respect)
        return session

    set_client_factory(factory)
    if "HF_HUB_DISABLE_XET" not in os.environ:
        constants.HF_HUB_DISABLE_XET = True


def patiently(call: Callable[[], Answer]) -> Answer:
    """The answer of a call that the client itself does not repeat, tried again after waits within our patience."""
    from huggingface_hub.errors import HfHubHTTPError

    for left in reversed(range(_TRIES)):
        try:
            return call()
        except HfHubHTTPError as error:
            seconds = stated_wait(error.response.headers) if error.response.status_code in (429, 503) else None
            if seconds is None or not left:
                raise
            time.sleep(seconds)
    raise AssertionError("unreachable")


def stated_wait(headers: Mapping[str, str]) -> float | None:
    """The seconds that an answer asks to wait: Retry-After (seconds or a date), or the reset of a used-up window."""
    found = []
    if window := _WINDOW_IS_USED_UP.search(headers.get("RateLimit", "")):
        found.append(float(window[1]))
    given = headers.get("Retry-After", "").strip()
    if given.isdecimal():
        found.append(float(given))
    elif given:
        try:
            moment = email.utils.parsedate_to_datetime(given)
        except ValueError:
            moment = None
        if moment is not None:
            found.append((moment.astimezone(datetime.UTC) - now()).total_seconds())
    return max(0.0, *found) if found else None


def now() -> datetime.datetime:
    """The time, in UTC."""
    return datetime.datetime.now(datetime.UTC)
