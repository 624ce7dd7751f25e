"""The warehouse: rows as one Parquet file per table and model, published together as one read-only DuckDB file.

Many processes write and one dashboard reads, and a single DuckDB file allows no such thing: one open read-only handle
blocks every writer. So writers each replace their own small file atomically, without locks, and publishing builds a
new DuckDB file beside the old one and moves a pointer. Readers keep what they opened for as long as they like.
"""

from resources.warehouse.contract import SCHEMA_VERSION, Column, Contract, Table, table
from resources.warehouse.publish import Published, current, is_published, open_published, publish, read
from resources.warehouse.tables import TableStore, WarehouseError

__all__ = [
    "SCHEMA_VERSION",
    "Column",
    "Contract",
    "Published",
    "Table",
    "TableStore",
    "WarehouseError",
    "current",
    "is_published",
    "open_published",
    "publish",
    "read",
    "table",
]
