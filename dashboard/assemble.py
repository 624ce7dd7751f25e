"""From answers to what is drawn: joins and labels too small for SQL, shared by the pages and the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from dashboard import colours, text
from resources.warehouse.summaries import where_in_words
from resources.warehouse.summaries.measures import FORGOTTEN, in_order

if TYPE_CHECKING:
    from collections.abc import Sequence

UNMEASURED = "not measured yet"
LOWER_IS_BETTER = " ↓"
OF = "of "
"""Before the name of whose verdicts a column holds."""


def listed(models: pd.DataFrame) -> pd.DataFrame:
    """Registered models but for those that were forgotten on request."""
    return models[models["status"].fillna("") != FORGOTTEN]


def descendants(
    models: pd.DataFrame, overall: pd.DataFrame, summary: pd.DataFrame, where_changed: pd.DataFrame
) -> pd.DataFrame:
    """One row per registered descendant: what the registry says, its overall numbers, and alpha per matrix type.

    `where` says in words where it changed most. Columns of matrix types are called `alpha <matrix>`. A ready model
    without numbers has the status UNMEASURED.
    """
    rows = models[models["role"] != "base"][["family", "model_id", "method", "role", "base_id", "status"]]
    rows = rows.merge(overall, on=["model_id", "base_id"], how="left")
    places = where_changed[["model_id", "base_id"]].assign(
        where=[where_in_words(row) for row in where_changed.to_dict("records")]
    )
    rows = rows.merge(places, on=["model_id", "base_id"], how="left")
    wide = summary.pivot(index=["model_id", "base_id"], columns="matrix", values="alpha")
    wide = wide[in_order([str(c) for c in wide.columns])]
    wide.columns = [f"alpha {c}" for c in wide.columns]
    rows = rows.merge(wide.reset_index(), on=["model_id", "base_id"], how="left") if len(wide) else rows
    waiting = (rows["status"] == "ready") & rows["matrices"].isna()
    rows.loc[waiting, "status"] = UNMEASURED
    return rows.reset_index(drop=True)


def main_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """One metric per task: the primary one, else the one that most models have; ties go to the first by name."""
    counts = scores.assign(is_primary=scores["is_primary"].fillna(False).astype(bool))
    counts = counts.groupby(["task", "metric", "filter"], dropna=False)["is_primary"].agg(["max", "size"]).reset_index()
    counts = counts.sort_values(["task", "max", "size", "metric", "filter"], ascending=[True, False, False, True, True])
    return scores.merge(counts.drop_duplicates("task")[["task", "metric", "filter"]], on=["task", "metric", "filter"])


def primary(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows about each task's primary metric; rows that do not say whether theirs is are kept."""
    return rows[rows["is_primary"].fillna(True).astype(bool)]


def panels(scores: pd.DataFrame) -> pd.Series:
    """The name of each score's tile: the task, and metric and filter where a task has several."""
    several = scores.groupby("task")[["metric", "filter"]].transform("nunique")
    name = scores["task"].astype(str) + " · " + scores["metric"].astype(str)
    name = name.where(several["filter"] <= 1, name + " · " + scores["filter"].astype(str))
    return name.where(scores["higher_is_better"].fillna(True).astype(bool), name + LOWER_IS_BETTER)


def score_columns(rows: pd.DataFrame, scores: pd.DataFrame, tasks: Sequence[str]) -> pd.DataFrame:
    """`rows` with a column per task: base's score, an arrow, the model's, each with its standard error."""
    rows = rows.copy()
    for task in tasks:
        of_task = scores[(scores["task"] == task) & (scores["status"] == "ready")]
        known = {r.model_id: text.with_error(r.value, r.stderr) for r in of_task.itertuples()}
        rows[f"score {task}"] = [
            f"{known.get(base, '–')} → {known[model]}" if model in known else None
            for model, base in zip(rows["model_id"], rows["base_id"], strict=True)
        ]
    return rows


def gain(rows: pd.DataFrame, scores: pd.DataFrame, task: str) -> pd.Series:
    """Each descendant's score on a task minus its base's."""
    known = dict(scores.loc[scores["task"] == task, ["model_id", "value"]].itertuples(index=False))
    return rows["model_id"].map(known) - rows["base_id"].map(known)


def subject_names(scores: pd.DataFrame, model_id: str, base_id: str) -> pd.Series:
    """Short names of subjects: `base`, `post`, an edit's label, or its id without the model's name in front."""
    return _names(scores["subject_id"], scores["label"], model_id, base_id)


def reference_names(contrasts: pd.DataFrame, model_id: str, base_id: str) -> pd.Series:
    """The same for what subjects are compared with."""
    return _names(contrasts["reference_id"], contrasts["reference_label"], model_id, base_id)


def _names(subjects: pd.Series, labels: pd.Series, model_id: str, base_id: str) -> pd.Series:
    def name(subject: str, known: object) -> str:
        if subject == base_id:
            return "base"
        if subject == model_id:
            return "post"
        if isinstance(known, str) and known:
            return known
        rest = subject.removeprefix(model_id).strip(".-_/@:")
        return rest or subject

    names = [name(str(s), k) for s, k in zip(subjects, labels, strict=True)]
    return pd.Series(names, subjects.index, dtype=object)


def control_points(losses: pd.DataFrame) -> pd.DataFrame:
    """Losses of edits and control draws as `figures.score.dots` takes them: panel, name, kind, value."""
    kinds = {"edit": "edit", "mirror": colours.MIRROR, "noise": colours.NOISE}
    known = losses[losses["loss"].notna()]
    points = {"panel": known["task"], "name": known["recipe"], "kind": known["control"].map(kinds).fillna("control")}
    return known.assign(**points, value=known["loss"])


def long_levels(levels: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Several columns of a layer-by-matrix frame as rows: layer, matrix, series, value."""
    return levels.melt(["layer", "matrix"], list(names), "series", "value").sort_values(["matrix", "series", "layer"])


def claims_by_model(verdicts: pd.DataFrame) -> pd.DataFrame:
    """Verdicts as a table of claims by models: columns claim, sentence, then `of <subject>` with its words.

    `verdicts` has a column `subject`: whose claim each is. He and Cao's claims come first.
    """
    claims = verdicts.drop_duplicates("claim")[["claim", "sentence"]].reset_index(drop=True)
    subjects = list(dict.fromkeys(verdicts["subject"]))
    words = {(r.claim, r.subject): r.verdict for r in verdicts.itertuples()}
    columns = {f"{OF}{subject}": [words.get((claim, subject)) for claim in claims["claim"]] for subject in subjects}
    order = sorted(range(len(claims)), key=lambda i: (not claims["claim"][i].startswith("HC"), claims["claim"][i]))
    return pd.concat([claims, pd.DataFrame(columns)], axis=1).iloc[order].reset_index(drop=True)
