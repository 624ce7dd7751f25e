"""What paired comparisons say about edits, in sentences: does the scale matter, does the rotation, would noise do it?

A difference counts when its p-value is below LEVEL after Holm's correction over the tasks of that comparison. What is
not significant is called "no difference shown", never "no difference". A broken model proves something only beside the
same break of noise of the same size, so the sentence on disruption reads the draws of its mirror control; a model is
brought back only as far as its recovered gain says (docs/methods.md, section 3).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rotoscale.recipes import Recipe

LEVEL = 0.05

BROUGHT_BACK = 0.5
"""Share of what was trained from which an edit is said to bring it back."""


@dataclass(frozen=True)
class TaskContrast:
    """One comparison of two subjects on one task's first metric."""

    task: str
    subject_value: float
    reference_value: float
    p_value: float
    higher_is_better: bool

    @property
    def gain(self) -> float:
        """Positive when the subject is better."""
        difference = self.subject_value - self.reference_value
        return difference if self.higher_is_better else -difference

    @property
    def words(self) -> str:
        """`task 0.41 -> 0.02`, reference first, with as many digits as tell the two apart."""
        for digits in (3, 4, 5, 6):
            before, after = _number(self.reference_value, digits), _number(self.subject_value, digits)
            if before != after:
                break
        return f"{self.task} {before} -> {after}"


@dataclass(frozen=True)
class TaskOutcomes:
    """A comparison over all tasks: where the subject is better, worse, or not shown to differ."""

    better: tuple[TaskContrast, ...]
    worse: tuple[TaskContrast, ...]
    same: tuple[TaskContrast, ...]

    @property
    def n(self) -> int:
        """Tasks compared."""
        return len(self.better) + len(self.worse) + len(self.same)

    @property
    def sentence(self) -> str:
        """Better on ..., worse on ..., no difference shown on ..."""
        parts = []
        if self.worse:
            parts.append("worse on " + _listed(self.worse))
        if self.better:
            parts.append("better on " + _listed(self.better))
        if self.same:
            few = len(self.same) < self.n
            parts.append("no difference shown on " + (", ".join(c.task for c in self.same) if few else "any task"))
        return "; ".join(parts)


def outcomes(contrasts: Sequence[TaskContrast]) -> TaskOutcomes:
    """Sort the tasks of one comparison by what was shown, p-values corrected by Holm over these tasks."""
    from rotoscale.contrast import holm  # brings NumPy, which a mere list of tables does not need

    adjusted = holm([contrast.p_value for contrast in contrasts])
    shown = [(c, c.gain if p < LEVEL else 0.0) for c, p in zip(contrasts, adjusted, strict=True)]
    return TaskOutcomes(
        tuple(c for c, gain in shown if gain > 0),
        tuple(c for c, gain in shown if gain < 0),
        tuple(c for c, gain in shown if gain == 0),
    )


@dataclass(frozen=True)
class Gain:
    """How far an edit is on the way from base to post on one task, with its interval; None where there is no end."""

    task: str
    gain: float | None
    low: float | None
    high: float | None
    line: float | None
    """Of the edit on the straight line at the same distance from the base."""
    line_high: float | None
    trained: bool
    """Whether the post model is better than the base at all."""

    @property
    def words(self) -> str:
        """`task 0.10 (0.02 to 0.18; straight line 0.40)`."""
        interval = "no interval" if self.low is None or self.high is None else f"{self.low:.2f} to {self.high:.2f}"
        line = "" if self.line is None else f"; straight line {self.line:.2f}"
        return f"{self.task} {'?' if self.gain is None else format(self.gain, '.2f')} ({interval}{line})"


