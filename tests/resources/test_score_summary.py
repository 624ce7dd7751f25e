"""What the scores of edits say: every edit is read beside the control and the noise of its own scope."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from resources.warehouse import publish, read
from resources.warehouse.summaries.scores import BehaviourSummary, behaviour_summary
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
    folder: Path, edits: Sequence[dict[str, Any]], values: dict[str, float], compared: Sequence[tuple[str, str]]
) -> BehaviourSummary:
    """Publish a model `m` of base `b` with edits, their scores, and significant contrasts of the pairs named."""
    store = open_store(folder)
    store.write("models", "m", [{"model_id": "m", "base_id": "b", "status": "ready"}], **STAMP)
    store.write("edited_checkpoints", "m", edits, **STAMP)
    place = {"model_id": "m", "task": "t", "metric": "acc", "filter": "none", "is_primary": True}
    place["higher_is_better"] = True
    scores = [
        place | {"subject_id": s, "value": v, "stderr": 0.01, "n_samples": 100, "status": "ready"}
        for s, v in values.items()
    ]
    store.write("evaluation_scores", "m", scores, **STAMP)
    contrasts = [place | {"subject_id": s, "reference_id": r, "p_value": 1e-9} for s, r in compared]
    store.write("evaluation_contrasts", "m", contrasts, **STAMP)
    publish(store, folder / "published")
    with read(folder / "published") as connection:
        summary = behaviour_summary(connection, "m")
    assert summary is not None
    return summary


def test_a_scoped_disruption_is_read_beside_its_own_control(tmp_path: Path) -> None:
    edits = [
        edit("disrupt-left", FIRST),
        edit("disrupt-left", FIRST, of="noise", control=True),
        edit("noise", FIRST, control=True),
    ]
    ids = [row["edit_id"] for row in edits]
    summary = summary_of(
        tmp_path,
        edits,
        {"m": GOOD, "b": GOOD, ids[0]: BAD, ids[1]: BAD, ids[2]: GOOD},
        [(ids[0], "m"), (ids[1], ids[2])],
    )
    (sentence,) = [s for s in summary.findings if s.startswith("disrupt-left-layers0-1")]
    assert "proves nothing" not in sentence
    assert "broken the same way, suffers on the same tasks" in sentence


def test_the_noise_of_another_scope_is_no_control(tmp_path: Path) -> None:
    """A break of some layers whose own noise was not scored is not excused by noise in all layers."""
    edits = [
        edit("disrupt-left", FIRST),
        edit("disrupt-left", FIRST, of="noise", control=True),
        edit("noise", ALL, control=True),
    ]
    ids = [row["edit_id"] for row in edits]
    summary = summary_of(
        tmp_path,
        edits,
        {"m": GOOD, "b": GOOD, ids[0]: BAD, ids[1]: BAD, ids[2]: GOOD},
        [(ids[0], "m"), (ids[1], ids[2])],
    )
    (sentence,) = [s for s in summary.findings if s.startswith("disrupt-left-layers0-1")]
    assert "proves nothing" in sentence


@pytest.mark.parametrize("layers", [ALL, FIRST])
def test_what_restores_is_read_against_the_break_of_its_scope(tmp_path: Path, layers: str | None) -> None:
    edits = [edit("disrupt-left", ALL), edit("disrupt-left", FIRST), edit("restore-left", layers)]
    broken, restored = next(e["edit_id"] for e in edits if e["parameters"]["layers"] == layers), edits[2]["edit_id"]
    summary = summary_of(
        tmp_path,
        edits,
        {"m": GOOD, "b": GOOD, edits[0]["edit_id"]: BAD, edits[1]["edit_id"]: BAD, restored: GOOD},
        [(restored, broken), (restored, "m")],
    )
    assert f"{edits[2]['label']} brings the model back on t 0.100 -> 0.900" in " ".join(summary.findings)
