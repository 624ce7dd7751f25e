"""The head of every report: the verdicts on the papers' claims, and the stored sentences on what was tested."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from dashboard import assemble, text
from dashboard.queries import claims as queries
from dashboard.report.sheet import Sheet
from dashboard.source import Source

if TYPE_CHECKING:
    import pandas as pd

TONES = {"supported": "supported", "refuted": "refuted", "undecided": "undecided", "not tested": "untested"}
"""Words whose cells have a colour of their own; the word always stands in it."""

_number = functools.partial(text.number, digits=3)


def add_family_claims(sheet: Sheet, source: Source, family: str) -> None:
    """Add claims by models of a family; nothing where nothing was judged."""
    found = _of_family(source, family)
    if found.empty:
        return
    sheet.heading("What the papers claim, and what these models say of it")
    found = found.assign(subject=found["model_id"].where(found["model_id"] != "", f"family {family}"))
    wide = assemble.claims_by_model(found)
    subjects = [column for column in wide.columns if column.startswith(assemble.OF)]
    names = [(column, text.short(column.removeprefix(assemble.OF), 60), None) for column in subjects]
    sheet.table(wide, [("claim", "Claim", None), ("sentence", "What the paper says", None), *names], tones=TONES)


def add_family_sentences(sheet: Sheet, source: Source, family: str) -> None:
    """Add the sentences on each verdict on a family's models; nothing where nothing was judged."""
    _in_words(sheet, source, _of_family(source, family))


def _of_family(source: Source, family: str) -> pd.DataFrame:
    found = queries.verdicts(source)
    return found[found["family"] == family]


def add_model_claims(sheet: Sheet, source: Source, model: str) -> None:
    """Add the verdicts on one model with their numbers, and the reading of it against its base."""
    found = _of_model(source, model)
    if len(found):
        _verdicts(sheet, found)
    reading = queries.findings(source, model, "pair")
    if reading:
        sheet.heading("In short")
        for sentence in reading:
            sheet.paragraph(sentence)


def add_model_sentences(sheet: Sheet, source: Source, model: str) -> None:
    """Add the sentences on each verdict on a model; nothing where nothing was judged."""
    _in_words(sheet, source, _of_model(source, model))


def _of_model(source: Source, model: str) -> pd.DataFrame:
    found = queries.verdicts(source)
    return found[found["model_id"] == model]


def _in_words(sheet: Sheet, source: Source, found: pd.DataFrame) -> None:
    if len(found):
        sheet.heading("The verdicts in words")
        _sentences(sheet, source, found)


def _verdicts(sheet: Sheet, found: pd.DataFrame) -> None:
    sheet.heading("What the papers claim, and what this model says of it")
    sheet.table(
        found,
        [
            ("claim", "Claim", None), ("sentence", "What the paper says", None), ("verdict", "Verdict", None),
            ("estimate", "Estimate", _number), ("ci_low", "Low", _number), ("ci_high", "High", _number),
            ("control", "Control", _number), ("p_value", "p", text.p_value), ("q_value", "q", text.p_value),
            ("n", "n", functools.partial(text.number, digits=0)), ("power", "Power", _number),
            ("statistic", "Estimate of", None),
        ],
        of="claims",
        tones=TONES,
    )  # fmt: skip


def _sentences(sheet: Sheet, source: Source, verdicts: pd.DataFrame) -> None:
    """The stored sentences on these verdicts, those on what was not tested in small letters at the end."""
    families, models = set(verdicts["family"]), set(verdicts["model_id"])
    mine = [row for row in queries.sentences(source) if row["family"] in families and row["model_id"] in models]
    for row in mine:
        if row["verdict"] != "not tested":
            sheet.paragraph(row["sentence"])
    for row in mine:
        if row["verdict"] == "not tested":
            sheet.note(row["sentence"])
