"""Heat maps in a report."""

from __future__ import annotations

from dashboard import queries, text
from dashboard.figures import heat
from dashboard.quantities import QUANTITIES
from dashboard.report.sheet import Sheet
from dashboard.source import Source


def add_map(sheet: Sheet, source: Source, quantity: str, model: str, base: str, reach: float | None = None) -> None:
    """Add the heat map of a quantity, and what the quantity is; nothing where it has no values."""
    q, data = QUANTITIES[quantity], queries.grid(source, quantity, model, base)
    if data.empty:
        return
    decay = text.DECAY if q.key.startswith("alpha") else ""
    sheet.note(f"{q.label}: {source.catalogue.meaning(q.column, q.table)} {q.note} {decay}")
    sheet.figure(heat.layer_map(data, q, reach=reach), f"{q.label} by layer and matrix type")
