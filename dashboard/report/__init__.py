"""`rotoscale report`: the dashboard's figures and tables about one model or one family as a single HTML file.

The file needs no server and no network, and everything in it comes from the same queries as the pages.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dashboard import queries, text
from dashboard.report.claims import add_family_claims, add_family_sentences, add_model_claims, add_model_sentences
from dashboard.report.family import add_family
from dashboard.report.model import add_model
from dashboard.report.provenance import add_provenance
from dashboard.report.sheet import Sheet
from dashboard.source import Source, latest
from resources.atomic import write_text
from resources.warehouse import WarehouseError

if TYPE_CHECKING:
    import pandas as pd


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
        sheet = Sheet(f"What post-training did to {text.short(name, 90)}", source.catalogue)
        add_model_claims(sheet, source, name)
        bases = [str(base) for base in measured.loc[measured["model_id"] == name, "base_id"]]
        for base in bases:
            add_model(sheet, source, name, base)
        add_model_sentences(sheet, source, name)
        add_provenance(sheet, source, models, {name, *bases})
    else:
        found = models[models["model_id"] == name]
        is_base = len(found) > 0 and found.iloc[0]["role"] == "base"
        family = found.iloc[0]["family"] if is_base else name
        if family not in set(models["family"].dropna()):
            raise WarehouseError(_unknown(name, models, found))
        sheet = Sheet(f"The {text.short(family, 90)} family", source.catalogue)
        add_family_claims(sheet, source, str(family))
        add_family(sheet, source, models, str(family))
        add_family_sentences(sheet, source, str(family))
        add_provenance(sheet, source, models, set(models.loc[models["family"] == family, "model_id"]))
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
