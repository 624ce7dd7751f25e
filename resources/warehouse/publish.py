"""Publishing: all table files become one DuckDB file under a new name, then a pointer moves to it.

The name is new each time because a process that still holds the old path open would be handed the old file. One
publisher runs at a time (a file lock); readers need no lock at all.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources.atomic import replacing, sweep, write_text
from resources.warehouse.contract import SCHEMA_VERSION, Contract, Table
from resources.warehouse.query import told_if_older
from resources.warehouse.tables import TableStore, WarehouseError, load_file

if TYPE_CHECKING:
    import duckdb

_POINTER = "current"
_SOURCES = "sources"
"""What the last publication was made from, and its name."""
_NAME = re.compile(r"warehouse-(\d{6})\.duckdb")
_KEPT = 3
"""Published versions kept: the current one and two that a slow reader may still be about to open."""


@dataclass(frozen=True)
class Published:
    """One published file: its running number, its path, and how many rows each table holds."""

    version: int
    path: Path
    rows: dict[str, int]


def publish(tables: TableStore, folder: Path) -> Published:
    """Build the next DuckDB file from all table files and move the pointer to it.

    Raises WarehouseError, leaving the last published file in place, when a table file is damaged or the next file
    cannot be written. What killed runs left in both folders is swept.
    """
    from filelock import FileLock

    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        sweep(folder)
        sweep(tables.folder)
        made_from = _state(tables)  # before reading: what arrives meanwhile is published next
        version = max((number for number, _ in _versions(folder)), default=0) + 1
        target = folder / f"warehouse-{version:06d}.duckdb"
        with replacing(target) as temporary, _new_file(temporary, target) as connection:
            rows = {name: _fill(connection, table, tables.files(name)) for name, table in tables.contract.items()}
            _describe(connection, version, tables.contract)
        write_text(folder / _POINTER, target.name)
        write_text(folder / _SOURCES, f"{made_from} {target.name}")
        for number, path in _versions(folder):
            if number <= version - _KEPT:
                path.unlink(missing_ok=True)
    return Published(version, target, rows)


def is_published(tables: TableStore, folder: Path) -> bool:
    """Whether the current published file holds exactly the table files that there are now."""
    try:
        made_from, name = (folder / _SOURCES).read_text(encoding="utf-8").split()
        path = current(folder)
    except (OSError, WarehouseError, ValueError):
        return False
    return path is not None and path.name == name and made_from == _state(tables)


def _state(tables: TableStore) -> str:
    """Every table file by name, size and time, and the contract, as one hash."""
    files = [
        (str(file.relative_to(tables.folder)), facts.st_size, facts.st_mtime_ns)
        for name in tables.contract
        for file in tables.files(name)
        if (facts := file.stat())
    ]
    columns = [(name, [column.name for column in table.columns]) for name, table in tables.contract.items()]
    return hashlib.sha256(json.dumps([SCHEMA_VERSION, files, columns]).encode()).hexdigest()


@contextmanager
def _new_file(path: Path, target: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to a DuckDB file that is made at `path`; what DuckDB says of it, in our words."""
    import duckdb

    try:
        with duckdb.connect(str(path)) as connection:
            yield connection
    except duckdb.Error as error:
        raise WarehouseError(
            f"{target} cannot be written ({_first_line(error)}); see that disk and memory are free, "
            "then run `rotoscale publish`"
        ) from error


def current(folder: Path) -> Path | None:
    """The published file that the pointer names, or None when nothing was published yet.

    Raises WarehouseError when the pointer names a file that is not there.
    """
    pointer = folder / _POINTER
    if not pointer.exists():
        return None
    name = pointer.read_text(encoding="utf-8").strip()
    path = folder / name
    if not _NAME.fullmatch(name) or not path.exists():
        raise WarehouseError(f"{pointer} names {name!r}, which is not a published file; run `rotoscale publish`")
    return path


