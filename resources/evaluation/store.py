"""Finished results, one small file each, found by what they were made from.

A result depends on the weights (by hash), on what was asked, and on versions and settings; all of it is in the key. So
a killed run resumes at the task it was at, a new task scores only itself, and a base is scored once for all its
descendants.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from resources.atomic import write_text


class ResultStore:
    """JSON results under one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def path(self, *key: Any) -> Path:
        """Where the result of a key lies, whether or not it exists."""
        name = hashlib.sha256(json.dumps(key, sort_keys=True, default=str).encode()).hexdigest()
        return self.folder / name[:2] / f"{name}.json"

    def find(self, *key: Any) -> Any | None:
        """The result of a key; None when there is none, or it was damaged by hand."""
        path = self.path(*key)
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError:
            path.unlink(missing_ok=True)
            return None

    def keep(self, result: Any, *key: Any) -> None:
        """Store a result, atomically."""
        write_text(self.path(*key), json.dumps(result))
