"""`rotoscale report`: the dashboard's figures and tables about one model or one family as a single HTML file.

The file needs no server and no network, and everything in it comes from the same queries as the pages.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dashboard import assemble, colours, queries, text
from dashboard.figures import heat, lines, score, spectrum
from dashboard.quantities import QUANTITIES, in_order
from dashboard.sheet import Sheet
from dashboard.source import Source, latest
from resources.atomic import write_text
from resources.warehouse import WarehouseError

if TYPE_CHECKING:
    import pandas as pd

SHOWN_MATRICES = 3
"""Matrices of a model that a report opens: those whose NF over null, then alpha, is furthest from 1."""

_SCALE_NUMBERS = ("alpha_median", "alpha_least_squares", "ratio_cv", "unexplained")
_ROTATION_NUMBERS = (
    "nf", "nf_null", "nf_null_simulated", "nf_over_null", "nf_unrelated", "leak", "formula_error", "base_error",
)  # fmt: skip

_three = functools.partial(text.number, digits=3)
_four = functools.partial(text.number, digits=4)
_score = functools.partial(text.number, digits=3)


def write_report(name: str, out: Path, published: Path) -> Path:
    """Write a report about the model or family called `name` to the file `out` and return it.

    Args:
        name: a model id, a family, or a base (which means its family).
        out: the HTML file to write, replaced if it exists.
        published: the folder of published files.

    Raises:
        WarehouseError: nothing is published, or nothing of that name is; the message says what there is.
    """
    path = latest(published)
    if path is None:
        raise WarehouseError(f"nothing is published in {published}; run `rotoscale run` or `rotoscale compare` first")
    source = Source(path)
    models, pairs = queries.models(source), queries.pairs(source)
    measured = pairs[~pairs["is_floor"]]
    if name in set(measured["model_id"]):
        sheet = Sheet(f"What post-training did to {text.short(name, 90)}")
        for pair in measured[measured["model_id"] == name].itertuples():
            _model(sheet, source, models, name, str(pair.base_id))
    else:
        found = models[models["model_id"] == name]
        is_base = len(found) > 0 and found.iloc[0]["role"] == "base"
        family = found.iloc[0]["family"] if is_base else name
        if family not in set(models["family"].dropna()):
            raise WarehouseError(_unknown(name, models, found))
        sheet = Sheet(f"The {text.short(family, 90)} family")
        _family(sheet, source, models, measured, str(family))
    about = queries.published(source).iloc[0]
    footer = (
        f"Made by rotoscale from published version {int(about['version'])}, {about['published_at']:%Y-%m-%d %H:%M %Z}. "
        "Hover over a heading for its definition, over a figure for its numbers."
    )
    write_text(Path(out), sheet.page(footer))
    return Path(out)


def _unknown(name: str, models: pd.DataFrame, found: pd.DataFrame) -> str:
    if len(found):
        row = found.iloc[0]
        reason = f"; {row['status_reason']}" if row["status"] == "quarantined" else ""
        return f"{name} is registered but not measured (status {row['status']}{reason}); run `rotoscale run {name}`"
    known = [*dict.fromkeys(models["family"].dropna()), *models["model_id"]]
    some = ", ".join(text.short(k, 60) for k in known[:12]) + (", ..." if len(known) > 12 else "")
    return f"no model or family called {text.short(name, 90)!r} is published; there are: {some or 'none'}"


# ------------------------------------------------------------------------------------------------------- a family


def _family(sheet: Sheet, source: Source, models: pd.DataFrame, measured: pd.DataFrame, family: str) -> None:
    rows = assemble.descendants(models, queries.overall(source), queries.summary(source))
    rows = rows[rows["family"] == family].reset_index(drop=True)
    scores = queries.model_scores(source)
    ids = [*dict.fromkeys(rows["base_id"].dropna()), *rows["model_id"]]
    scores = scores[scores["model_id"].isin(ids)]
    sheet.paragraph(
        "Alpha is how far singular values were scaled (1 = not at all); NF / null how far left and right singular "
        "vectors came apart, against noise of the same size (1 = noise)."
    )
    _descendants(sheet, rows, scores)
    some = rows[rows["alpha"].notna() | rows["nf_over_null"].notna()]
    if some.empty:
        sheet.paragraph("None of its descendants is measured yet.")
        return
    some = some.assign(line=some["model_id"])
    styles = colours.assigned(list(some["model_id"]))
    sheet.heading("Scale and rotation at a glance")
    sheet.figure(score.overview(some, styles), "Descendants by overall alpha and NF over null")
    sheet.note(text.DECAY)
    if len(scores):
        sheet.heading("Scores")
        shown = assemble.main_scores(scores)
        bases = set(rows["base_id"].dropna())
        shown = shown.assign(
            kind=["base" if m in bases else "post" for m in shown["model_id"]],
            panel=assemble.panels(shown), name=shown["model_id"],
        )  # fmt: skip
        order = {m: i for i, m in enumerate(ids)}
        shown = shown.sort_values("model_id", key=lambda c: c.map(order), kind="stable")
        sheet.figure(score.dots(shown[shown["value"].notna()], guides=len(bases) == 1), "Scores with standard errors")
    sheet.heading("Layer by layer")
    for quantity in ("alpha_median", "nf_over_null"):
        q = QUANTITIES[quantity]
        data = queries.by_layer(source, quantity, [family]).dropna(subset=["value"])
        if len(data):
            sheet.heading(q.label, 3)
            sheet.note(f"{text.meaning(q.column)} {text.DECAY if q.table == 'scale_statistics' else ''}")
            sheet.figure(
                lines.multiples(data, series="model_id", styles=styles, y_title=q.label, centre=q.centre), q.label
            )
    related = set(some.loc[some["role"] == "descendant", "model_id"])
    reach = {}
    for quantity in ("alpha_median", "nf_over_null"):
        data = queries.by_layer(source, quantity, [family]).dropna(subset=["value"])
        reach[quantity] = heat.reach_of(data.loc[data["model_id"].isin(related), "value"].tolist(), 1.0)
    sheet.heading("Matrix by matrix")
    sheet.note("One colour scale for all, set by the descendants; an unrelated control may lie beyond it.")
    for row in some.itertuples():
        sheet.heading(text.short(row.model_id, 90), 3)
        for quantity in ("alpha_median", "nf_over_null"):
            _map(sheet, source, quantity, row.model_id, row.base_id, reach[quantity])


def _descendants(sheet: Sheet, rows: pd.DataFrame, scores: pd.DataFrame) -> None:
    tasks = list(dict.fromkeys(scores["task"]))
    rows = assemble.score_columns(rows, assemble.main_scores(scores), tasks)
    alphas = [(c, c.replace("alpha ", "α "), _three) for c in rows.columns if c.startswith("alpha ")]
    sheet.heading("Descendants")
    sheet.table(
        rows,
        [
            ("model_id", "Model", None), ("method", "Method", None), ("status", "Status", None),
            ("relative_change", "Relative change", _four), ("alpha", "α", _four), *alphas,
            ("nf_over_null", "NF / null", _three), *((f"score {t}", t, None) for t in tasks),
        ],
    )  # fmt: skip


# -------------------------------------------------------------------------------------------------------- a model


def _model(sheet: Sheet, source: Source, models: pd.DataFrame, model: str, base: str) -> None:
    sheet.heading(f"Compared with {text.short(base, 90)}")
    both = models[models["model_id"].isin([model, base])]
    both = both.assign(source=both["source"].map(text.place))
    number = functools.partial(text.number, digits=0)
    sheet.table(
        both,
        [
            ("model_id", "Model", None), ("role", "Role", None), ("method", "Method", None),
            ("source", "Source", None), ("revision", "Revision", None), ("architecture", "Architecture", None),
            ("dtype", "Format", None), ("n_layers", "Layers", number), ("n_parameters", "Parameters", text.big),
            ("content_hash", "Content hash", None),
        ],
    )  # fmt: skip
    summary = queries.summary(source)
    summary = summary[(summary["model_id"] == model) & (summary["base_id"] == base)]
    summary = summary.set_index("matrix").loc[in_order(list(summary["matrix"]))].reset_index()
    sheet.heading("By matrix type, median over layers", 3)
    sheet.table(
        summary,
        [
            ("matrix", "Matrix", None), ("alpha", "α", _four), ("ratio_cv", "Unevenness", _four),
            ("relative_change", "Relative change", _four), ("nf", "NF", _four),
            ("nf_over_null", "NF / null", _three), ("nf_unrelated", "NF unrelated", _three),
        ],
    )  # fmt: skip
    sheet.heading("Scale", 3)
    _map(sheet, source, "alpha_median", model, base)
    _by_type(sheet, source, model, base)
    _bands(sheet, source, model, base)
    sheet.heading("Rotation", 3)
    for quantity in ("nf_over_null", "formula_over_base", "relative_change"):
        _map(sheet, source, quantity, model, base)
    _levels(sheet, source, model, base)
    for layer, matrix in _outstanding(source, model, base):
        _matrix(sheet, source, (model, base, layer, matrix))
    _scores(sheet, source, model, base)


def _map(sheet: Sheet, source: Source, quantity: str, model: str, base: str, reach: float | None = None) -> None:
    q, data = QUANTITIES[quantity], queries.grid(source, quantity, model, base)
    if data.empty:
        return
    sheet.note(f"{q.label}: {text.meaning(q.column, q.table)} {q.note} {text.DECAY if q.key[:5] == 'alpha' else ''}")
    sheet.figure(heat.layer_map(data, q, reach=reach), f"{q.label} by layer and matrix type")


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
        data = data.assign(series=data["series"].map(text.title))
        sheet.note(f"NF beside its nulls and the unrelated level. {text.meaning('nf_null_simulated')}")
        sheet.figure(
            lines.multiples(data, series="series", styles=styles, y_title="NF", log_y=True), "NF, nulls, unrelated"
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
    scale, turn = (queries.cell(source, table, *key) for table in ("scale_statistics", "rotation_statistics"))
    sheet.table(scale, [(c, text.title(c), _four) for c in _SCALE_NUMBERS])
    sheet.table(turn, [(c, text.title(c), _four) for c in _ROTATION_NUMBERS])
    data = queries.spectra(source, *key)
    if len(data) and len(scale):
        row: dict[str, Any] = scale.iloc[0].to_dict()
        limits = {"alpha": row["alpha_median"], "low": row["ratio_p05"], "high": row["ratio_p95"]}
        sheet.figures(
            (spectrum.ratio(data, **limits), "Ratio of singular values"),
            (spectrum.values(data), "Singular values of base and post"),
        )
    diagonals, picture = queries.diagonals(source, *key), queries.picture(source, *key)
    turned = [(spectrum.turned(diagonals), "How far each singular vector turned")] if len(diagonals) else []
    if len(picture):
        turned.append((spectrum.picture(picture), "I_orth in blocks"))
    sheet.figures(*turned)
    sheet.note(f"Left: |diag A|, |diag B|. Right: {text.meaning('picture')}")
    for made in (scale, turn):
        for row in made.to_dict("records"):
            sheet.note(f"run {row['run_id']}, code version {row['code_version']}, {row['materialized_at']}")


def _scores(sheet: Sheet, source: Source, model: str, base: str) -> None:
    scores = queries.scores(source, model, base)
    scores = scores[scores["value"].notna()]
    if len(scores):
        sheet.heading("Scores of edits and controls", 3)
        scores = scores.assign(panel=assemble.panels(scores), name=assemble.subject_names(scores, model, base))
        sheet.figure(score.dots(assemble.primary(scores)), "Scores with standard errors")
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
                ("task", "Task", None), ("difference", "Difference", _score), ("stderr", "± std. error", _score),
                ("p_value", "p", functools.partial(text.number, digits=3)), ("test", "Test", None),
                ("n", "n", functools.partial(text.number, digits=0)),
            ],
        )  # fmt: skip
    written = queries.generations(source, model, base)
    for _, of_prompt in list(written.groupby("prompt_id"))[:2]:
        sheet.heading("What they write", 3)
        sheet.beside([("prompt", str(of_prompt["prompt"].iloc[0]))])
        of_prompt = of_prompt.assign(name=assemble.subject_names(of_prompt, model, base)).head(8)
        sheet.beside([(str(n), str(t or "")) for n, t in of_prompt[["name", "text"]].itertuples(index=False)])
