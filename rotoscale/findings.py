"""What paired comparisons say about edits, in sentences: does the scale matter, does the rotation, would noise do it?

A difference counts when its p-value is below LEVEL after Holm's correction over the tasks of that comparison. What is
not significant is called "no difference shown", never "no difference". A broken model proves something only beside the
same break of noise of the same size (docs/methods.md, section 3), so the sentence on disruption always reads both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rotoscale.contrast import holm

if TYPE_CHECKING:
    from rotoscale.recipes import Recipe

LEVEL = 0.05


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
class Verdict:
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


def judge(contrasts: Sequence[TaskContrast]) -> Verdict:
    """Sort the tasks of one comparison by what was shown, p-values corrected by Holm over these tasks."""
    adjusted = holm([contrast.p_value for contrast in contrasts])
    shown = [(c, c.gain if p < LEVEL else 0.0) for c, p in zip(contrasts, adjusted, strict=True)]
    return Verdict(
        tuple(c for c, gain in shown if gain > 0),
        tuple(c for c, gain in shown if gain < 0),
        tuple(c for c, gain in shown if gain == 0),
    )


@dataclass(frozen=True, kw_only=True)
class Comparisons:
    """What an edit was compared with; None where there is no such comparison."""

    post: Verdict | None = None
    """The post model."""
    base: Verdict | None = None
    """The base."""
    undone: Verdict | None = None
    """The edit, in the same scope, whose damage it puts right."""
    control: Verdict | None = None
    """Not of the edit, but of its control (the same edit of noise) with that noise: found by the control's id."""


def finding_on_edit(recipe: Recipe, label: str, of: Comparisons) -> str | None:
    """What the scores of one edit say, by what its recipe declares; None where nothing can be said."""
    if recipe.is_control:
        return None if of.base is None else finding_on_noise(of.base)
    if of.post is None:
        return None
    if recipe.needs_control:
        return finding_on_disruption(label, of.post, of.control)
    if recipe.undoes is not None:
        return finding_on_restoration(label, of.undone, of.post)
    if recipe.about == "scale" and recipe.around == "post":
        return finding_on_scale(label, of.post)
    if of.base is not None:
        return finding_on_halves(label, of.base, of.post)
    return f"{label}: against the post model {of.post.sentence}."


def finding_on_disruption(name: str, of_post: Verdict, of_noise: Verdict | None) -> str:
    """Does breaking one side break the model, and would it have broken a model that is only noise away?"""
    if not of_post.worse:
        return f"{name}: not supported that it breaks the model; against the post model {of_post.sentence}."
    text = f"{name} breaks the model: {of_post.sentence}."
    if of_noise is None:
        return f"{text} Without its noise control that proves nothing."
    both = {c.task for c in of_post.worse} & {c.task for c in of_noise.worse}
    if not both:
        return f"{text} The same break of noise of the same size does no harm that shows: it is the change's own."
    where = "on the same tasks" if len(both) == len(of_post.worse) else "on " + ", ".join(sorted(both))
    return (
        f"{text} Noise of the same size, broken the same way, suffers {where} too ({_listed(of_noise.worse)}): the "
        "collapse is no evidence of a rotation of the change's own."
    )


def finding_on_restoration(name: str, against_broken: Verdict | None, against_post: Verdict) -> str:
    """Does the other side's rotation bring the model back?"""
    if against_broken is None:
        return f"{name}: against the post model {against_post.sentence}."
    if not against_broken.better:
        return (
            f"{name}: not supported that it brings the model back; against the disrupted one {against_broken.sentence}."
        )
    text = f"{name} brings the model back on {_listed(against_broken.better)}"
    if not against_post.worse:
        return f"{text}, and no loss against the post model is shown."
    return f"{text}, but not fully: against the post model {against_post.sentence}."


def finding_on_scale(name: str, against_post: Verdict) -> str:
    """Does the post model's own spectrum matter?"""
    if not against_post.worse and not against_post.better:
        return f"{name}: the post model's own scale is not shown to matter ({against_post.n} tasks, none differs)."
    return f"{name}: the base's scale in place of the post model's own makes a difference: {against_post.sentence}."


def finding_on_halves(name: str, against_base: Verdict, against_post: Verdict) -> str:
    """How far does one half of the change take the base?"""
    return f"{name}: against the base {against_base.sentence}; against the post model {against_post.sentence}."


def finding_on_noise(against_base: Verdict) -> str:
    """What would any perturbation of that size have done?"""
    return f"Noise of the same size alone: against the base {against_base.sentence}."


def finding_on_training(model: str, base: str, verdict: Verdict) -> str:
    """What did post-training do?"""
    return f"{model} against {base}: {verdict.sentence}."


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
