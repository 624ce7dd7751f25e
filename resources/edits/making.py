"""All edits of one model: those that are wanted, made or found, each with the straight line beside it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from resources import progress
from resources.edits.shelf import RETRYABLE

if TYPE_CHECKING:
    from resources.edits.plan import EditPlan
    from resources.edits.shelf import Shelf


class Scores(Protocol):
    """Whatever can score an edit before its folder goes."""

    def score_edit(self, row: Mapping[str, Any]) -> Any:
        """Score one edit now; the results stay in a store."""


def make_edits(
    shelf: Shelf, wanted: Collection[str] | None, evaluation: Callable[[Sequence[Mapping[str, Any]]], Scores]
) -> tuple[list[dict[str, Any]], bool]:
    """Rows of `edited_checkpoints` of one model, and whether all configured edits are among them.

    wanted: names of recipes, or labels, that are made now; None means all. Of the others what is there stays. A recipe
    that compares with the straight line is followed by the edit of that line which is as far from the base: how far
    that is, is known when it is made. What is not to be kept on disk is scored at once and deleted, so that never more
    than one such edit takes up room.
    """
    return _Making(shelf, wanted, evaluation).run()


class _Making:
    def __init__(
        self,
        shelf: Shelf,
        wanted: Collection[str] | None,
        evaluation: Callable[[Sequence[Mapping[str, Any]]], Scores],
    ) -> None:
        self.shelf = shelf
        self.wanted = wanted
        self.evaluation = evaluation
        self.old = {row["edit_id"]: row for row in shelf.space.tables.read("edited_checkpoints", shelf.model_id)}
        self.rows: dict[str, dict[str, Any]] = {}
        self.complete = True
        self._scorer: Scores | None = None

    def run(self) -> tuple[list[dict[str, Any]], bool]:
        waiting = deque(
            (edit_id, plan, self.wanted is None or plan.recipe in self.wanted or plan.label in self.wanted)
            for edit_id, plan in self.shelf.plans().items()
        )
        done = 0
        while waiting:
            edit_id, plan, chosen = waiting.popleft()
            done += 1
            if edit_id in self.rows:
                continue
            row = self._row(edit_id, plan, chosen)
            if row is None:
                self.complete = False
                continue
            self.rows[edit_id] = row
            line = plan.straight_line(row.get("base_distance"))
            if line is not None:
                waiting.appendleft((self.shelf.id_of(line), line, chosen))
            progress.report(f"{self.shelf.model_id}: making edits", done, done + len(waiting))
        if self.wanted is None:
            self.shelf.prune(list(self.rows))
        return list(self.rows.values()), self.complete

    def _row(self, edit_id: str, plan: EditPlan, chosen: bool) -> dict[str, Any] | None:
        """The row of one edit, found or made; None when it is neither there nor wanted now."""
        shelf, before, kept = self.shelf, self.old.get(edit_id), self.shelf.keeps(plan)
        if before is not None and before["status"] == "ready" and (shelf.is_there(edit_id) or not kept):
            row = {**_contract(before), "path": str(shelf.path(edit_id)) if shelf.is_there(edit_id) else ""}
        elif chosen:
            row = shelf.make(edit_id, plan)
        elif before is not None:
            row = _contract(before)
        else:
            return None
        if row["status"] == "ready" and not kept and shelf.is_there(edit_id):
            self._scorer = self._scorer or self.evaluation([])
            self._scorer.score_edit(row)
            shelf.remove(edit_id)
            row["path"] = ""
        self.complete = self.complete and not row.pop(RETRYABLE, False)
        return row


def _contract(row: Mapping[str, Any]) -> dict[str, Any]:
    """A stored row without its provenance, which the next writing puts on anew."""
    return {name: value for name, value in row.items() if name not in ("run_id", "code_version", "materialized_at")}
