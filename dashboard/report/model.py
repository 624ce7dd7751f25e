"""The report about one comparison: scale, rotation, the matrices that stand out, and its scores."""

from __future__ import annotations

import functools
from typing import Any

from dashboard import assemble, colours, queries, text
from dashboard.figures import lines, score, spectrum
from dashboard.quantities import shown
from dashboard.queries import claims
from dashboard.report.maps import add_map
from dashboard.report.sheet import Sheet
from dashboard.source import Source
from resources.warehouse.summaries import EDITS_PAGE
from resources.warehouse.summaries.measures import RELATIVE_CHANGE_TEXT

FIRST_MAP = "relative_change"
"""What a reader asks first: where did it change?"""

SHOWN_MATRICES = 3
"""Matrices of a model that a report opens: those whose NF over null, then alpha, is furthest from 1."""

_LIMITS = {"alpha": "alpha_median", "low": "ratio_p05", "high": "ratio_p95", "noise": "ratio_cv_noise"}

_three = functools.partial(text.number, digits=3)
_four = functools.partial(text.number, digits=4)


def add_model(sheet: Sheet, source: Source, model: str, base: str) -> None:
    """Add what there is about one comparison."""
    sheet.heading(f"Compared with {text.short(base, 90)}")
    add_map(sheet, source, FIRST_MAP, model, base)
    summary = queries.summary(source)
    summary = summary[(summary["model_id"] == model) & (summary["base_id"] == base)]
    sheet.heading("By matrix type, over layers", 3)
    sheet.table(
        summary,
        [
            ("matrix", "Matrix", None), ("alpha", "α", _four), ("ratio_cv", "Unevenness", _four),
            ("relative_change", "Relative change", _four), ("nf", "NF", _four),
            ("nf_over_null", "NF / null", _three), ("nf_unrelated", "NF unrelated", _three),
        ],
        meanings={"relative_change": RELATIVE_CHANGE_TEXT.replace("all principal matrices", "these matrices")},
    )  # fmt: skip
    sheet.heading("Scale", 3)
    for quantity in shown("report", "scale"):
        add_map(sheet, source, quantity, model, base)
    _by_type(sheet, source, model, base)
    _bands(sheet, source, model, base)
    sheet.heading("Rotation", 3)
    for quantity in (key for key in shown("report", "rotation") if key != FIRST_MAP):
        add_map(sheet, source, quantity, model, base)
    _levels(sheet, source, model, base)
    for layer, matrix in _outstanding(source, model, base):
        _matrix(sheet, source, (model, base, layer, matrix))
    _scores(sheet, source, model, base)


def _by_type(sheet: Sheet, source: Source, model: str, base: str) -> None:
    data = queries.grid(source, "alpha_median", model, base).dropna(subset=["value"])
    if len(data):
        sheet.note("By matrix type: is one, such as o, out of line?")
        sheet.figure(lines.by_type(data, strong="o", y_title="α median", centre=1), "Alpha by layer and matrix type")


def _bands(sheet: Sheet, source: Source, model: str, base: str) -> None:
    names = {f"alpha_{band}": band for band in queries.BANDS}
    wide = queries.bands(source, model, base).rename(columns=names)
    data = wide.melt(["layer", "matrix"], list(names.values()), "band", "value").dropna(subset=["value"])
    if len(data):
        sheet.note("Bands: median ratio in the largest, central and smallest tenth of the singular values.")
        data = data.sort_values(["matrix", "band", "layer"])
        styles = colours.BANDS
        sheet.figure(lines.multiples(data, series="band", styles=styles, y_title="α", centre=1), "Bands of alpha")


def _levels(sheet: Sheet, source: Source, model: str, base: str) -> None:
    data = assemble.long_levels(queries.levels(source, model, base), list(colours.LEVELS)).dropna(subset=["value"])
    if len(data):
        styles = {text.title(name): style for name, style in colours.LEVELS.items()}
        data = data.assign(level=data["series"], series=data["series"].map(text.title))
        levels = [name for name in colours.LEVELS if name != "nf" and (data["level"] == name).any()]
        meant = (source.catalogue.meaning(name, "rotation_statistics") for name in levels)
        sheet.note(f"NF beside that of noise and the unrelated level. {' '.join(filter(None, meant))}")
        sheet.figure(
            lines.multiples(data, series="series", styles=styles, y_title="NF", log_y=True), "NF, noise, unrelated"
        )