@dataclass(frozen=True)
class ControlTest:
    """A disruptive edit against the draws of its mirror control on one task."""

    task: str
    loss: float | None
    """Mean change of log-likelihood, nats per document."""
    control_loss: float | None
    q_value: float | None
    """Of the edit losing more; None where it could not be tested."""
    q_no_worse: float | None
    """Of the control losing at least four fifths as much."""
    draws: int
    note: str = ""
    """Why it could not be tested; of a test with numbers, the floor that it is at."""

    @property
    def words(self) -> str:
        """`task -3.1 against -1.2 nats`."""
        return f"{self.task} {self.loss or 0:.2f} against {self.control_loss or 0:.2f} nats"


@dataclass(frozen=True)
class Equivalence:
    """An edit that should change nothing, on one task and metric."""

    task: str
    metric: str
    p_value: float
    """Below LEVEL the difference is shown to lie within the margin."""
    power: float

    @property
    def words(self) -> str:
        """`task (acc)`."""
        return f"{self.task} ({self.metric})"


@dataclass(frozen=True, kw_only=True)
class Comparisons:
    """What an edit was compared with; None or empty where there is no such comparison."""

    post: TaskOutcomes | None = None
    """The post model."""
    base: TaskOutcomes | None = None
    """The base."""
    gains: Sequence[Gain] = ()
    """What it recovers of what was trained, beside the straight line."""
    equivalence: Sequence[Equivalence] = ()
    """With the post model."""
    mirror: Sequence[ControlTest] = ()
    """The draws of its mirror control: found by its label, which holds its scope."""


def finding_on_edit(recipe: Recipe, label: str, of: Comparisons) -> str | None:
    """What the scores of one edit say, by what its recipe declares; None where nothing can be said."""
    if recipe.is_control:
        return None if of.base is None else finding_on_noise(of.base)
    if of.post is None:
        return None
    if recipe.needs_control:
        return finding_on_disruption(label, of.post, of.mirror)
    if recipe.compares_with_line:
        return finding_on_restoration(label, of.gains, of.post)
    if recipe.about == "scale" and recipe.around == "post":
        return finding_on_scale(label, of.post, of.equivalence)
    if of.base is not None:
        return finding_on_halves(label, of.base, of.post)
    return f"{label}: against the post model {of.post.sentence}."


def finding_on_disruption(name: str, of_post: TaskOutcomes, mirror: Sequence[ControlTest]) -> str:
    """Does breaking one side break the model, more than the post model's own noise broken the same way?"""
    if not of_post.worse:
        return f"{name}: not supported that it breaks the model; against the post model {of_post.sentence}."
    text = f"{name} breaks the model: {of_post.sentence}."
    tested = [test for test in mirror if test.q_value is not None]
    if not tested:
        reason = next((f" ({test.note})" for test in mirror if test.note), "")
        return f"{text} Without draws of its mirror control that proves nothing{reason}."
    above = [test for test in tested if not test.note]
    more = [test for test in above if test.q_value is not None and test.q_value < LEVEL]
    no_worse = [test for test in above if test.q_no_worse is not None and test.q_no_worse < LEVEL]
    as_bad = [test for test in no_worse if test not in more]
    draws = max(test.draws for test in tested)
    parts = []
    if more:
        parts.append(f"it loses more than the control on {_tests(more)}")
    if as_bad:
        words = "the control loses at least four fifths as much on"
        parts.append(f"{words} {_tests(as_bad)}, which is no evidence of a rotation")
    if open_ := [test for test in above if test not in more and test not in as_bad]:
        parts.append(f"neither is shown on {_tests(open_)}")
    if floor := [test for test in tested if test.note]:
        parts.append(f"at a floor on {', '.join(test.task for test in floor)} ({floor[0].note})")
    return (
        f"{text} Against {draws} draws of its mirror control (noise of the same damage, broken alike), on "
        f"{len(tested)} tasks: {'; '.join(parts)}."
    )


def _tests(tests: Sequence[ControlTest]) -> str:
    return ", ".join(test.words for test in tests)


