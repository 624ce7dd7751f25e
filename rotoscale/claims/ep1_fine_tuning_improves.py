"""EP1: fine-tuning improves entity tracking."""

from __future__ import annotations

from rotoscale.claims.arithmetic import shown
from rotoscale.claims.claim import REFUTED, SUPPORTED, UNDECIDED, Claim, Evidence, Verdict, not_tested
from rotoscale.claims.trained import TaskGain, gain_rows, task_gains

TASK = "entity_tracking"
"""Tasks with this in their name are entity tracking."""

WORTH_SEEING = 0.02
"""The difference whose power is stated: two points of accuracy, the margin of equivalence."""


def rule(evidence: Evidence) -> Verdict:
    """docs/methods.md, section 7, EP1: accuracy of post minus base on the same documents."""
    gains = task_gains(evidence, containing=TASK)
    rests_on = (gain_rows(evidence),)
    if not gains:
        return not_tested("model and base were not compared on an entity tracking task", rests_on)
    better, worse = ([gain for gain in gains if getattr(gain, word)] for word in ("better", "worse"))
    word = UNDECIDED
    if better and not worse:
        word = SUPPORTED
    elif worse and not better:
        word = REFUTED
    most = max(gains, key=lambda gain: (gain.better or gain.worse, abs(gain.gain)))
    control = [
        other.gain
        for model in evidence.unrelated
        for other in task_gains(evidence, model, TASK)
        if other.task == most.task
    ]
    text = f"{most.task} changes by {shown(most.gain)} (q {shown(most.q_value, 4)}, n {most.n})"
    if control:
        text += f"; in unrelated models, trained without the base, by {', '.join(shown(one) for one in control)}"
    text += "; whether the task's data were in the training is not known from the tables"
    low, high = _interval(most)
    return Verdict(
        verdict=word,
        reason=text,
        statistic=f"score of post minus base on {most.task}",
        estimate=most.gain,
        ci_low=low,
        ci_high=high,
        control=max(control, default=None),
        p_value=most.p_value,
        q_value=most.q_value,
        n=most.n,
        power=_power(most),
        rests_on=rests_on,
    )


def _interval(gain: TaskGain) -> tuple[float | None, float | None]:
    if gain.stderr is None:
        return None, None
    return gain.gain - 1.959964 * gain.stderr, gain.gain + 1.959964 * gain.stderr


def _power(gain: TaskGain) -> float | None:
    from rotoscale.equivalence import difference_power

    return None if not gain.stderr else difference_power(gain.stderr, WORTH_SEEING)


CLAIM = Claim(
    name="EP1",
    sentence="Fine-tuning improves entity tracking.",
    evidence="Paired scores of the descendant and its base on the entity tracking task.",
    control="The unrelated model on the same task; whether the task's data were in the training is said, or said to be "
    "unknown.",
    supported_by="The paired gain is above 0 (q < 0.05).",
    refuted_by="The paired gain is below 0 (q < 0.05).",
    otherwise="Undecided in between; not tested where the two were not compared on that task.",
    rule_version="1",
    tables=("models", "evaluation_contrasts"),
    needs=("evaluation_contrasts",),
    of_others=("models", "evaluation_contrasts"),
    rule=rule,
)
