"""Everything about the behaviour of one model: it, its edits and their controls, as rows of the warehouse."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources import progress
from resources.edits.plan import POST, read_plan
from resources.evaluation.contrasts import Comparison, contrast_rows
from resources.evaluation.derived_rows import degeneration_rows, recovered_gain_rows
from resources.evaluation.divergence_rows import divergence_rows
from resources.evaluation.document_answers import document_answer_rows
from resources.evaluation.equivalence_rows import equivalence_rows
from resources.evaluation.harness import Harness
from resources.evaluation.scoring import Results, Scorer
from resources.evaluation.store import ResultStore
from resources.evaluation.subjects import CONTROL, EDIT, Subject, SubjectError, model_subject
from resources.evaluation.temperature_rows import temperature_rows, temperature_test_row
from resources.evaluation.weights import require_weights
from rotoscale.errors import RotoscaleError
from rotoscale.recipes import find_recipe, noise_control

if TYPE_CHECKING:
    from resources.edits.shelf import Shelf
    from resources.workspace import Workspace

_log = logging.getLogger(__name__)

TABLES = (
    "evaluation_scores",
    "evaluation_samples",
    "evaluation_contrasts",
    "document_answers",
    "generations",
    "degeneration",
    "recovered_gain",
    "equivalence",
    "divergence",
    "attention_temperature",
    "temperature_test",
    "representation_similarity",
)
"""The tables that evaluating a model fills."""


@dataclass
class Evaluated:
    """Rows by table, and whether another run could still add something."""

    tables: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {name: [] for name in TABLES})
    complete: bool = True
    probe_errors: dict[str, str] = field(default_factory=dict)
    """Why texts, attention or hidden states of a subject are missing."""
    rebuilt: dict[str, str] = field(default_factory=dict)
    """Edits whose weights on disk were not the ones that were made, and were made again before scoring."""
    results: dict[str, Results] = field(default_factory=dict)
    """Everything that is known of each subject, by its id."""


class Evaluation:
    """Scores one model of a workspace with its edits. `tasks` narrows what is computed."""

    def __init__(
        self, space: Workspace, shelf: Shelf, edits: Sequence[Mapping[str, Any]], tasks: Collection[str] | None = None
    ) -> None:
        self.space = space
        self.shelf = shelf
        self.edits = [dict(row) for row in edits]
        family = space.registry.family_of(shelf.model_id)
        settings = space.settings
        self.base = self._model(shelf.base_id)
        self.model = self._model(shelf.model_id)
        self.family_tasks = family.evaluation.tasks
        self.scorer = Scorer(
            Harness(family.evaluation.include_path, settings.seed, settings.workers),
            ResultStore(settings.evaluations),
            family.evaluation.tasks,
            family.evaluation.prompts,
            device=settings.device,
            tokenizer_folder=self._base_folder(),
            references=tuple({subject.content_hash: subject for subject in (self.base, self.model)}.values()),
            only=tasks,
            report=self._count,
        )
        self.rebuilt: dict[str, str] = {}
        self._done = 0

    def _model(self, model_id: str) -> Subject:
        facts = self.space.facts(model_id)
        return model_subject(model_id, facts["content_hash"], self.space.location(model_id), self.space.settings.edits)

    def _base_folder(self) -> Path:
        location = self.space.location(self.shelf.base_id)
        return location.base or location.path

    def edit_subject(self, row: Mapping[str, Any]) -> Subject:
        """An edit that was made, as something to be scored."""

        @contextmanager
        def folder() -> Iterator[Path]:
            self._rebuild_if_changed(row)
            with self.shelf.obtain(dict(row)) as found:
                yield found

        kind = CONTROL if row["is_control"] else EDIT
        return Subject(row["edit_id"], kind, row["content_hash"], folder, row["recipe"])

    def _rebuild_if_changed(self, row: Mapping[str, Any]) -> None:
        """Make a kept edit again whose weights are not those of its row: damaged, or changed by hand."""
        edit_id = row["edit_id"]
        if not self.shelf.is_there(edit_id):
            return
        try:
            require_weights(edit_id, row["content_hash"], self.shelf.path(edit_id))
            return
        except RotoscaleError as error:
            reason = str(error)
        self.shelf.remove(edit_id)
        made = self.shelf.make(edit_id, read_plan(_parameters(row)))
        if made["status"] != "ready":
            raise SubjectError(f"{edit_id} was changed on disk and cannot be made again: {made['status_reason']}")
        require_weights(edit_id, row["content_hash"], self.shelf.path(edit_id))
        self.rebuilt[edit_id] = f"made again before it was scored: {reason}"
        _log.warning("%s was %s", edit_id, self.rebuilt[edit_id])

    @cached_property
    def of_models(self) -> dict[str, Results]:
        """Results of base and model, which come before those of any edit."""
        return {subject.id: self.scorer.results(subject, attention=True) for subject in (self.base, self.model)}

    @cached_property
    def at_floor(self) -> frozenset[str]:
        """Tasks on which base and model both score nothing: there is nothing that an edit could break or bring back."""
        return frozenset(
            task.name
            for task in self.family_tasks
            if all(_scores_nothing(found, task.name) for found in self.of_models.values())
        )

    def score_edit(self, row: Mapping[str, Any]) -> Results:
        """Score one edit now, so that its folder may go; the results stay in the store."""
        return self.scorer.results(self.edit_subject(row), without=self.at_floor)

    def run(self) -> Evaluated:
        """Score what is missing and put everything together."""
        ready = [row for row in self.edits if row["status"] == "ready"]
        is_base = self.base.content_hash == self.model.content_hash
        self._total = (2 - is_base + (0 if is_base else len(ready))) * max(1, len(self.family_tasks))
        results = dict(self.of_models)  # of a base one and the same
        if not is_base:
            results |= {row["edit_id"]: self.score_edit(row) for row in ready}
        evaluated = Evaluated(results=results, rebuilt=self.rebuilt)
        evaluated.complete = all(self.scorer.is_complete(found) for found in results.values())
        evaluated.probe_errors = {name: found.probe_error for name, found in results.items() if found.probe_error}
        tables = evaluated.tables
        own = [found for name, found in results.items() if is_base or name != self.base.id]
        for found in own:
            self._add_scores(tables, found)
            tables["generations"] += [
                {**self._of(found), **{name: row[name] for name in ("prompt_id", "prompt", "text", "n_tokens")}}
                for row in found.generations
            ]
            for reference, rows in found.similarities.items():
                tables["representation_similarity"] += [
                    {**self._of(found), "reference_id": reference, **row} for row in rows
                ]
        tables["degeneration"] = [{"model_id": self.model.id, **row} for row in degeneration_rows(own)]
        if not is_base:
            self._compare(evaluated, ready)
        return evaluated

    def _compare(self, evaluated: Evaluated, ready: Sequence[Mapping[str, Any]]) -> None:
        """Everything that holds one subject against another."""
        tables, results, seed = evaluated.tables, evaluated.results, self.space.settings.seed
        base, post = self.base.id, self.model.id
        contrasts = contrast_rows(self._comparisons(ready), results, self.family_tasks, seed)
        tables["evaluation_contrasts"] = [{"model_id": post, **row} for row in contrasts]
        by_id = {row["edit_id"]: row for row in ready}
        edits = [name for name, row in by_id.items() if not row["is_control"]]
        lines = {name: by_id[name]["line_id"] for name in edits if by_id[name].get("line_id")}
        gains = recovered_gain_rows(results, self.family_tasks, base=base, post=post, edits=edits, straight_lines=lines)
        unchanged = [name for name in edits if find_recipe(by_id[name]["recipe"]).expects_no_change]
        equivalences = equivalence_rows(results, self.family_tasks, post=post, edits=unchanged)
        for table, rows in (("recovered_gain", gains), ("equivalence", equivalences)):
            tables[table] = [{**row, "model_id": post, "recipe": by_id[row["edit_id"]]["recipe"]} for row in rows]
        answers = document_answer_rows(self.scorer.harness, results, self.family_tasks, base=base, post=post, seed=seed)
        tables["document_answers"] = [{"model_id": post, **row} for row in answers]
        tables["attention_temperature"] = list(temperature_rows(self.space, results[base], results[post]))
        test = temperature_test_row(tables["attention_temperature"], seed)
        tables["temperature_test"] = [test] if test else []
        try:
            tables["divergence"] = divergence_rows(self.scorer, self.base, self.model)
        except SubjectError as error:
            evaluated.probe_errors.setdefault(post, str(error))

    def _of(self, found: Results) -> dict[str, Any]:
        return {"subject_id": found.subject.id, "model_id": self.model.id}

    def _add_scores(self, tables: dict[str, list[dict[str, Any]]], found: Results) -> None:
        place = {**self._of(found), "subject_kind": found.subject.kind}
        for scores in found.scores.values():
            tables["evaluation_scores"] += [
                {**place, **row, "status": "ready", "status_reason": ""} for row in scores.rows
            ]
            for sample in scores.samples:
                common = {**self._of(found), "task": sample.task, "metric": sample.metric, "filter": sample.filter}
                tables["evaluation_samples"] += [
                    {**common, "doc_id": document, "score": score}
                    for document, score in zip(sample.documents, sample.single().tolist(), strict=True)
                ]
        for task, reason in found.failures.items():
            # A failure has no metric yet, and a key must not be empty.
            failed = {"task": task, "metric": "none", "filter": "none", "status": "failed", "status_reason": reason}
            versions = {"harness_version": Harness.version(), "seed": self.space.settings.seed}
            tables["evaluation_scores"].append({**place, **failed, **versions, "is_primary": True})

    def _comparisons(self, ready: Sequence[Mapping[str, Any]]) -> Iterator[Comparison]:
        """Which subjects are compared: the post with its base, and every edit with what it is an edit of.

        An edit stands against the post and against the base (what restores may just go back); a control against the
        noise it was made of; a disruptive edit against its control; and what restores against what broke, and against
        the straight line at the same distance from the base.
        """
        post, base = self.model.id, self.base.id
        by_id = {row["edit_id"]: row for row in ready}
        plain = {(row["recipe"], _scope(row)): row["edit_id"] for row in ready if not _options(row)}
        yield Comparison(post, base, "post against base")
        for row in ready:
            name, kind = row["edit_id"], "control" if row["is_control"] else "edit"
            yield Comparison(name, post, f"{kind} against post")
            yield Comparison(name, base, f"{kind} against base")
            noise = plain.get((noise_control().name, _scope(row)))
            if row["is_control"] and noise and noise != name:
                yield Comparison(name, noise, "control against noise")
            if row["control_id"] in by_id:
                yield Comparison(name, row["control_id"], "edit against control")
            if row.get("line_id") in by_id:
                yield Comparison(name, row["line_id"], "edit against straight line")
            broken = plain.get((find_recipe(row["recipe"]).undoes, _scope(row)))
            if broken and not row["is_control"]:
                yield Comparison(name, broken, "restored against disrupted")

    def _count(self, _: str) -> None:
        self._done += 1
        progress.report(f"{self.model.id}: scoring", min(self._done, self._total), self._total)

    _total = 1


def _scores_nothing(found: Results, task: str) -> bool:
    """Whether a task's first metric is zero where more is better: every document of it is wrong."""
    scores = found.scores.get(task)
    rows = [row for row in scores.rows if row["is_primary"]] if scores else []
    return bool(rows) and all(row["value"] == 0 and row["higher_is_better"] for row in rows)


def _parameters(row: Mapping[str, Any]) -> dict[str, Any]:
    found = row["parameters"]
    return dict(json.loads(found) if isinstance(found, str) else found)


def _scope(row: Mapping[str, Any]) -> str:
    """Matrices and layers of an edit, as one comparable text."""
    parameters = _parameters(row)
    return json.dumps([parameters["matrices"], parameters["layers"]])


def _options(row: Mapping[str, Any]) -> bool:
    """Whether an edit is of noise, or departs from its recipe's defaults in more than scope."""
    plan = read_plan(_parameters(row))
    return plan.of != POST or plan.parameters != read_plan(plan.recipe).parameters
