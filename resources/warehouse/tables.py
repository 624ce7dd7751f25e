"""Rows on disk: `<folder>/<table>/model=<model_id>/rows.parquet`, replaced whole and atomically.

Writing the same model again replaces its rows, so that a repeated run is harmless, and two models never touch the
same file, so that no locks are needed, on a shared folder either. Every file is verified to the bit when it is read;
a short one is read again only when it was replaced or written to.
"""

from __future__ import annotations

import copy
import datetime
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources.atomic import replacing
from resources.warehouse.contract import SCHEMA_VERSION, Contract, Table
from resources.warehouse.sealed import DamagedFile, read_metadata, read_sealed, write_sealed
from rotoscale.errors import RotoscaleError

if TYPE_CHECKING:
    import pyarrow as pa

_log = logging.getLogger(__name__)

_VERSION_KEY = b"rotoscale_schema_version"
_FINGERPRINT_KEY = b"rotoscale_fingerprint"
_CODE_KEY = b"rotoscale_code_version"
_SHORT = 4
"""Rows up to which what was read of a file is kept until the file changes."""
_FILE = "rows.parquet"


class WarehouseError(RotoscaleError):
    """A table file or the published warehouse cannot be used as it is."""


class TableStore:
    """The Parquet side of the warehouse under one folder; `contract` says which tables there are."""

    def __init__(self, folder: Path, contract: Contract) -> None:
        self.folder = Path(folder)
        self.contract = contract
        self._short: dict[Path, tuple[tuple[int, int, int], list[dict[str, Any]]]] = {}
        self._stored: dict[Path, tuple[tuple[int, int, int], tuple[str, str] | None]] = {}

    def definition(self, table: str) -> Table:
        """The contract of a table; WarehouseError when there is none of that name."""
        if table not in self.contract:
            raise WarehouseError(f"no table {table} in the warehouse contract; there are: {', '.join(self.contract)}")
        return self.contract[table]

    def path(self, table: str, model_id: str) -> Path:
        """Where the rows of one model in one table lie, whether or not they exist."""
        return self.folder / table / f"model={model_id}" / _FILE

    def write(
        self,
        table: str,
        model_id: str,
        rows: Sequence[Mapping[str, Any]],
        *,
        run_id: str,
        code_version: str,
        fingerprint: str = "",
    ) -> Path:
        """Replace all rows of `model_id` in `table`, stamping them with where they come from.

        Columns that a row leaves out become null. Raises WarehouseError for a column that the contract does not
        have, a null or repeated key: rows are never bent or dropped silently. `fingerprint` identifies what the
        rows were made from; `fingerprint()` gives it back, so that a later run can tell whether they still hold.
        """
        import pyarrow as pa

        definition = self.definition(table)
        _check(definition, rows)
        stamp = {
            "run_id": run_id,
            "code_version": code_version,
            "materialized_at": datetime.datetime.now(datetime.UTC),
        }
        schema = _arrow_schema(definition, fingerprint, code_version)
        columns = {c.name: [_plain({**row, **stamp}.get(c.name), c.type) for row in rows] for c in definition.columns}
        target = self.path(table, model_id)
        with replacing(target) as temporary:
            write_sealed(pa.table(columns, schema=schema), temporary)
        return target

    def read(self, table: str, model_id: str, *, lists: bool = True) -> list[dict[str, Any]]:
        """All rows of one model; an empty list when there is no file. Without `lists`, columns of lists are left out.

        A column that the contract got after the file was written is null. Raises WarehouseError for a file that is
        damaged or of another schema version.
        """
        target = self.path(table, model_id)
        try:
            version = _version(target)
        except FileNotFoundError:
            return []
        wanted = [column.name for column in self.definition(table).columns if lists or not column.type.endswith("[]")]
        kept = self._short.get(target)
        if kept is None or kept[0] != version:
            found = load_file(target, table)
            if found.num_rows > _SHORT:
                found = found.select([name for name in found.column_names if name in wanted])
                return [dict.fromkeys(wanted) | row for row in found.to_pylist()]
            # Such as a model's row in the catalogue, which everything asks for, or a pair's, which every model does.
            kept = self._short[target] = (version, found.to_pylist())
        return [{name: copy.deepcopy(row.get(name)) for name in wanted} for row in kept[1]]

    def fingerprint(self, table: str, model_id: str) -> str | None:
        """What the rows of one model were made from; None when there are none, or the file is damaged.

        The whole file is verified, once in this process, so that what is damaged is made again; that is logged.
        """
        found = self._facts(table, model_id)
        return found and found[0]

    def code_version(self, table: str, model_id: str) -> str | None:
        """The version of the method that made the rows of one model, be they none; None as for `fingerprint`.

        Empty for a file from before the version stood in it.
        """
        found = self._facts(table, model_id)
        return found and found[1]

    def _facts(self, table: str, model_id: str) -> tuple[str, str] | None:
        """Fingerprint and code version of a file."""
        target = self.path(table, model_id)
        try:
            version = _version(target)
            if self._stored.get(target, (None, None))[0] != version:
                self._stored[target] = (version, _facts_of(target))
        except OSError:
            return None
        return self._stored[target][1]

    def files(self, table: str) -> list[Path]:
        """Every file of a table, in the order of the model names."""
        return sorted((self.folder / table).glob(f"model=*/{_FILE}"))

    def models(self, table: str) -> list[str]:
        """Models that have a file in `table`."""
        return [file.parent.name.removeprefix("model=") for file in self.files(table)]

    def remove(self, model_id: str, tables: Iterable[str] | None = None) -> None:
        """Remove a model's rows from `tables` (default: all); those that have none stay silent."""
        for table in self.contract if tables is None else tables:
            self.path(table, model_id).unlink(missing_ok=True)


