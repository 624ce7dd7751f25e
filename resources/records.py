"""Stored records: small JSON files that carry a checksum, so that what was damaged or edited is never believed.

A record is found by its file name, which its owner makes from everything the value depends on. The checksum covers
that name too: a file copied over another record is damaged like any other. What does not hold is computed again.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from resources.atomic import sweep, write_text
from resources.trim import mark_used, trim
from rotoscale.errors import RotoscaleError

_log = logging.getLogger(__name__)

LIMIT_BYTES = 5e9
"""Size of a store of records after trimming: a pair of 7B models takes about 60 MB."""

_DAY = 24 * 3600


class RecordError(RotoscaleError):
    """A stored record that is not what was written."""


def write_record(path: Path, value: Any, *, version: str = "") -> None:
    """Replace the record at `path` with `value` (anything that JSON takes), atomically; OSError as it comes.

    `version` names the method that made the value: a reader that asks for another one does not find it.
    """
    text = _compact(value)
    digest = _digest(path, version, text)
    write_text(path, f'{{"sha256":"{digest}","version":{json.dumps(version)},"value":{text}}}')


def read_record(path: Path, *, version: str = "", check: Callable[[Any], Any] = lambda _: True) -> Any | None:
    """The value at `path`; None when there is none, it is damaged, of another version, or of another shape.

    `check` judges the shape: it returns something false, or fails as code does that takes the value apart
    (AttributeError, KeyError, IndexError, TypeError, ValueError). What is damaged is logged as a warning.
    """
    try:
        found, value = load_record(path)
    except FileNotFoundError:
        return None
    except (RecordError, OSError) as error:
        _log.warning("%s; it is made again", error)
        return None
    try:
        if found != version or not check(value):
            return None
    except (AttributeError, LookupError, TypeError, ValueError):
        return None
    mark_used(path, at_most_every=_DAY)
    return value


def load_record(path: Path) -> tuple[str, Any]:
    """Version and value of the record at `path`.

    Raises RecordError, naming the file, when it does not hold what was written under this name; OSError when it cannot
    be read.
    """
    content = path.read_bytes()
    try:
        record = json.loads(content)
        digest, version, value = record["sha256"], record["version"], record["value"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise RecordError(f"{path} is not a stored record, or damaged") from error
    if not isinstance(version, str) or digest != _digest(path, version, _compact(value)):
        raise RecordError(f"{path} is damaged or was edited: its content does not match its checksum")
    return version, value


def trim_records(folder: Path, limit_bytes: float = LIMIT_BYTES) -> int:
    """Remove the least recently used records under `folder` until at most `limit_bytes` remain, and leftovers.

    Returns how many records went. A record is used when it is read, noted to the day.
    """
    sweep(folder)
    return trim(folder.rglob("*.json"), limit_bytes)


def _digest(path: Path, version: str, text: str) -> str:
    return hashlib.sha256("\n".join([path.name, version, text]).encode()).hexdigest()


def _compact(value: Any) -> str:
    """The value as it is stored: reading and writing again gives the same text, floats included."""
    return json.dumps(value, separators=(",", ":"))
