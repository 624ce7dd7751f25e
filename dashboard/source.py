"""Where the numbers come from: one published DuckDB file, opened read-only and shut off from everything else.

A `Source` is one published version. It never changes underneath a reader: a newer version is another file, which
`latest` finds the next time it is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from resources.warehouse import SCHEMA_VERSION, WarehouseError, current

if TYPE_CHECKING:
    import pandas as pd


class Source:
    """A read-only connection to one published file; safe to share between threads."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        try:
            self._connection = duckdb.connect(str(self.path), read_only=True)
            self._connection.execute("SET enable_external_access = false")
            found = self._connection.execute("SELECT schema_version FROM published").fetchone()
        except duckdb.Error as error:
            raise WarehouseError(
                f"{self.path} is not a whole published file ({_first_line(error)}); run `rotoscale publish`"
            ) from error
        version = found[0] if found else None
        if version != SCHEMA_VERSION:
            remedy = "update rotoscale" if version and version > SCHEMA_VERSION else "run `rotoscale publish`"
            raise WarehouseError(
                f"{self.path} has schema version {version}, this program reads {SCHEMA_VERSION}; {remedy}"
            )

    def frame(self, sql: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> pd.DataFrame:
        """Rows of a query as a data frame."""
        return self._connection.cursor().execute(sql, parameters or None).df()


def latest(folder: Path) -> Path | None:
    """The published file that is current now, or None when nothing was published yet."""
    return current(folder)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
