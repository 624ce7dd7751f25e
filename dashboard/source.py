"""Where the numbers come from: one published DuckDB file, opened read-only and shut off from everything else.

A `Source` is one published version. It never changes underneath a reader: a newer version is another file, which
`latest` finds the next time it is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources.warehouse import current, open_published

if TYPE_CHECKING:
    import pandas as pd


class Source:
    """A read-only connection to one published file; safe to share between threads."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._connection = open_published(self.path)
        self._connection.execute("SET enable_external_access = false")

    def frame(self, sql: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> pd.DataFrame:
        """Rows of a query as a data frame."""
        return self._connection.cursor().execute(sql, parameters or None).df()


def latest(folder: Path) -> Path | None:
    """The published file that is current now, or None when nothing was published yet."""
    return current(folder)
