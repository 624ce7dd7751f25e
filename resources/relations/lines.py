"""Rows of `straight_lines` and `feature_linearity`: models between two others, mixed in memory and scored.

All weights are mixed, embeddings and norms as well. Scores are log-likelihoods of the right answers to the family's own
tasks, few documents of each; every point is stored, so that a killed run resumes and an end is scored once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from resources import progress
from resources.evaluation.harness import Harness, HarnessError
from resources.evaluation.judge import Judge
from resources.evaluation.store import ResultStore
from resources.evaluation.subjects import loaded, model_dtype, model_subject
from resources.families import ModelEntry
from rotoscale import versions

if TYPE_CHECKING:
    import torch

    from resources.evaluation.subjects import Subject
    from resources.evaluation.texts import Text
    from resources.workspace import Workspace

POINTS = (0.0, 0.25, 0.5, 0.75, 1.0)
DOCUMENTS = 12
"""Documents of each task, unless the setting says otherwise."""

LARGEST = 200_000_000
"""Parameters up to which lines are scored without being asked for."""

_LONGEST_PROMPTS = 12
"""Prompts whose features are compared."""

Tables = dict[str, list[dict[str, Any]]]
Scores = dict[str, list[float]]


def documents_of(space: Workspace, model: str) -> int:
    """How many documents of each task lines are scored on: as set, or by the model's size; 0 for none."""
    asked = space.settings.line_documents
    return asked if asked is not None else DOCUMENTS * (space.facts(model)["n_parameters"] <= LARGEST)


def line_rows(space: Workspace, a: ModelEntry, b: ModelEntry) -> tuple[Tables, str]:
    """Rows of both tables on the line from a to b, and why there are none if so.

    Raises SubjectError when one of the two cannot be loaded.
    """
    documents = documents_of(space, a.id)
    evaluation = space.registry.families[a.family].evaluation
    if not documents or not evaluation.tasks:
        return _nothing(), "no tasks" if not evaluation.tasks else "large models, unless ROTOSCALE_LINE_DOCUMENTS asks"
    harness = Harness(evaluation.include_path, space.settings.seed, space.settings.workers)
    texts = {}
    for task in evaluation.tasks:
        try:
            texts[task.name] = harness.texts(task, documents)
        except HarnessError:
            continue  # its score says why
    return _Line(space, a, b, harness, texts).run()


class _Line:
    """The line from one model to another."""

    def __init__(
        self, space: Workspace, a: ModelEntry, b: ModelEntry, harness: Harness, texts: Mapping[str, list[Text]]
    ) -> None:
        self.space, self.a, self.b, self.harness, self.texts = space, a, b, harness, texts
        self.store = ResultStore(space.settings.evaluations)
        self.device = space.settings.device

    def run(self) -> tuple[Tables, str]:
        from rotoscale.straight_line import points_on_line

        found = {t: self._stored(self._key(t)) for t in POINTS}
        features = self.store.find(*self._key("features"))
        if features is None or any(scores is None for scores in found.values()):
            features, reason = self._made(found)
            if reason:
                return _nothing(), reason
        pair = {"model_a": self.a.id, "model_b": self.b.id}
        rows = []
        for task in self.texts:
            losses = {t: [-value for value in scores[task]] for t, scores in found.items() if scores}
            rows += [{**pair, "task": task, "t": t, **asdict(point)} for t, point in points_on_line(losses).items()]
        return {"straight_lines": rows, "feature_linearity": [{**pair, **row} for row in features or []]}, ""

    def _made(self, found: dict[float, Scores | None]) -> tuple[list[dict[str, Any]] | None, str]:
        """Score the points that are missing, and compare features; or why that cannot be."""
        import torch

        with loaded(self._subject(self.b), self.device, self._tokenizer()) as (model, _):
            end = {name: weight.detach().cpu().clone() for name, weight in model.named_parameters()}
        with loaded(self._subject(self.a), self.device, self._tokenizer()) as (model, tokenizer):
            weights = dict(model.named_parameters())
            shapes = [{name: tuple(weight.shape) for name, weight in one.items()} for one in (weights, end)]
            if shapes[0] != shapes[1]:
                return None, f"{self.a.id} and {self.b.id} have parameters of other names or shapes"
            start = {name: weight.detach().cpu().clone() for name, weight in weights.items()}
            judge = Judge(model, tokenizer, self.texts, self.harness)
            states = {}
            for number, t in enumerate(POINTS):
                with torch.no_grad():
                    for name, weight in weights.items():
                        weight.copy_(_mixed(start[name], end[name], t))
                if found[t] is None:
                    found[t] = judge.scores()
                    self.store.keep(found[t], *self._key(t))
                if t in (0.0, 0.5, 1.0):
                    states[t] = self._states(model, tokenizer)
                progress.report(f"{self.a.id} to {self.b.id}: straight line", number + 1, len(POINTS))
        features = _feature_rows(states)
        self.store.keep(features, *self._key("features"))
        return features, ""

    def _states(self, model: Any, tokenizer: Any) -> list[list[torch.Tensor]]:
        """Hidden states by prompt, then layer: what models read before they answer, one document of a task in turn."""
        from resources.evaluation.probes import hidden_states

        each = max(1, _LONGEST_PROMPTS // max(1, len(self.texts)))
        prompts = [text.read for found in self.texts.values() for text in found[:each]]
        return [found for prompt in prompts if (found := hidden_states(model, tokenizer, [prompt]))]

    def _subject(self, entry: ModelEntry) -> Subject:
        content = self.space.facts(entry.id)["content_hash"]
        return model_subject(entry.id, content, self.space.location(entry.id), self.space.settings.edits)

    def _tokenizer(self) -> Any:
        location = self.space.location(self.a.base or self.a.id)
        return location.base or location.path

    def _key(self, what: float | str) -> tuple[Any, ...]:
        hashes = [self.space.facts(entry.id)["content_hash"] for entry in (self.a, self.b)]
        if what in (0.0, 1.0):  # an end is the model itself, on whichever line
            hashes = [hashes[int(what)]]
        texts = hashlib.sha256(repr(self.texts).encode()).hexdigest()
        point = what if len(hashes) == 2 else "end"
        return ("straight line", versions.STRAIGHT_LINES, hashes, point, texts, model_dtype(self.device))

    def _stored(self, key: tuple[Any, ...]) -> Scores | None:
        """Stored scores; None when there are none, or they have another shape."""
        found: Any = self.store.find(*key)
        try:
            sizes = {task: sum(isinstance(value, float) for value in values) for task, values in found.items()}
        except (AttributeError, TypeError):
            return None
        return found if sizes == {task: len(texts) for task, texts in self.texts.items()} else None


def _mixed(a: torch.Tensor, b: torch.Tensor, t: float) -> torch.Tensor:
    """`(1 - t) a + t b`; the ends are the models themselves, bit for bit."""
    return a if t == 0 else b if t == 1 else ((1 - t) * a.float() + t * b.float())


def _feature_rows(states: Mapping[float, list[list[torch.Tensor]]]) -> list[dict[str, Any]]:
    from rotoscale.straight_line import feature_linearity

    layers = len(states[0.5][0]) if states[0.5] else 0
    by_layer = [{t: [prompt[layer] for prompt in found] for t, found in states.items()} for layer in range(layers)]
    return [
        {"layer": layer, **asdict(feature_linearity(here[0.5], here[0.0], here[1.0]))}
        for layer, here in enumerate(by_layer)
    ]


def _nothing() -> Tables:
    return {"straight_lines": [], "feature_linearity": []}
