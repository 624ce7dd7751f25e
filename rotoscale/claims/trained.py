"""What a descendant was trained for, as far as scores can tell: the tasks that it does better than its base."""

from __future__ import annotations

from dataclasses import dataclass

from rotoscale.claims.claim import LEVEL, Evidence, Rows, number
from rotoscale.multiple import benjamini_hochberg


@dataclass(frozen=True)
class TaskGain:
    """Post minus base on one task's first metric, on the same documents; positive when the descendant is better."""

    task: str
    metric: str
    gain: float
    stderr: float | None
    p_value: float
    q_value: float
    n: int

    @property
    def better(self) -> bool:
        """Whether the descendant is shown to be better than its base."""
        return self.gain > 0 and self.q_value < LEVEL

    @property
    def worse(self) -> bool:
        """Whether it is shown to be worse."""
        return self.gain < 0 and self.q_value < LEVEL


def task_gains(evidence: Evidence, model_id: str | None = None, containing: str = "") -> list[TaskGain]:
    """Gains of a model (the subject unless another is named) over the base; p values corrected over these tasks."""
    model = model_id or evidence.model_id
    rows = [
        row
        for row in evidence.rows("evaluation_contrasts", subject_id=model, reference_id=evidence.base_id)
        if row.get("is_primary") is not False and containing in row["task"]
    ]
    known = [
        (row, difference, p)
        for row in rows
        if (difference := number(row, "difference")) is not None and (p := number(row, "p_value")) is not None
    ]
    q_values = benjamini_hochberg([p for _, _, p in known])
    return [
        TaskGain(
            row["task"],
            row.get("metric") or "",
            -difference if row.get("higher_is_better") is False else difference,
            number(row, "stderr"),
            p,
            1.0 if q is None else q,
            int(row.get("n") or 0),
        )
        for (row, difference, p), q in zip(known, q_values, strict=True)
    ]


def gain_rows(evidence: Evidence) -> Rows:
    """Where the gains are read from."""
    return Rows("evaluation_contrasts", {"subject_id": evidence.model_id, "reference_id": evidence.base_id})


def is_made_by(label: str, recipe: str, *settings: str) -> bool:
    """Whether an edit with this label is the recipe over all matrices, with its defaults or one of these settings.

    A scope, and options that stretch a recipe's meaning, stand in the label too, and those edits answer other
    questions.
    """
    return label == recipe or label in {f"{recipe}-{word}" for word in settings}
