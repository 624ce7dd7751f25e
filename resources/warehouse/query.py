"""Questions to a published file: rows or a data frame, and a remedy where the file is older than the question."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from resources.warehouse.tables import WarehouseError

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

Values = Sequence[Any] | Mapping[str, Any]

_ABSENT = (
    (re.compile(r'Referenced column "([^"]+)" not found'), "column"),
    (re.compile(r'does not have a column named "([^"]+)"'), "column"),
    (re.compile(r'column "([^"]+)" does not exist', re.IGNORECASE), "column"),
    (re.compile(r"Table with name (\S+) does not exist"), "table"),
)
"""DuckDB's words for what a query names and the file lacks; its other complaints are mistakes in the query."""


def rows(connection: duckdb.DuckDBPyConnection, sql: str, values: Values = ()) -> list[dict[str, Any]]:
    """Rows of a query, each by column name; SQL's NULL is None.

    Raises WarehouseError when the published file lacks a table or column that the query names.
    """
    with told_if_older(connection):
        cursor = connection.cursor().execute(sql, values or None)
        names = [column[0] for column in cursor.description or []]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def frame(connection: duckdb.DuckDBPyConnection, sql: str, values: Values = ()) -> pd.DataFrame:
    """The same as a data frame.

    Raises WarehouseError when the published file lacks a table or column that the query names.
    """
    with told_if_older(connection):
        return connection.cursor().execute(sql, values or None).df()


@contextmanager
def told_if_older(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """For queries in a block.

    Raises WarehouseError, with the remedy, when one names a table or column that the published file lacks.
    """
    import duckdb

    try:
        yield
    except (duckdb.BinderException, duckdb.CatalogException) as error:
        found = next(((kind, m[1]) for pattern, kind in _ABSENT if (m := pattern.search(str(error)))), None)
        if found is None:
            raise
        kind, name = found
        raise WarehouseError(
            f"{_path(connection)} was published before there was a {kind} {name}; run `rotoscale publish`"
        ) from error


def _path(connection: duckdb.DuckDBPyConnection) -> str:
    found = (
        connection.cursor()
        .execute("SELECT path FROM duckdb_databases() WHERE database_name = current_database()")
        .fetchone()
    )
    return str(found[0]) if found and found[0] else "the published file"
