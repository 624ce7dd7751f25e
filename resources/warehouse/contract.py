"""What a table is: its key, its columns with the sentence that explains each, and the asset that fills it.

Each asset group declares its own tables (`assets/<group>/tables.py`). The Parquet writer, the published DuckDB file,
the documentation and the dashboard's hover texts are all made from these definitions, so that a quantity is explained
in one place only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rotoscale.statistic import described

SCHEMA_VERSION = 1
"""Raised when a column changes its type or meaning, or goes: older files are refused then. A further column needs no
new version: rows from before it have null there."""


@dataclass(frozen=True)
class Column:
    """One column: its DuckDB type and the sentence that explains it to a reader."""

    name: str
    type: str
    text: str


@dataclass(frozen=True)
class Table:
    """One table: `key` columns identify a row, `asset` fills it; one Parquet file per model, or per pair of models."""

    name: str
    asset: str
    key: tuple[str, ...]
    text: str
    columns: tuple[Column, ...]
    group: str = ""
    """The asset group that declares it; filled in when the groups are brought together."""

    def column(self, name: str) -> Column:
        """The column called `name`; KeyError when the table has none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"{self.name} has no column {name}")


Contract = Mapping[str, Table]
"""Every table there is, by name."""


PROVENANCE = (
    Column("run_id", "VARCHAR", "Dagster run that made the row."),
    Column("code_version", "VARCHAR", "Version of the method that made the row."),
    Column("materialized_at", "TIMESTAMPTZ", "When the row was made."),
)


def table(name: str, asset: str, key: str, text: str, columns: str = "", *statistics: Any) -> Table:
    """A table from lines `name TYPE explanation`, then the fields of dataclasses of statistics; `key` holds words."""
    parsed = [Column(*line.split(maxsplit=2)) for line in columns.splitlines() if line.strip()]
    parsed += [Column(*one) for statistic in statistics for one in described(statistic)]
    return Table(name, asset, tuple(key.split()), text, (*parsed, *PROVENANCE))
