"""HC5: giving the broken side the other's rotation brings the model back."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rotoscale.claims.arithmetic import p_of_interval, shown
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
from rotoscale.claims.trained import gain_rows, is_made_by, task_gains
from rotoscale.multiple import benjamini_hochberg
from rotoscale.recipes import RECIPES

HALF = 0.5
"""Of the gain from base to post: what has to be recovered."""

LITTLE = 0.1
"""Of that gain: what an edit may recover beyond the straight line and still be called no better than it."""


@dataclass(frozen=True)
class _Gain:
    row: Row
    gain: float
    low: float
    high: float
    line: float | None
    line_low: float | None
    line_high: float | None
    q_below: float = 1.0
    p_below: float = 1.0

    @property
    def recovered(self) -> bool:
        return self.low > HALF and self.line is not None and self.low > self.line

    @property
    def lost(self) -> bool:
        return self.high < HALF and self.q_below < LEVEL

    @property
    def no_better(self) -> bool:
        """Shown to recover no more than LITTLE beyond the straight line: the two intervals as if independent, which is
        cautious, since both are of the same documents."""
        if self.line is None or self.line_low is None or self.line_high is None:
            return False
        half = ((self.high - self.low) ** 2 + (self.line_high - self.line_low) ** 2) ** 0.5 / 2
        ahead = self.gain - self.line
        return p_of_interval(ahead, ahead - half, ahead + half, LITTLE) < LEVEL


def rule(evidence: Evidence) -> Verdict:
    """docs/methods.md, section 7, HC5: the recovered gain on every trained skill, against the straight line's."""
    rests_on = (Rows("recovered_gain", {"model_id": evidence.model_id}), gain_rows(evidence))
    gains = task_gains(evidence)
    skills = {gain.task for gain in gains if gain.better}
    if not skills:
        return not_tested("on no task is the post model shown to be better than its base", rests_on)
    restoring = [name for name, recipe in RECIPES.items() if recipe.undoes]
    rows = [
        row
        for row in evidence.rows("recovered_gain", model_id=evidence.model_id)
        if row["task"] in skills and any(is_made_by(_label(evidence, row), name) for name in restoring)
    ]
    if not rows:
        return not_tested("no restored model was scored on what the post model gained", rests_on)
    known = [found for row in rows if (found := _read(row)) is not None]
    if not known:
        return not_tested("no recovered gain has an interval", rests_on)
    p_values = [p_of_interval(one.gain, one.low, one.high, HALF) for one in known]
    q_values = benjamini_hochberg(p_values)
    known = [
        replace(one, q_below=1.0 if q is None else q, p_below=p)
        for one, p, q in zip(known, p_values, q_values, strict=True)
    ]
    lost = [one for one in known if one.lost]
    no_better = all(one.no_better for one in known)
    missing = skills - {one.row["task"] for one in known}
    word = UNDECIDED
    if lost or no_better:
        word = REFUTED
    elif len(known) == len(rows) and not missing and all(one.recovered for one in known):
        word = SUPPORTED
    worst = min(known, key=lambda one: one.gain)
    return Verdict(
        verdict=word,
        reason=_text(known, lost, no_better, missing, worst),
        statistic="recovered gain (0 is the base, 1 the post model) of the restored model on the trained skill where "
        f"it is least ({_label(evidence, worst.row)}, {worst.row['task']})",
        estimate=worst.gain,
        ci_low=worst.low,
        ci_high=worst.high,
        control=worst.line,
        p_value=worst.p_below,
        q_value=worst.q_below,
        n=int(worst.row.get("n") or 0),
        rests_on=rests_on,
    )


def _text(known: list[_Gain], lost: list[_Gain], no_better: bool, missing: set[str], worst: _Gain) -> str:
    straight = f", the straight line {shown(worst.line, 2)}" if worst.line is not None else ""
    interval = f"{shown(worst.low, 2)} to {shown(worst.high, 2)}"
    numbers = f"worst: {shown(worst.gain, 2)} ({interval}) on {worst.row['task']}{straight}"
    skills = ", ".join(dict.fromkeys(one.row["task"] for one in known))
    if lost:
        tasks = ", ".join(dict.fromkeys(one.row["task"] for one in lost))
        text = f"less than half of the gain is recovered on {tasks}"
    elif no_better:
        text = (
            f"on {skills} no more than a tenth of the gain is recovered beyond the straight line from base to post at "
            "the same distance"
        )
    elif all(one.recovered for one in known) and not missing:
        text = f"more than half of the gain is recovered on {skills}, and more than on the straight line"
    else:
        text = f"the gain on {skills} is neither shown to be recovered nor lost"
        if any(one.line is None for one in known):
            text += "; there is no straight line at the same distance to compare with"
    if missing:
        text += f"; {', '.join(sorted(missing))} was not scored on a restored model"
    return f"{text} ({numbers})"


def _read(row: Row) -> _Gain | None:
    gain, low, high = (number(row, name) for name in ("gain", "ci_low", "ci_high"))
    if gain is None or low is None or high is None:
        return None
    line, line_low, line_high = (number(row, f"straight_line{end}") for end in ("", "_low", "_high"))
    return _Gain(row, gain, low, high, line, line_low, line_high)


def _label(evidence: Evidence, row: Row) -> str:
    edits = evidence.rows("edited_checkpoints", edit_id=row.get("edit_id"))
    return str(edits[0].get("label") or "") if edits else str(row.get("recipe") or "")


CLAIM = Claim(
    name="HC5",
    sentence="Giving the broken side the rotation of the other one brings the model back.",
    evidence="The recovered gain, (edit - base) / (post - base), of restore-left and restore-right over all matrices "
    "on every trained skill: the tasks on which the post model is better than its base (q < 0.05).",
    control="The base (gain 0), and the straight line from base to post at the same distance from the base.",
    supported_by="On every trained skill the gain's interval lies above 0.5 and above the straight line's gain.",
    refuted_by="The interval's upper end lies below 0.5 on a trained skill (q < 0.05), or every restored model is "
    "shown to recover at most a tenth of the gain beyond the straight line on each of them (one-sided, p < 0.05).",
    otherwise="Undecided in between; not tested unless post minus base is significant on some task.",
    rule_version="2",
    tables=("recovered_gain", "evaluation_contrasts", "edited_checkpoints"),
    needs=("evaluation_contrasts", "recovered_gain"),
    rule=rule,
)