@contextmanager
def read(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A read-only connection to the current published file.

    Raises WarehouseError when nothing was published, when the file cannot be used (see `open_published`), or when it
    lacks a table or column that is asked for.
    """
    path = current(folder)
    if path is None:
        raise WarehouseError(f"nothing is published in {folder}; run `rotoscale run` or `rotoscale compare` first")
    connection = open_published(path)
    try:
        with told_if_older(connection):
            yield connection
    finally:
        connection.close()


def open_published(path: Path) -> duckdb.DuckDBPyConnection:
    """A read-only connection to one published file.

    Raises WarehouseError when the file is cut short or foreign, or of another schema version.
    """
    import duckdb

    try:
        connection = duckdb.connect(str(path), read_only=True)
    except duckdb.Error as error:
        raise _not_whole(path, error) from error
    try:
        _check_published(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_published(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    import duckdb

    try:
        (found,) = connection.execute("SELECT schema_version FROM published").fetchone() or (0,)
    except duckdb.Error as error:
        raise _not_whole(path, error) from error
    if found != SCHEMA_VERSION:
        remedy = "update rotoscale" if found > SCHEMA_VERSION else "run `rotoscale publish`"
        raise WarehouseError(f"{path} has schema version {found}, this program reads {SCHEMA_VERSION}; {remedy}")


def check_published(folder: Path) -> int:
    """Read every block of the current published file, which DuckDB verifies; returns the file's version.

    Raises WarehouseError when nothing was published, or the file is damaged.
    """
    import duckdb

    with read(folder) as connection:
        try:
            for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
                connection.execute(f'SELECT bit_xor(hash(t)) FROM "{name}" AS t').fetchall()
            (version,) = connection.execute("SELECT version FROM published").fetchone() or (0,)
        except duckdb.Error as error:
            raise _not_whole(current(folder) or folder, error) from error
    return int(version)


def _not_whole(path: Path, error: Exception) -> WarehouseError:
    return WarehouseError(f"{path} is not a whole published file ({_first_line(error)}); run `rotoscale publish`")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _versions(folder: Path) -> list[tuple[int, Path]]:
    found = ((_NAME.fullmatch(path.name), path) for path in folder.iterdir())
    return sorted((int(match[1]), path) for match, path in found if match)


def _fill(connection: duckdb.DuckDBPyConnection, table: Table, files: list[Path]) -> int:
    columns = ", ".join(f'"{column.name}" {column.type}' for column in table.columns)
    connection.execute(f'CREATE TABLE "{table.name}" ({columns})')
    if not files:
        return 0
    # Read through pyarrow, because DuckDB's own reader does not verify; one file at a time, because all may be large.
    connection.execute(f"CREATE TEMP TABLE incoming ({columns})")
    for file in files:
        rows = load_file(file, table.name)
        names = ", ".join(f'"{column.name}"' for column in table.columns if column.name in rows.schema.names)
        connection.register("rows", rows)
        connection.execute(f"INSERT INTO incoming BY NAME SELECT {names} FROM rows")
        connection.unregister("rows")
    key = ", ".join(f'"{name}"' for name in table.key)
    connection.execute(f'INSERT INTO "{table.name}" SELECT * FROM incoming ORDER BY {key}; DROP TABLE incoming')
    (count,) = connection.execute(f'SELECT count(*) FROM "{table.name}"').fetchone() or (0,)
    return int(count)


def _describe(connection: duckdb.DuckDBPyConnection, version: int, contract: Contract) -> None:
    """Tables about the file itself: its version, which asset fills each table, and the meaning of every column."""
    connection.execute(
        "CREATE TABLE published (version INTEGER, schema_version INTEGER, published_at TIMESTAMPTZ);"
        "CREATE TABLE table_texts (table_name VARCHAR, asset VARCHAR, group_name VARCHAR, key VARCHAR[], text VARCHAR);"
        "CREATE TABLE column_texts (table_name VARCHAR, column_name VARCHAR, type VARCHAR, text VARCHAR)"
    )
    connection.execute(
        "INSERT INTO published VALUES (?, ?, ?)", [version, SCHEMA_VERSION, datetime.datetime.now(datetime.UTC)]
    )
    _insert(
        connection,
        "table_texts",
        [
            {"table_name": t.name, "asset": t.asset, "group_name": t.group, "key": list(t.key), "text": t.text}
            for t in contract.values()
        ],
    )
    _insert(
        connection,
        "column_texts",
        [
            {"table_name": table.name, "column_name": column.name, "type": column.type, "text": column.text}
            for table in contract.values()
            for column in table.columns
        ],
    )


def _insert(connection: duckdb.DuckDBPyConnection, table: str, rows: list[dict[str, Any]]) -> None:
    """Many rows at once, as a table of Arrow: one by one, hundreds take DuckDB half a second."""
    import pyarrow as pa

    connection.register("rows", pa.Table.from_pylist(rows))
    connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM rows")
    connection.unregister("rows")
