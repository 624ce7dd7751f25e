"""What the scores of edits say: every edit is read beside the draws of its own control and what it recovers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from resources.warehouse import publish, read
from resources.warehouse.behaviour_rows import TABLES, behaviour_sentences
from resources.warehouse.summaries.scores import BehaviourSummary, behaviour_summary
from rotoscale.claims.sentences import EDITS_PAGE, findings_on_page
from tests.synthetic import open_store

STAMP = {"run_id": "", "code_version": "synthetic"}
ALL, FIRST = None, "0-1"
GOOD, BAD = 0.9, 0.1


def edit(recipe: str, layers: str | None, *, of: str = "post", control: bool = False) -> dict[str, Any]:
    """One row of edited_checkpoints as the shelf writes it."""
    scope = f"-layers{layers}" if layers else ""
    label = f"{recipe}{scope}{'-of-noise' if of == 'noise' else ''}"
    return {
        "edit_id": f"m--{label}", "model_id": "m", "base_id": "b", "recipe": recipe, "label": label,
        "is_control": control, "status": "ready", "weight_error": 0.1, "base_error": 0.2,
        "control_id": f"m--{label}-of-noise" if recipe.startswith("disrupt") and of == "post" else "",
        "parameters": {"recipe": recipe, "matrices": None, "layers": layers, "of": of},
    }  # fmt: skip


def summary_of(
    folder: Path,
    edits: Sequence[dict[str, Any]],
    values: dict[str, float],
    compared: Sequence[tuple[str, str]],
    documents: dict[str, int] | None = None,
    **tables: Sequence[dict[str, Any]],
) -> BehaviourSummary:
    """Publish a model `m` of base `b` with edits, their scores, significant contrasts of the pairs named, and rows."""
    store = open_store(folder)
    store.write("models", "m", [{"model_id": "m", "base_id": "b", "status": "ready"}], **STAMP)
    store.write("edited_checkpoints", "m", edits, **STAMP)
    place = {"model_id": "m", "task": "t", "metric": "acc", "filter": "none", "is_primary": True}
    place["higher_is_better"] = True
    scores = [
        place
        | {"subject_id": s, "value": v, "stderr": 0.01, "n_samples": (documents or {}).get(s, 100), "status": "ready"}
        for s, v in values.items()
    ]
    store.write("evaluation_scores", "m", scores, **STAMP)
    contrasts = [place | {"subject_id": s, "reference_id": r, "p_value": 1e-9} for s, r in compared]
    store.write("evaluation_contrasts", "m", contrasts, **STAMP)
    for table, rows in tables.items():
        store.write(table, "m", [{"model_id": "m", "task": "t"} | row for row in rows], **STAMP)
    sentences = behaviour_sentences("m", "b", {table: store.read(table, "m") for table in TABLES})
    store.write("findings", "m", findings_on_page(EDITS_PAGE, "f", "m", sentences, []), **STAMP)
    publish(store, folder / "published")
    with read(folder / "published") as connection:
        summary = behaviour_summary(connection, "m")
    assert summary is not None
    return summary


def held_against(label: str, control: str, q: float) -> dict[str, Any]:
    """One row of control_tests."""
    losses = {"loss": -2.0, "control_loss": -1.0, "draws": 19}
    return {"recipe": label, "control": control, "q_difference": q, "q_no_worse": 1.0} | losses


def test_a_scoped_disruption_is_read_beside_its_own_mirror_control(tmp_path: Path) -> None:
    """Neither the noise control nor the mirror control of another scope says anything of it."""
    edits = [edit("disrupt-left", FIRST), edit("disrupt-left", ALL)]
    ids = [row["edit_id"] for row in edits]
    label = edits[0]["label"]
    summary = summary_of(
        tmp_path,
        edits,
        {"m": GOOD, "b": GOOD, ids[0]: BAD, ids[1]: BAD},
        [(ids[0], "m"), (ids[1], "m")],
        control_tests=[held_against(label, "mirror", 0.01), held_against(label, "noise", 0.9)],
    )
    said = {row["label"]: next(s for s in summary.findings if s.startswith(row["label"] + " ")) for row in edits}
    assert "Against 19 draws of its mirror control" in said[label]
    assert "it loses more than the control on t -2.00 against -1.00 nats" in said[label]
    assert "proves nothing" in said["disrupt-left"]


@pytest.mark.parametrize("layers", [ALL, FIRST])
def test_what_restores_is_read_by_what_it_recovers(tmp_path: Path, layers: str | None) -> None:
    edits = [edit("restore-left", ALL), edit("restore-left", FIRST)]
    restored = next(e for e in edits if e["parameters"]["layers"] == layers)
    gain = {"gain": 0.1, "ci_low": 0.0, "ci_high": 0.2, "straight_line": 0.4, "trained": True}
    summary = summary_of(
        tmp_path,
        edits,
        {"m": GOOD, "b": BAD, edits[0]["edit_id"]: GOOD, edits[1]["edit_id"]: GOOD},
        [(row["edit_id"], "m") for row in edits],
        recovered_gain=[gain | {"edit_id": restored["edit_id"]}],
    )
    text = (
        f"{restored['label']} does not bring the model back: recovered gain t 0.10 (0.00 to 0.20; straight line 0.40)"
    )
    assert any(sentence.startswith(text) for sentence in summary.findings)
    assert sum("not tested whether it brings" in sentence for sentence in summary.findings) == 1


def test_a_task_says_on_how_many_documents_its_subjects_were_scored(tmp_path: Path) -> None:
    """Edits are often scored on the first documents alone: one number for all would be wrong of some."""
    made = edit("disrupt-left", ALL)
    documents = {"m": 2000, "b": 2000, made["edit_id"]: 500}
    summary = summary_of(tmp_path, [made], {"m": GOOD, "b": GOOD, made["edit_id"]: BAD}, [], documents=documents)
    (column,) = summary.columns
    assert (column.n_least, column.n_most) == (500, 2000)
