"""What a published file says of itself: its tables, which asset makes each, and what every column means.

The dashboard knows no table definitions of its own. Hover texts, the list of what is there of a model and the links to
its assets are made from `table_texts` and `column_texts`, so that a new asset group appears without a change here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resources.warehouse.query import rows

if TYPE_CHECKING:
    import duckdb

_STAMPED = {"model_id", "run_id", "code_version", "materialized_at"}


@dataclass(frozen=True)
class Column:
    """One column: its DuckDB type and the sentence that explains it."""

    name: str
    type: str
    text: str


@dataclass(frozen=True)
class Table:
    """One table: the asset that makes it, that asset's group, and the columns that identify a row."""

    name: str
    asset: str
    group: str
    key: tuple[str, ...]
    text: str
    columns: Mapping[str, Column]

    @property
    def of_models(self) -> bool:
        """Whether each row belongs to one model and says which run made it."""
        return self.columns.keys() >= _STAMPED

    @property
    def single_values(self) -> list[str]:
        """Its columns but for arrays, which are too long for a table on a page."""
        return [column.name for column in self.columns.values() if not column.type.endswith("[]")]


@dataclass(frozen=True)
class Catalogue:
    """All tables by name, in the order of publishing."""

    tables: Mapping[str, Table]

    def meaning(self, column: str, table: str | None = None) -> str | None:
        """The text of a column, for hovering; of the first table that has it unless one is named."""
        tables: Iterable[Table] = self.tables.values() if table is None else filter(None, [self.tables.get(table)])
        return next((t.columns[column].text for t in tables if column in t.columns), None)

    def asset_of(self, table: str) -> str:
        """The asset that makes a table; the table's own name where the file does not say."""
        found = self.tables.get(table)
        return found.asset if found else table

    def group_of(self, table: str) -> str:
        """The group of the asset that makes a table; empty where the file does not say."""
        found = self.tables.get(table)
        return found.group if found else ""

    def groups(self) -> dict[str, dict[str, list[str]]]:
        """Of every group with tables of models: its assets, each with those tables."""
        found: dict[str, dict[str, list[str]]] = {}
        for table in self.tables.values():
            if table.of_models:
                found.setdefault(table.group, {}).setdefault(table.asset, []).append(table.name)
        return found


def read_catalogue(connection: duckdb.DuckDBPyConnection) -> Catalogue:
    """The catalogue that stands in a published file.

    Raises WarehouseError when the file is from before it described itself.
    """
    columns: dict[str, dict[str, Column]] = {}
    for row in rows(connection, "SELECT table_name, column_name, type, text FROM column_texts ORDER BY rowid"):
        column = Column(row["column_name"], row["type"], row["text"])
        columns.setdefault(row["table_name"], {})[column.name] = column
    tables = [
        Table(
            r["table_name"], r["asset"], r["group_name"], tuple(r["key"]), r["text"], columns.get(r["table_name"], {})
        )
        for r in rows(connection, "SELECT table_name, asset, group_name, key, text FROM table_texts ORDER BY rowid")
    ]
    return Catalogue({table.name: table for table in tables})