def load_file(file: Path, table: str) -> pa.Table:
    """The rows of `file`, verified to the bit.

    Raises WarehouseError, naming file and remedy, when it is damaged or of another schema version.
    """
    remedy = f"delete it and materialize {table} for {file.parent.name.removeprefix('model=')} again"
    try:
        rows = read_sealed(file)
    except DamagedFile as error:
        raise WarehouseError(f"{file} is not a whole table file: {error}; {remedy}") from error
    except OSError as error:
        raise WarehouseError(f"{file} cannot be read ({error.strerror or error}); {remedy}") from error
    version = (rows.schema.metadata or {}).get(_VERSION_KEY, b"").decode()
    if not version.isdigit():
        raise WarehouseError(f"{file} states no schema version, so it was not written by rotoscale; {remedy}")
    if int(version) > SCHEMA_VERSION:
        raise WarehouseError(
            f"{file} has schema version {version}, newer than this program's {SCHEMA_VERSION}; "
            "update rotoscale, or point ROTOSCALE_DATA at another folder"
        )
    if int(version) < SCHEMA_VERSION:
        raise WarehouseError(
            f"{file} has schema version {version}, older than this program's {SCHEMA_VERSION}; {remedy}"
        )
    return rows


def _version(file: Path) -> tuple[int, int, int]:
    """What changes when a file is replaced or written to."""
    facts = file.stat()
    return facts.st_ino, facts.st_mtime_ns, facts.st_size


def _facts_of(file: Path) -> tuple[str, str] | None:
    try:
        metadata = read_metadata(file)
    except DamagedFile as error:
        _log.warning("%s is damaged (%s); its rows are made again", file, error)
        return None
    if metadata.get(_VERSION_KEY) != str(SCHEMA_VERSION).encode():
        return None
    return metadata.get(_FINGERPRINT_KEY, b"").decode(), metadata.get(_CODE_KEY, b"").decode()


def _check(table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    names = {column.name for column in table.columns}
    seen: set[tuple[Any, ...]] = set()
    for row in rows:
        unknown = set(row) - names
        if unknown:
            raise WarehouseError(f"{table.name} has no column {', '.join(sorted(unknown))}; see assets/*/tables.py")
        key = tuple(row.get(name) for name in table.key)
        if None in key:
            raise WarehouseError(f"{table.name}: a row without {table.key[key.index(None)]}: {key}")
        if key in seen:
            raise WarehouseError(f"{table.name}: the key {key} occurs twice")
        seen.add(key)


def _plain(value: Any, type_: str) -> Any:
    return json.dumps(value, sort_keys=True) if type_ == "JSON" and not isinstance(value, str | None) else value


def _arrow_schema(table: Table, fingerprint: str, code_version: str) -> Any:
    import pyarrow as pa

    scalar = {
        "VARCHAR": pa.string(),
        "JSON": pa.string(),
        "INTEGER": pa.int32(),
        "BIGINT": pa.int64(),
        "DOUBLE": pa.float64(),
        "FLOAT": pa.float32(),
        "BOOLEAN": pa.bool_(),
        "TIMESTAMPTZ": pa.timestamp("us", tz="UTC"),
    }

    def arrow(type_: str) -> Any:
        return pa.list_(scalar[type_[:-2]]) if type_.endswith("[]") else scalar[type_]

    return pa.schema(
        [(column.name, arrow(column.type)) for column in table.columns],
        metadata={
            _VERSION_KEY: str(SCHEMA_VERSION).encode(),
            _FINGERPRINT_KEY: fingerprint.encode(),
            _CODE_KEY: code_version.encode(),
        },
    )
