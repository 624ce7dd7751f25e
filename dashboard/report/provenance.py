"""The end of every report: which checkpoints, by hash, and which method, run and time made the rows of each table."""

from __future__ import annotations

import functools
from collections.abc import Collection
from typing import TYPE_CHECKING

from dashboard import queries, text
from dashboard.report.sheet import Sheet
from dashboard.source import Source

if TYPE_CHECKING:
    import pandas as pd

_whole = functools.partial(text.number, digits=0)


def add_provenance(sheet: Sheet, source: Source, models: pd.DataFrame, ids: Collection[str]) -> None:
    """Add where everything about these models comes from, and how to cite it."""
    mine = models[models["model_id"].isin(ids)]
    mine = mine.assign(source=mine["source"].map(text.place))
    sheet.heading("Where this comes from")
    sheet.table(
        mine,
        [
            ("model_id", "Model", None), ("role", "Role", None), ("method", "Method", None),
            ("source", "Source", None), ("revision", "Revision", None), ("architecture", "Architecture", None),
            ("dtype", "Format", None), ("n_layers", "Layers", _whole), ("n_parameters", "Parameters", text.big),
            ("content_hash", "Content hash", None),
        ],
        of="models",
    )  # fmt: skip
    made = queries.materialized(source)
    made = made[made["model_id"].isin(ids)].groupby(["table", "code_version"], sort=False, as_index=False)
    sheet.heading("Methods and their versions", 3)
    sheet.note(
        "Name the version of a method beside a number of it, and Rotoscale itself as CITATION.cff in the project says."
    )
    sheet.table(
        made.agg(rows=("rows", "sum"), newest=("materialized_at", "max"), run_id=("run_id", "last")),
        [
            ("table", "Table", None), ("code_version", "Version of the method", None), ("rows", "Rows", _whole),
            ("newest", "Newest row", lambda time: f"{time:%Y-%m-%d %H:%M %Z}"), ("run_id", "Last run", None),
        ],
        meanings={"newest": "When the newest of these rows was made."},
    )  # fmt: skip
