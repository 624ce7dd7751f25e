"""What is taken along of a figure or table: its rows, with whose they are, which run made them, and their units."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from dashboard import queries
from dashboard.source import Source

if TYPE_CHECKING:
    import pandas as pd

UNITS = {
    "entropy_base": "nats", "entropy_post": "nats", "entropy_stderr": "nats", "change": "nats", "kl": "nats per token",
    "loss": "nats per document", "control_loss": "nats per document", "control_spread": "nats per document",
    "mean_log_likelihood": "nats per document", "start_log_likelihood": "nats per document",
    "difference": "of the metric", "difference_low": "of the metric", "difference_high": "of the metric",
    "stderr": "of the metric", "seconds": "seconds", "base": "of the weights", "post": "of the weights",
}  # fmt: skip
"""Of columns of real numbers that are no mere ratios; every other one has the unit 1."""

_OF_SCORES = {"value": "of the metric"}


def complete(
    data: pd.DataFrame, source: Source, *, table: str | None, about: tuple[str, str] | None = None
) -> pd.DataFrame:
    """The rows with columns model_id, base_id, run_id, code_version, units and published_version, where they lack them.

    `about` is the comparison that the page shows, for rows that do not name their model; `table` names the table of the
    warehouse that they are from, and with it the run and method version of each model's newest rows.
    """
    rows = data.copy()
    if about and "model_id" not in rows:
        rows.insert(0, "model_id", about[0])
        if "base_id" not in rows:
            rows.insert(1, "base_id", about[1])
    if "model_id" in rows and "base_id" not in rows:
        bases = dict(queries.models(source)[["model_id", "base_id"]].itertuples(index=False))
        rows.insert(list(rows.columns).index("model_id") + 1, "base_id", rows["model_id"].map(bases))
    if "model_id" in rows and table in source.catalogue.tables:
        made = queries.materialized(source)
        made = made[made["table"] == table].set_index("model_id")
        for column in ("run_id", "code_version"):
            if column not in rows:
                rows[column] = rows["model_id"].map(made[column])
    known = UNITS | (_OF_SCORES if "metric" in rows else {})
    real = [c for c in rows.columns if rows[c].dtype.kind == "f"]
    rows["units"] = "; ".join(f"{column}: {known.get(column, '1')}" for column in real)
    rows["published_version"] = int(queries.published(source)["version"].iloc[0])
    return rows


def csv(rows: pd.DataFrame) -> bytes:
    """The rows as CSV."""
    return rows.to_csv(index=False).encode()


def parquet(rows: pd.DataFrame) -> bytes:
    """The rows as a Parquet file."""
    buffer = io.BytesIO()
    rows.to_parquet(buffer, index=False)
    return buffer.getvalue()
