"""HC2: the change of scale hardly matters for what a model can do."""

from __future__ import annotations

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
from rotoscale.claims.trained import TaskGain, gain_rows, is_made_by, task_gains
from rotoscale.multiple import benjamini_hochberg
from rotoscale.recipes import POLICIES

RECIPE = "replace-scale"


def rule(evidence: Evidence) -> Verdict:
    """docs/methods.md, section 7, HC2: equivalence of replace-scale to the post model on every trained skill."""
    skills = [gain for gain in task_gains(evidence) if gain.better]
    rests_on = (Rows("equivalence", {"model_id": evidence.model_id}), gain_rows(evidence))
    if not skills:
        return not_tested("on no task is the post model shown to be better than its base", rests_on)
    rows = [row for row in evidence.of_model("equivalence") if is_made_by(_label(evidence, row), RECIPE, *POLICIES)]
    if not rows:
        return not_tested(f"{RECIPE} was not tested for equivalence", rests_on)
    known = [row for skill in skills for row in _of(skill, rows)]
    missing = [skill.task for skill in skills if not _of(skill, rows)]
    if not known:
        return not_tested(f"{RECIPE} was not tested for equivalence on {', '.join(missing)}", rests_on)
    held = [_p_held(row) for row in known]
    lost = benjamini_hochberg([number(row, "p_worse") for row in known])
    q_held = benjamini_hochberg(held)
    at = min(range(len(known)), key=lambda i: (number(known[i], "difference") or 0.0, -held[i]))
    worse = [known[i]["task"] for i, q in enumerate(lost) if q is not None and q < LEVEL]
    open_ = [known[i]["task"] for i, p in enumerate(held) if p >= LEVEL]
    if worse:
        word, text = REFUTED, f"{RECIPE} is worse than the post model beyond the margin on {_listed(worse)}"
    elif open_ or missing:
        word = UNDECIDED
        tasks = _listed([*open_, *missing])
        text = f"{RECIPE} is shown neither to be as good as the post model nor worse beyond the margin on {tasks}"
    else:
        word = SUPPORTED
        text = f"{RECIPE} is as good as the post model, within the margin, on {_listed([s.task for s in skills])}"
    row = known[at]
    return Verdict(
        verdict=word,
        reason=f"{text} (worst: {shown(number(row, 'difference'), 4)} on {row['task']}, margin "
        f"{shown(number(row, 'margin'), 4)})",
        statistic=f"{RECIPE} minus post on the trained skill where it is worst ({row['task']})",
        estimate=number(row, "difference"),
        ci_low=number(row, "low"),
        ci_high=number(row, "high"),
        control=0.0,
        p_value=held[at],
        q_value=q_held[at],
        n=int(row.get("n") or 0),
        power=number(row, "power"),
        rests_on=rests_on,
    )


def _of(skill: TaskGain, rows: list[Row]) -> list[Row]:
    """Rows on a skill: of its first metric, or of what stands for it."""
    found = [row for row in rows if row["task"] == skill.task and number(row, "difference") is not None]
    return [row for row in found if row.get("metric") == skill.metric] or found


def _p_held(row: Row) -> float:
    """p of "equivalent, or better": both tests reject what is worse by the margin, so that the smaller one holds."""
    known = [p for name in ("p_value", "p_better") if (p := number(row, name)) is not None]
    return min(known, default=1.0)


def _label(evidence: Evidence, row: Row) -> str:
    edits = evidence.rows("edited_checkpoints", edit_id=row.get("edit_id"))
    return str(edits[0].get("label") or "") if edits else str(row.get("recipe") or "")


def _listed(tasks: list[str]) -> str:
    return ", ".join(dict.fromkeys(tasks))


CLAIM = Claim(
    name="HC2",
    sentence="The change of scale is secondary: with the base's singular values in place of its own, a model does as "
    "well.",
    evidence="replace-scale, over all matrices and for each policy that was made, on every trained skill: the tasks on "
    "which the post model is better than its base (q < 0.05).",
    control="The post model itself, by a test of equivalence (TOST; margins of 2 points of accuracy, 1 % of "
    "perplexity) and its power.",
    supported_by="Equivalent to the post model, or better, on every trained skill (p < 0.05 each).",
    refuted_by="Worse than the post model beyond the margin on at least one trained skill (q < 0.05).",
    otherwise="Undecided in between; not tested where the post model is not shown to be better than its base on any "
    "task.",
    rule_version="1",
    tables=("equivalence", "evaluation_contrasts", "edited_checkpoints"),
    needs=("evaluation_contrasts", "equivalence"),
    rule=rule,
)