def finding_on_restoration(name: str, gains: Sequence[Gain], against_post: TaskOutcomes) -> str:
    """Does it bring back what was trained, or merely go back to the base?

    docs/methods.md, section 3: brought back where the recovered gain's interval lies above one half on every trained
    task, not brought back where it lies below on one.
    """
    trained = [gain for gain in gains if gain.trained]
    if not trained:
        return (
            f"{name}: not tested whether it brings the model back, for the post model is not shown to be better than "
            f"the base on any task; against the post model {against_post.sentence}."
        )
    if all(gain.low is not None and gain.low > BROUGHT_BACK for gain in trained):
        verdict = "brings the model back"
    elif any(gain.high is not None and gain.high < BROUGHT_BACK for gain in trained):
        verdict = "does not bring the model back"
    else:
        verdict = "is not decided to bring the model back or not"
    text = f"{name} {verdict}: recovered gain {', '.join(gain.words for gain in trained)}."
    lined = [gain for gain in trained if gain.line is not None]
    if lined and not all(g.low is not None and g.line_high is not None and g.low > g.line_high for g in lined):
        text += " That is not shown to be more than the straight line at the same distance from the base recovers."
    return text


def finding_on_scale(name: str, against_post: TaskOutcomes, equivalence: Sequence[Equivalence] = ()) -> str:
    """Does the post model's own spectrum matter? That it does not is said only where equivalence was shown."""
    if not against_post.worse and not against_post.better:
        text = f"{name}: the post model's own scale is not shown to matter ({against_post.sentence})."
    else:
        text = f"{name}: the base's scale in place of the post model's own makes a difference: {against_post.sentence}."
    shown = [test.words for test in equivalence if test.p_value < LEVEL]
    open_ = [f"{test.words}, power {test.power:.2f}" for test in equivalence if test.p_value >= LEVEL]
    if shown:
        text += f" Equivalent to the post model within the margins on {', '.join(shown)}."
    if open_:
        text += f" Equivalence is not shown on {'; '.join(open_)}."
    return text


def finding_on_halves(name: str, against_base: TaskOutcomes, against_post: TaskOutcomes) -> str:
    """How far does one half of the change take the base?"""
    return f"{name}: against the base {against_base.sentence}; against the post model {against_post.sentence}."


def finding_on_noise(against_base: TaskOutcomes) -> str:
    """What would any perturbation of that size have done?"""
    return f"Noise of the same size alone: against the base {against_base.sentence}."


def finding_on_training(model: str, base: str, found: TaskOutcomes) -> str:
    """What did post-training do?"""
    return f"{model} against {base}: {found.sentence}."


def finding_on_temperature(rows: Iterable[Mapping[str, float | None]]) -> str | None:
    """Do heads become sharper or flatter as the scale of q and k predicts? None where nothing is predicted.

    rows: predicted temperature, entropy_base and entropy_post by head. T below one should lower the entropy.
    """
    known = [
        (float(row["predicted"]), float(row["entropy_post"]) - float(row["entropy_base"]))
        for row in rows
        if row["predicted"] is not None and row["entropy_post"] is not None and row["entropy_base"] is not None
    ]
    moved = [(t, change) for t, change in known if t != 1 and change != 0]
    if not moved:
        return None
    agreeing = sum((t > 1) == (change > 0) for t, change in moved)
    temperatures = sorted(t for t, _ in known)
    changes = sorted(change for _, change in known)
    return (
        f"Attention temperature: predicted T {temperatures[0]:.3f} to {temperatures[-1]:.3f} (median "
        f"{_median(temperatures):.3f}); measured entropy changes by {_median(changes):+.3f} nats (median over "
        f"{len(known)} heads), in the predicted direction in {agreeing} of {len(moved)} heads."
    )


def _median(ordered: Sequence[float]) -> float:
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _listed(contrasts: Sequence[TaskContrast]) -> str:
    return ", ".join(contrast.words for contrast in contrasts)


def _number(value: float, digits: int) -> str:
    if abs(value) < 10:
        return f"{value:.{digits}f}"
    return f"{value:.{digits}g}" if abs(value) < 1e5 else f"{value:.{digits - 2}e}"
