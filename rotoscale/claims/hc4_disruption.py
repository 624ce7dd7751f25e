"""HC4: without the rotation of one side a model breaks down."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist, median

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

MATCHED = 1.1
"""Weight errors of edit and control that differ by no more than this factor are matched."""

MIRROR, NOISE = "mirror", "noise"

FLOOR = "edit and control are both worse than the base"


@dataclass(frozen=True)
class _Break:
    """One disruptive edit on one task against its mirror control."""

    row: Row
    collapsed: bool
    can_fall: bool
    """Whether the post model has a score above zero."""
    q_worse: float | None = None
    q_no_worse: float | None = None

    @property
    def floor(self) -> bool:
        """By the test's own note: a test with numbers has one where both have fallen below the base."""
        return bool(self.row.get("note"))

    @property
    def damage(self) -> float | None:
        """Weight error of the edit over its control's."""
        own, other = number(self.row, "weight_error"), number(self.row, "control_weight_error")
        return own / other if own and other else None

    @property
    def decides(self) -> bool:
        """Above the floor, and against a control of the same damage."""
        return not self.floor and self.damage is not None and 1 / MATCHED <= self.damage <= MATCHED

    @property
    def worse(self) -> bool:
        return self.decides and self.collapsed and self.q_worse is not None and self.q_worse < LEVEL

    @property
    def no_worse(self) -> bool:
        """Shown, and not merely a difference that is not: the control loses at least four fifths as much."""
        shown_so = self.q_no_worse is not None and self.q_no_worse < LEVEL
        return self.decides and self.collapsed and shown_so and not self.worse

    @property
    def power(self) -> float | None:
        """Chance to find the edit worse than a control that loses half of what it loses, by a normal approximation."""
        loss, low, high = (number(self.row, name) for name in ("loss", "difference_low", "difference_high"))
        if loss is None or low is None or high is None or high <= low:
            return None
        return NormalDist().cdf(abs(loss) / 2 / ((high - low) / 3.92) - 1.645)


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
    q_worse, q_no_worse = (
        benjamini_hochberg([number(row, name) for row in mirrors]) for name in ("p_difference", "p_no_worse")
    )
    breaks = [
        _Break(row, _collapsed(evidence, row), _can_fall(evidence, row), worse, no_worse)
        for row, worse, no_worse in zip(mirrors, q_worse, q_no_worse, strict=True)
    ]
    tested = [one for one in breaks if one.can_fall]
    word = UNDECIDED
    if 2 * sum(one.worse for one in tested) > len(tested):
        word = SUPPORTED
    elif 2 * sum(one.no_worse for one in tested) > len(tested):
        word = REFUTED
    largest = min(
        [one for one in tested if one.decides] or tested or breaks, key=lambda one: number(one.row, "difference") or 0.0
    )
    powers = [power for one in tested if one.decides and (power := one.power) is not None]
    return Verdict(
        verdict=word,
        reason=_text(breaks, tested, rows),
        statistic="loss of log-likelihood beyond the mirror control's, in nats per document, where it is largest "
        f"({largest.row['recipe']}, {largest.row['task']})",
        estimate=number(largest.row, "difference"),
        ci_low=number(largest.row, "difference_low"),
        ci_high=number(largest.row, "difference_high"),
        control=0.0,
        p_value=number(largest.row, "p_difference"),
        q_value=largest.q_worse,
        n=int(largest.row.get("n") or 0),
        power=median(powers) if powers else None,
        rests_on=rests_on,
    )


def _text(breaks: list[_Break], tested: list[_Break], rows: list[Row]) -> str:
    if not tested:
        return f"at a floor in all {len(breaks)} tests: the post model has no score that could fall"
    collapsed = [one for one in tested if one.collapsed]
    worse, no_worse = sum(one.worse for one in tested), sum(one.no_worse for one in tested)
    text = (
        f"disrupting one side makes the score collapse in {len(collapsed)} of {len(tested)} tests (edits by tasks); "
        f"beyond the mirror control, the post model with vectors of noise that damages the weights as much, in {worse}"
    )
    if no_worse:
        text += (
            f"; in {no_worse} the control is shown to lose at least four fifths as much, so that the collapse is no "
            "evidence of a rotation"
        )
    floor = sum(one.collapsed and one.floor for one in tested)
    if floor:
        text += f"; {floor} are at a floor ({FLOOR})"
    open_ = len(collapsed) - worse - no_worse - floor
    if open_:
        text += f"; in {open_} neither is shown"
    ratios = [ratio for one in tested if (ratio := one.damage) is not None]
    if ratios:
        unmatched = sum(not 1 / MATCHED <= ratio <= MATCHED for ratio in ratios)
        text += f"; damage to the weights is {shown(median(ratios), 2)} times the control's"
        text += f", not matched in {unmatched}, which decide nothing" if unmatched else ""
    noise = [number(row, "p_difference") for row in rows if row["control"] == NOISE]
    if noise:
        beyond = sum(q is not None and q < LEVEL for q in benjamini_hochberg(noise))
        text += f"; beyond the noise control in {beyond} of {len(noise)}"
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


def _can_fall(evidence: Evidence, row: Row) -> bool:
    """Whether the post model's score on the task is above zero; a perplexity always has room."""
    scores = [
        found
        for found in evidence.rows("evaluation_scores", subject_id=evidence.model_id, task=row["task"])
        if found.get("is_primary") is not False and found.get("higher_is_better") is not False
    ]
    for found in scores:
        value, stderr = number(found, "value"), number(found, "stderr") or 0.0
        if value is not None and value - 2 * stderr <= 0:
            return False
    return True


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
    control="Draws of the mirror control, the post model with the vectors of itself and of noise that damages the "
    "weights as much (its p decides), and of the noise control; the damage to the weights, side by side.",
    supported_by="A collapse, and a loss of log-likelihood beyond the mirror control's (difference of differences, q < "
    "0.05), in most tests of an edit on a task.",
    refuted_by="In most tests a collapse that is shown to be no worse than the mirror control's: the control loses at "
    "least four fifths as much (one-sided test of that margin, q < 0.05), and the edit is not shown to lose more.",
    otherwise="Undecided where neither is shown in most tests: at a floor, where edit and control are both worse than "
    "the base, where the damage is not matched within a tenth, and wherever there is no collapse. Tasks on which the "
    "post model has no score that could fall are left out. Not tested without draws of the mirror control.",
    rule_version="2",
    tables=("control_tests", "evaluation_contrasts", "evaluation_scores", "edited_checkpoints"),
    needs=("control_tests",),
    rule=rule,
)
