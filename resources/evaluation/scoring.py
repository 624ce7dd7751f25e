"""All results of one subject: tasks, texts, attention, and its hidden states beside those of its references.

What is stored already is not computed again; a model is loaded once for everything that is missing, and never two at
a time: the hidden states of a reference are computed in a pass of their own and kept. Whatever fails is a result with
its reason, and the rest goes on. Reasons are not stored, so that the next run tries again, but for one: weights that
compute NaN will do so every time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources.evaluation import probes
from resources.evaluation.documents import documents_for
from resources.evaluation.harness import Harness, HarnessError
from resources.evaluation.scores import Scores
from resources.evaluation.store import ResultStore
from resources.evaluation.subjects import NotFinite, Subject, SubjectError, loaded, model_dtype
from resources.families import Task
from rotoscale import versions

if TYPE_CHECKING:
    import torch


@dataclass
class Results:
    """What is known of one subject after `Scorer.results`."""

    subject: Subject
    scores: dict[str, Scores] = field(default_factory=dict)
    """Results by the name of the task."""
    failures: dict[str, str] = field(default_factory=dict)
    """Reasons by the name of the task that failed."""
    generations: list[dict[str, Any]] = field(default_factory=list)
    """Texts as probes.generate gives them; `vocabulary` is the number of tokens there are."""
    entropies: list[list[list[float]]] = field(default_factory=list)
    similarities: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """CKA rows by the id of the reference."""
    probe_error: str = ""
    """Why texts, attention or hidden states are missing."""
    left_out: frozenset[str] = frozenset()
    """Names of tasks that it was not to be scored on."""


@contextmanager
def _probing(results: Results) -> Iterator[None]:
    """A model that cannot give its texts, attention or hidden states is still scored."""
    try:
        yield
    except Exception as error:  # models are anybody's code: an exotic one may lack any of these outputs
        results.probe_error = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


class Scorer:
    """Scores the subjects of one family.

    tasks: what to score; `only` narrows what is computed, and of the others what is stored is still reported.
    references: subjects with which hidden states are compared, whose own are kept in memory.
    """

    def __init__(
        self,
        harness: Harness,
        store: ResultStore,
        tasks: Sequence[Task],
        prompts: Sequence[str],
        *,
        device: str = "cpu",
        tokenizer_folder: Path | None = None,
        references: Sequence[Subject] = (),
        only: Collection[str] | None = None,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.harness = harness
        self.store = store
        self.tasks = tuple(tasks)
        self.prompts = tuple(prompts) or probes.DEFAULT_PROMPTS
        self.device = device
        self.tokenizer_folder = tokenizer_folder
        self.references = tuple(references)
        self.only = only
        self.report = report
        self._states: dict[str, list[torch.Tensor]] = {}

    def results(self, subject: Subject, *, attention: bool = False, without: Collection[str] = frozenset()) -> Results:
        """Everything about a subject, computing what is missing; `attention` asks for attention entropies too.

        without: names of tasks that it is not scored on.
        """
        results = Results(subject, left_out=frozenset(without))
        missing = self._stored_scores(subject, results)
        results.generations = self.store.find(*self._probe_key("generations", subject)) or []
        results.entropies = (self.store.find(*self._probe_key("entropies", subject)) or []) if attention else []
        others = [other for other in self.references if other.content_hash != subject.content_hash]
        for other in others:
            rows = self.store.find(*self._probe_key("cka", subject, other))
            if rows is not None:
                results.similarities[other.id] = rows
        unlike = [other for other in others if other.id not in results.similarities]
        if missing or not results.generations or (attention and not results.entropies) or unlike:
            self._compute(results, missing, attention, unlike)
        return results

    def is_complete(self, results: Results) -> bool:
        """Whether every task was scored. Missing texts or hidden states alone are no reason to try again."""
        return all(task.name in results.scores or task.name in results.left_out for task in self.tasks)

    def _compute(self, results: Results, missing: dict[Task, str], attention: bool, unlike: Sequence[Subject]) -> None:
        subject = results.subject
        broken = self.store.find(*self._broken_key(subject))
        if isinstance(broken, str):
            self._failed(results, missing, broken)
            return
        states = self._states_of(unlike, results)
        try:
            with loaded(subject, self.device, self.tokenizer_folder) as (model, tokenizer):
                for task, identity in missing.items():
                    self._score(results, model, tokenizer, task, identity)
                with _probing(results):
                    self._probe(results, model, tokenizer, attention, states)
        except NotFinite as error:
            self.store.keep(str(error), *self._broken_key(subject))
            self._failed(results, missing, str(error))
        except SubjectError as error:
            self._failed(results, missing, str(error))

    def _failed(self, results: Results, missing: dict[Task, str], reason: str) -> None:
        results.probe_error = reason
        for task in missing:
            results.failures[task.name] = reason
            self.report(f"{results.subject.id}: {task.name}")

    def _stored_scores(self, subject: Subject, results: Results) -> dict[Task, str]:
        """Put what is stored into the results; the tasks that are to be computed, with their identities."""
        missing = {}
        for task in (documents_for(subject, task) for task in self.tasks):
            if task.name in results.left_out:
                self.report(f"{subject.id}: {task.name}")
                continue
            try:
                identity = self.harness.identity(task)
            except HarnessError as error:
                results.failures[task.name] = str(error)
                self.report(f"{subject.id}: {task.name}")
                continue
            stored = self._found_scores(subject, identity)
            if stored is not None:
                results.scores[task.name] = stored
                self.report(f"{subject.id}: {task.name}")
            elif self.only is None or task.name in self.only:
                missing[task] = identity
        return missing

    def _found_scores(self, subject: Subject, identity: str) -> Scores | None:
        stored = self.store.find(*self._score_key(subject, identity))
        try:
            return None if stored is None else Scores.from_json(stored)
        except ValueError:
            return None

    def _score(self, results: Results, model: Any, tokenizer: Any, task: Task, identity: str) -> None:
        try:
            scores = self.harness.score(model, tokenizer, task)
        except HarnessError as error:
            results.failures[task.name] = str(error)
        else:
            self.store.keep(scores.as_json(), *self._score_key(results.subject, identity))
            results.scores[task.name] = scores
        self.report(f"{results.subject.id}: {task.name}")

    def _probe(
        self, results: Results, model: Any, tokenizer: Any, attention: bool, states: dict[Subject, list[torch.Tensor]]
    ) -> None:
        """Texts, attention and hidden states."""
        subject = results.subject
        if not results.generations:
            vocabulary = int(model.config.get_text_config().vocab_size)
            written = probes.generate(model, tokenizer, self.prompts)
            results.generations = [{**row, "vocabulary": vocabulary} for row in written]
            self.store.keep(results.generations, *self._probe_key("generations", subject))
        if attention and not results.entropies:
            results.entropies = probes.attention_entropies(model, tokenizer, self.prompts)
            self.store.keep(results.entropies, *self._probe_key("entropies", subject))
        is_reference = any(other.content_hash == subject.content_hash for other in self.references)
        if states or is_reference:
            own = probes.hidden_states(model, tokenizer, self.prompts)
            if is_reference:
                self._states[subject.content_hash] = own
            for other, theirs in states.items():
                rows = probes.similarity(own, theirs)
                self.store.keep(rows, *self._probe_key("cka", subject, other))
                results.similarities[other.id] = rows

    def _states_of(self, others: Sequence[Subject], results: Results) -> dict[Subject, list[torch.Tensor]]:
        """Hidden states of the references that have any, each computed while no other model is loaded."""
        for other in others:
            if other.content_hash in self._states:
                continue
            with _probing(results), loaded(other, self.device, self.tokenizer_folder) as (model, tokenizer):
                self._states[other.content_hash] = probes.hidden_states(model, tokenizer, self.prompts)
        return {other: self._states[other.content_hash] for other in others if other.content_hash in self._states}

    def _score_key(self, subject: Subject, identity: str) -> tuple[Any, ...]:
        return ("score", versions.EVALUATION, subject.content_hash, identity, model_dtype(self.device))

    def _probe_key(self, what: str, *subjects: Subject) -> tuple[Any, ...]:
        hashes = [subject.content_hash for subject in subjects]
        return (what, versions.PROBE, hashes, list(self.prompts), model_dtype(self.device))

    def _broken_key(self, subject: Subject) -> tuple[Any, ...]:
        return ("broken", versions.EVALUATION, subject.content_hash, model_dtype(self.device))
