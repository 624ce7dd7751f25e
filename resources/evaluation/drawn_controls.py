"""An edit among the draws of its controls: rows of tables, and the tests made of every document's score."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

NOISE, MIRROR = "noise", "mirror"

FLOOR = "edit and control are both worse than the base"
"""Note of a test in which nothing of what was trained is left on either side."""

NO_SCORE = "neither the base nor the post model scores anything, so that nothing could be lost"
"""Note of a task that no draws are made on."""

Documents = dict[str, "npt.NDArray[np.float64]"]
"""By task: the log-likelihood of each document's answer in nats (n,)."""


@dataclass(frozen=True)
class Draw:
    """One disrupted model: what it makes of the documents, and how far its weights are from what was disrupted."""

    values: Documents
    weight_error: float
    start: Documents = field(default_factory=dict)
    """Of the model before it was disrupted; empty where that is the post model."""


@dataclass
class ControlDraws:
    """All draws of one model's disruptive edits, with the document scores that comparisons are made of."""

    model_id: str
    labels: list[str] = field(default_factory=list)
    """Of the disruptive edits."""
    tasks: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """Tasks on which there is nothing to lose."""
    base: Documents = field(default_factory=dict)
    post: Documents = field(default_factory=dict)
    edits: dict[str, Draw] = field(default_factory=dict)
    """The edits themselves, made in memory like their controls, by label."""
    draws: dict[tuple[str, str], list[Draw]] = field(default_factory=dict)
    """By label of the edit and control (noise or mirror)."""
    reason: str = ""
    """Why there are none."""

    def rows(self) -> list[dict[str, Any]]:
        """Rows of `control_draws`: model_id, recipe (the edit's label), control, draw, task, mean_log_likelihood,
        start_log_likelihood (of what was disrupted), n, weight_error.

        The edit itself stands among them as draw 0 of the control `edit`.
        """
        found = [self._rows(label, "edit", 0, draw) for label, draw in self.edits.items()]
        for (label, control), draws in self.draws.items():
            found += [self._rows(label, control, number, draw) for number, draw in enumerate(draws)]
        return [row for rows in found for row in rows]

    def _rows(self, label: str, control: str, number: int, draw: Draw) -> list[dict[str, Any]]:
        starts = draw.start or self.post
        return [
            {
                "model_id": self.model_id,
                "recipe": label,
                "control": control,
                "draw": number,
                "task": task,
                "mean_log_likelihood": float(values.mean()),
                "start_log_likelihood": float(starts[task].mean()),
                "n": len(values),
                "weight_error": draw.weight_error,
            }
            for task, values in draw.values.items()
        ]

    def tests(self) -> list[dict[str, Any]]:
        """Of each edit, control and task: is the edit's loss one more draw, and does it exceed the control's?

        loss, control_loss, control_spread, p_worse (prediction t-test), rank_p_worse, draws, difference,
        difference_low, difference_high, p_difference (difference of differences, one-sided), q_difference (Benjamini
        and Hochberg over the edits and tasks of one control), p_no_worse with q_no_worse (the control loses at least
        four fifths as much), n, weight_error, control_weight_error, note. Losses are mean changes of log-likelihood,
        so that negative is a loss. What could not be tested has a row without numbers
        whose note says why.
        """
        from rotoscale.multiple import benjamini_hochberg

        found = []
        for control in (NOISE, MIRROR):
            rows = [
                {"model_id": self.model_id, "recipe": label, "control": control, "task": task}
                | self._tested(label, control, task)
                for label in self.labels
                for task in dict.fromkeys([*self.tasks, *self.left_out])
            ]
            for name in ("difference", "no_worse"):
                corrected = benjamini_hochberg([row.get(f"p_{name}") for row in rows])
                rows = [{**row, f"q_{name}": q} for row, q in zip(rows, corrected, strict=True)]
            found += rows
        return found

    def _tested(self, label: str, control: str, task: str) -> dict[str, Any]:
        from rotoscale.control_draws import FEWEST_DRAWS, ControlError

        if task in self.left_out:
            return {"draws": 0, "note": NO_SCORE}
        draws = self.draws.get((label, control), [])
        if len(draws) < FEWEST_DRAWS:
            reason = self.reason or f"{len(draws)} draws are no distribution; at least {FEWEST_DRAWS} are needed"
            return {"draws": len(draws), "note": reason}
        try:
            return {**self._test(label, control, task), "note": self._floor(label, control, task)}
        except ControlError as error:
            return {"draws": len(draws), "note": str(error)}

    def _floor(self, label: str, control: str, task: str) -> str:
        """Named where edit and control have both fallen below the base: how far below says little about either."""
        controls = [float(draw.values[task].mean()) for draw in self.draws[label, control]]
        level, own = float(self.base[task].mean()), float(self.edits[label].values[task].mean())
        return FLOOR if max(own, sum(controls) / len(controls)) < level else ""

    def _test(self, label: str, control: str, task: str) -> dict[str, Any]:
        import numpy as np

        from rotoscale.control_draws import difference_of_differences, prediction_test

        edit, draws = self.edits[label], self.draws[label, control]
        values = np.stack([draw.values[task] for draw in draws])
        starts = np.stack([(draw.start or self.post)[task] for draw in draws])
        loss, losses = float((edit.values[task] - self.post[task]).mean()), (values - starts).mean(1)
        predicted = prediction_test(loss, losses)
        differences = difference_of_differences(edit.values[task], self.post[task], values, starts)
        return {
            "loss": loss,
            "control_loss": predicted.mean,
            "control_spread": predicted.spread,
            "p_worse": predicted.p_below,
            "rank_p_worse": predicted.rank_below,
            "draws": predicted.draws,
            "difference": differences.difference,
            "difference_low": differences.low,
            "difference_high": differences.high,
            "p_difference": differences.p_worse,
            "p_no_worse": differences.p_no_worse,
            "n": differences.n,
            "weight_error": edit.weight_error,
            "control_weight_error": sum(draw.weight_error for draw in draws) / len(draws),
        }
