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
    by_version = made[made["model_id"].isin(ids)].groupby(["table", "code_version"], sort=False)
    newest = made.loc[by_version["materialized_at"].idxmax()].assign(rows=by_version["rows"].sum().to_numpy())
    sheet.heading("Methods and their versions", 3)
    sheet.note(
        "Name the version of a method beside a number of it, and Rotoscale itself as CITATION.cff in the project says."
    )
    sheet.table(
        newest,
        [
            ("table", "Table", None), ("code_version", "Version of the method", None), ("rows", "Rows", _whole),
            ("materialized_at", "Newest row", lambda time: f"{time:%Y-%m-%d %H:%M %Z}"), ("run_id", "Its run", None),
        ],
        meanings={
            "materialized_at": "When the newest of these rows was made.", "run_id": "The Dagster run that made it."
        },
    )  # fmt: skip