def _outstanding(source: Source, model: str, base: str) -> list[tuple[int, str]]:
    """The matrices worth opening: furthest from 1 in NF over null, then in alpha, each once."""
    cells: dict[tuple[int, str], None] = {}
    for quantity, count in (("nf_over_null", SHOWN_MATRICES - 1), ("alpha_median", SHOWN_MATRICES)):
        data = queries.grid(source, quantity, model, base)
        distance = (data["value"] - 1).abs().replace(float("inf"), float("nan")).dropna()
        for row in data.loc[distance.sort_values(ascending=False).index[:count]].itertuples():
            cells[int(row.layer), str(row.matrix)] = None
    return list(cells)[:SHOWN_MATRICES]


def _matrix(sheet: Sheet, source: Source, cell: tuple[str, str, int, str]) -> None:
    experts = queries.experts(source, *cell)
    key = (*cell, experts[0] if experts else -1)
    sheet.heading(f"Layer {cell[2]}, {text.short(cell[3], 40)}", 3)
    scale, rotation = (queries.cell(source, table, *key) for table in ("scale_statistics", "rotation_statistics"))
    for page, found in (("scale", scale), ("rotation", rotation)):
        stated = shown("matrix", page).values()
        columns = [
            (q.column, q.label, functools.partial(text.number, digits=q.digits))
            for q in stated
            if q.table == f"{page}_statistics"
        ]
        sheet.table(found, columns, of=f"{page}_statistics")
    data = queries.spectra(source, *key)
    if len(data) and len(scale):
        row: dict[str, Any] = scale.iloc[0].to_dict()
        limits = {name: row[of] for name, of in _LIMITS.items()}
        sheet.figures(
            (spectrum.ratio(data, **limits), "Ratio of singular values"),
            (spectrum.values(data), "Singular values of base and post"),
        )
    diagonals, picture = queries.diagonals(source, *key), queries.picture(source, *key)
    charts = [(spectrum.rotated(diagonals), "How far each singular vector rotated")] if len(diagonals) else []
    if len(picture):
        charts.append((spectrum.picture(picture), "I_orth in blocks"))
    sheet.figures(*charts)
    sheet.note(f"Left: |diag A|, |diag B|. Right: {source.catalogue.meaning('picture', 'rotation_statistics')}")


def _scores(sheet: Sheet, source: Source, model: str, base: str) -> None:
    scores = queries.scores(source, model, base)
    scores = scores[scores["value"].notna()]
    found = claims.findings(source, model, EDITS_PAGE)
    if found:
        sheet.heading("Edits and their controls")
    for sentence in found:
        sheet.paragraph(sentence)
    if len(scores):
        sheet.heading("Scores of edits and controls", 3)
        scores = scores.assign(panel=assemble.panels(scores), name=assemble.subject_names(scores, model, base))
        sheet.figure(score.dots(assemble.primary(scores)), "Scores with standard errors")
    losses = queries.control_losses(source, model)
    if len(losses):
        sheet.heading("Losses of disruptive edits among the draws of their controls", 3)
        sheet.figure(
            score.dots(assemble.control_points(losses), guides=False), "Change of log-likelihood, nats per document"
        )
    contrasts = assemble.primary(queries.contrasts(source, model))
    if len(contrasts):
        sheet.heading("Paired contrasts", 3)
        contrasts = contrasts.assign(
            subject=assemble.subject_names(contrasts, model, base),
            reference=assemble.reference_names(contrasts, model, base),
        )
        sheet.table(
            contrasts,
            [
                ("relation", "Relation", None), ("subject", "Subject", None), ("reference", "Reference", None),
                ("task", "Task", None), ("metric", "Metric", None),
                ("difference", "Difference", _three), ("stderr", "± std. error", _three),
                ("p_value", "p", text.p_value), ("test", "Test", None),
                ("n", "n", functools.partial(text.number, digits=0)),
            ],
            of="evaluation_contrasts",
        )  # fmt: skip
    written = queries.generations(source, model, base)
    for _, of_prompt in list(written.groupby("prompt_id"))[:2]:
        sheet.heading("What they write", 3)
        sheet.beside([("prompt", str(of_prompt["prompt"].iloc[0]))])
        of_prompt = of_prompt.assign(name=assemble.subject_names(of_prompt, model, base)).head(8)
        sheet.beside([(str(n), str(t or "")) for n, t in of_prompt[["name", "text"]].itertuples(index=False)])
