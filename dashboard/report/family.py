"""The report about a family: its descendants beside each other, then layer by layer and matrix by matrix."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from dashboard import assemble, colours, queries, text
from dashboard.figures import heat, lines, score
from dashboard.quantities import shown
from dashboard.report.maps import add_map
from dashboard.report.sheet import Sheet
from dashboard.source import Source
from resources.warehouse.summaries.measures import RELATIVE_CHANGE_TEXT, WHERE_TEXT

if TYPE_CHECKING:
    import pandas as pd

_three = functools.partial(text.number, digits=3)
_four = functools.partial(text.number, digits=4)


def add_family(sheet: Sheet, source: Source, models: pd.DataFrame, family: str) -> None:
    """Add what there is about a family: its descendants, side by side and then one by one."""
    rows = assemble.descendants(
        assemble.listed(models), queries.overall(source), queries.summary(source), queries.where_changed(source)
    )
    rows = rows[rows["family"] == family].reset_index(drop=True)
    scores = queries.model_scores(source)
    ids = [*dict.fromkeys(rows["base_id"].dropna()), *rows["model_id"]]
    scores = scores[scores["model_id"].isin(ids)]
    sheet.paragraph(
        "Alpha is how far singular values were scaled (1 = not at all); tau whether left and right singular vectors "
        "changed together (1 is He and Cao's one rotation, 0 is noise); NF / null is He and Cao's mismatch of the two, "
        f"{text.NULL}"
    )
    _descendants(sheet, rows, scores)
    some = rows[rows["alpha"].notna() | rows["tau"].notna()]
    if some.empty:
        sheet.paragraph("None of its descendants is measured yet.")
        return
    some = some.assign(line=some["model_id"])
    styles = colours.of_methods(dict(zip(some["model_id"], some["method"].fillna(""), strict=True)))
    sheet.heading("Scale and agreement at a glance")
    sheet.figure(score.overview(some, styles), "Descendants by overall alpha and agreement tau")
    sheet.note(text.DECAY)
    if len(scores):
        sheet.heading("Scores")
        found = assemble.main_scores(scores)
        bases = set(rows["base_id"].dropna())
        found = found.assign(
            kind=["base" if m in bases else "post" for m in found["model_id"]],
            panel=assemble.panels(found), name=found["model_id"],
        )  # fmt: skip
        order = {m: i for i, m in enumerate(ids)}
        found = found.sort_values("model_id", key=lambda c: c.map(order), kind="stable")
        sheet.figure(score.dots(found[found["value"].notna()], guides=len(bases) == 1), "Scores with standard errors")
    sheet.heading("Layer by layer")
    for quantity, q in shown("family").items():
        data = queries.by_layer(source, quantity, [family]).dropna(subset=["value"])
        if len(data):
            sheet.heading(q.label, 3)
            sheet.note(
                f"{source.catalogue.meaning(q.column, q.table)} {text.DECAY if q.table == 'scale_statistics' else ''}"
            )
            sheet.figure(
                lines.multiples(data, series="model_id", styles=styles, y_title=q.label, centre=q.centre), q.label
            )
    related = set(some.loc[some["role"] == "descendant", "model_id"])
    reach = {}
    for quantity, q in shown("family").items():
        data = queries.by_layer(source, quantity, [family]).dropna(subset=["value"])
        reach[quantity] = heat.reach_of(data.loc[data["model_id"].isin(related), "value"].tolist(), q.centre or 0.0)
    sheet.heading("Matrix by matrix")
    sheet.note("One colour scale for all, set by the descendants; an unrelated control may lie beyond it.")
    for row in some.itertuples():
        sheet.heading(text.short(row.model_id, 90), 3)
        for quantity in shown("family"):
            add_map(sheet, source, quantity, row.model_id, row.base_id, reach[quantity])


def _descendants(sheet: Sheet, rows: pd.DataFrame, scores: pd.DataFrame) -> None:
    tasks = list(dict.fromkeys(scores["task"]))
    rows = assemble.score_columns(rows, assemble.main_scores(scores), tasks)
    alphas = [(c, c.replace("alpha ", "α "), _three) for c in rows.columns if c.startswith("alpha ")]
    sheet.heading("Descendants")
    sheet.table(
        rows,
        [
            ("model_id", "Model", None), ("method", "Method", None), ("status", "Status", None),
            ("relative_change", "Relative change", _four), ("where", "Where", None), ("alpha", "α", _four), *alphas,
            ("tau", "τ", _three), ("nf_over_null", "NF / null", _three), *((f"score {t}", t, None) for t in tasks),
        ],
        meanings={"relative_change": RELATIVE_CHANGE_TEXT, "where": WHERE_TEXT},
    )  # fmt: skip
