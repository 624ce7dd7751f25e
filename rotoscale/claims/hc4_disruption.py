"""HC4: without the rotation of one side a model breaks down."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from rotoscale.claims.arithmetic import shown
from rotoscale.claims.claim import (
    LEVEL,
    REFUTED,
    SUPPORTED,
    UNDECIDED,
    Claim,
    Evidence,
    Row,
    Rows,
    Verdict,
    not_tested,
    number,
)
from rotoscale.claims.trained import is_made_by
from rotoscale.multiple import benjamini_hochberg
from rotoscale.recipes import RECIPES

COLLAPSE = 0.5
"""What is left of a score after a collapse, at most; of a perplexity, its inverse."""

MATCHED = 1.5
"""Weight errors of edit and control that differ by no more than this factor are matched."""

MIRROR, NOISE = "mirror", "noise"

FLOOR = "edit and control are both worse than the base, or the post model has no score that could fall"


@dataclass(frozen=True)
class _Break:
    """One disruptive edit on one task against its mirror control."""

    row: Row
    collapsed: bool
    floor: bool
    q_value: float = 1.0

    @property
    def worse(self) -> bool:
        return self.q_value < LEVEL

    @property
    def as_bad(self) -> bool:
        """The control loses as much: the edit is not shown to lose more, nor is its loss of another order."""
        loss, control = number(self.row, "loss"), number(self.row, "control_loss")
        return not self.worse and loss is not None and control is not None and control <= COLLAPSE * loss


def rule(evidence: Evidence) -> Verdict:
    """docs/methods.md, section 7, HC4: collapse, and a loss beyond that of the mirror control on most tasks."""
    rests_on = (
        Rows("control_tests", {"model_id": evidence.model_id}),
        Rows("evaluation_contrasts", {"model_id": evidence.model_id, "relation": "edit against post"}),
    )
    disruptive = [name for name, recipe in RECIPES.items() if recipe.needs_control]
    stored = [
        row
        for row in evidence.rows("control_tests", model_id=evidence.model_id)
        if any(is_made_by(row["recipe"], name) for name in disruptive)
    ]
    rows = [row for row in stored if number(row, "p_difference") is not None]
    mirrors = [row for row in rows if row["control"] == MIRROR]
    if not mirrors:
        notes = dict.fromkeys(str(row["note"]) for row in stored if row["control"] == MIRROR and row.get("note"))
        why = "".join(f" ({note})" for note in notes)
        return not_tested(f"no disruptive edit was held against draws of its mirror control{why}", rests_on)
    breaks = [_Break(row, _collapsed(evidence, row), _at_floor(evidence, row)) for row in mirrors]
    q_values = benjamini_hochberg([number(one.row, "p_difference") for one in breaks])
    breaks = [
        _Break(b.row, b.collapsed, b.floor, 1.0 if q is None else q) for b, q in zip(breaks, q_values, strict=True)
    ]
    above = [one for one in breaks if not one.floor]
    shown_worse = [one for one in above if one.collapsed and one.worse]
    collapsed = [one for one in above if one.collapsed]
    as_bad = [one for one in collapsed if one.as_bad]
    word = UNDECIDED
    if 2 * len(shown_worse) > len(above) > 0:
        word = SUPPORTED
    elif 2 * len(collapsed) > len(above) and 2 * len(as_bad) > len(collapsed):
        word = REFUTED
    worst = min(breaks, key=lambda one: number(one.row, "difference") or 0.0)
    difference = [d for one in breaks if (d := number(one.row, "difference")) is not None]
    return Verdict(
        verdict=word,
        reason=_text(breaks, above, collapsed, shown_worse, as_bad, rows),
        statistic="loss of log-likelihood beyond the mirror control's, in nats per document, where it is largest "
        f"({worst.row['recipe']}, {worst.row['task']})",
        estimate=min(difference, default=None),
        ci_low=number(worst.row, "difference_low"),
        ci_high=number(worst.row, "difference_high"),
        control=0.0,
        p_value=number(worst.row, "p_difference"),
        q_value=worst.q_value,
        n=int(worst.row.get("n") or 0),
        rests_on=rests_on,
    )


def _text(
    breaks: list[_Break],
    above: list[_Break],
    collapsed: list[_Break],
    worse: list[_Break],
    as_bad: list[_Break],
    rows: list[Row],
) -> str:
    if not above:
        return f"at a floor in all {len(breaks)} tests: {FLOOR}"
    text = (
        f"disrupting one side makes the score collapse in {len(collapsed)} of {len(above)} tests (edits by tasks), and "
        f"in {len(worse)} of these more than the mirror control, the post model with vectors of as much noise"
    )
    if as_bad:
        text += f"; in {len(as_bad)} the control collapses as well, so that the collapse is no evidence of a rotation"
    if len(above) < len(breaks):
        text += f"; {len(breaks) - len(above)} more are at a floor ({FLOOR})"
    noise = [row for row in rows if row["control"] == NOISE]
    if noise:
        lost = [q for q in benjamini_hochberg([number(row, "p_difference") for row in noise]) if q is not None]
        text += f"; beyond the noise control in {sum(q < LEVEL for q in lost)} of {len(noise)}"
    ratios = [
        own / other
        for one in above
        if (own := number(one.row, "weight_error")) and (other := number(one.row, "control_weight_error"))
    ]
    if ratios:
        ratio = median(ratios)
        matched = "matched" if 1 / MATCHED <= ratio <= MATCHED else "not matched"
        text += f"; damage to the weights is {matched} ({shown(ratio, 2)} times the control's)"
    return text


def _collapsed(evidence: Evidence, row: Row) -> bool:
    """Whether the edit is shown to be worse than the post model, and at most half of its score is left."""
    edits = _edits(evidence, row["recipe"])
    contrasts = [
        found
        for found in evidence.rows("evaluation_contrasts", reference_id=evidence.model_id)
        if found.get("is_primary") is not False
        and found["subject_id"] in edits
        and number(found, "p_value") is not None
    ]
    adjusted = benjamini_hochberg([number(found, "p_value") for found in contrasts])
    for found, q in zip(contrasts, adjusted, strict=True):
        if found["task"] != row["task"] or q is None or q >= LEVEL:
            continue
        post = _score(evidence, evidence.model_id, found["task"], found.get("metric"))
        edit = _score(evidence, found["subject_id"], found["task"], found.get("metric"))
        if post is None or edit is None:
            continue
        left = edit / post if found.get("higher_is_better") is not False else post / edit if edit else 1.0
        if post > 0 and left <= COLLAPSE:
            return True
    return False


def _at_floor(evidence: Evidence, row: Row) -> bool:
    """Whether nothing can be told: by the test's own note, or because the post model's score is not above zero.

    A test with numbers has a note where edit and control have both fallen below the base.
    """
    if row.get("note"):
        return True
    scores = [
        found
        for found in evidence.rows("evaluation_scores", subject_id=evidence.model_id, task=row["task"])
        if found.get("is_primary") is not False and found.get("higher_is_better") is not False
    ]
    for found in scores:
        value, stderr = number(found, "value"), number(found, "stderr") or 0.0
        if value is not None and value - 2 * stderr <= 0:
            return True
    return False


def _edits(evidence: Evidence, label: str) -> set[str]:
    return {
        row["edit_id"]
        for row in evidence.rows("edited_checkpoints", model_id=evidence.model_id, label=label)
        if not row.get("is_control")
    }


def _score(evidence: Evidence, subject: str, task: str, metric: str | None) -> float | None:
    rows = evidence.rows("evaluation_scores", subject_id=subject, task=task)
    return next((number(row, "value") for row in rows if metric is None or row.get("metric") == metric), None)


CLAIM = Claim(
    name="HC4",
    sentence="Taking the rotation from one side is catastrophic: scores fall to about nothing.",
    evidence="disrupt-left and disrupt-right over all matrices, on every task: a collapse is a score of at most half "
    "the post model's (twice its perplexity), shown to be worse.",
    control="Draws of the mirror control, the post model with the vectors of itself and as much noise (its p decides), "
    "and of the noise control; the damage to the weights, side by side.",
    supported_by="A collapse, and a loss of log-likelihood beyond the mirror control's (difference of differences, q < "
    "0.05), in most tests of an edit on a task.",
    refuted_by="A collapse in most tests that is no worse than the mirror control's: not shown to exceed it, and the "
    "control loses at least half as much.",
    otherwise="Undecided at a floor, where edit and control are both worse than the base or the post model has no "
    "score that could fall, and wherever there is no collapse; not tested without draws of the mirror control.",
    rule_version="1",
    tables=("control_tests", "evaluation_contrasts", "evaluation_scores", "edited_checkpoints"),
    needs=("control_tests",),
    rule=rule,
)
