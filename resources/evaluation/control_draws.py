"""The controls of a disruptive edit as distributions: many draws, made in memory, few documents, no checkpoint written.

Two controls, each drawn anew every time and disrupted as the edit is (docs/methods.md, section 3):

    noise    the base plus noise of the change's norm, inside the base; it starts from that noisy base
    mirror   the post model with the vectors of the post model plus noise; it starts from the post model

The mirror's noise is as large, matrix by matrix, as makes its damage to the weights that of the edits.

One model is loaded at a time, its matrices replaced in place and put back, and log-likelihoods of fixed answers are
taken. One decomposition of a draw serves every recipe. A finished draw is stored, so that a killed run resumes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from resources import progress
from resources.evaluation.drawn_controls import MIRROR, NOISE, ControlDraws, Documents, Draw
from resources.evaluation.harness import HarnessError
from resources.evaluation.judge import Judge
from resources.evaluation.loaded_matrices import LoadedMatrices, NotInPlace
from resources.evaluation.subjects import NotFinite, Subject, loaded, model_dtype
from resources.evaluation.texts import Text
from rotoscale import versions

if TYPE_CHECKING:
    import torch

    from resources.checkpoints import Checkpoint, MatrixKey
    from resources.edits.plan import EditPlan
    from resources.evaluation.assembling import Evaluation
    from rotoscale.decomposition import Decomposition
    from rotoscale.pair import MatrixPair

DOCUMENTS = 24
"""Documents of each task, unless the setting says otherwise."""


def control_draws(evaluation: Evaluation, *, draws: int | None = None, documents: int | None = None) -> ControlDraws:
    """All control draws of a model, made or found in the store; none of a base, or of a model without such edits.

    draws: how many of each control; None leaves it to the shelf, which says none of a large model, and `reason` then
    says so. documents: of each task, DOCUMENTS unless given.

    Where a model computes NaN or its matrices cannot be replaced in place there are none, and `reason` says so.

    Raises SubjectError when base or post model cannot be loaded.
    """
    return _Making(evaluation, draws, DOCUMENTS if documents is None else documents).run()


class _Making:
    def __init__(self, evaluation: Evaluation, draws: int | None, documents: int) -> None:
        self.evaluation = evaluation
        self.space, self.shelf, self.scorer = evaluation.space, evaluation.shelf, evaluation.scorer
        self.result = ControlDraws(evaluation.model.id)
        self.plans: list[EditPlan] = [plan for plan in self.shelf.plans().values() if plan.control is not None]
        self.keys: list[MatrixKey] = []
        self.scales: dict[MatrixKey, float] = {}
        self.result.labels = [plan.label for plan in self.plans]
        self.result.tasks = [task.name for task in self.scorer.tasks]
        if not self.plans:
            self.result.reason = "no disruptive edit is made of this model"
            return
        self.base: Checkpoint = self.shelf.builder.base
        self.post: Checkpoint = self.shelf.builder.post
        self.keys = [key for key in self.shelf.builder.common if any(plan.chosen(key) for plan in self.plans)]
        self.draws = self._number(draws)
        self.texts = self._texts(documents) if self.draws else {}
        if self.draws:
            self.result.tasks = list(self.texts)

    def _number(self, draws: int | None) -> int:
        found = self.shelf.draws if draws is None else draws
        if not found and draws is None and self.space.settings.control_draws is None:
            self.result.reason = "the model is large: no control draws unless ROTOSCALE_CONTROL_DRAWS asks for them"
        elif not found:
            self.result.reason = "ROTOSCALE_CONTROL_DRAWS asks for no control draws"
        return found

    def _texts(self, documents: int) -> dict[str, list[Text]]:
        found = {}
        for task in self.scorer.tasks:
            if task.name in self.evaluation.at_floor:
                self.result.left_out.append(task.name)
                continue
            try:
                found[task.name] = self.scorer.harness.texts(task, documents)
            except HarnessError:
                continue  # its score says why
        return found

    def run(self) -> ControlDraws:
        if not self.keys or not self.texts:
            return self.result
        try:
            return self._drawn()
        except (NotFinite, NotInPlace) as error:  # another run would find the same
            return replace(self.result, draws={}, edits={}, reason=str(error))

    def _drawn(self) -> ControlDraws:
        self._total = 2 * self.draws + 1
        self._done = 0
        with self.shelf.builder.threads():
            # The base's level and the noise controls inside the base, then everything inside the post model.
            self._in_one_model(self.evaluation.base, self.base, NOISE)
            self._in_one_model(self.evaluation.model, self.post, MIRROR)
        return self.result

    def _in_one_model(self, subject: Subject, checkpoint: Checkpoint, control: str) -> None:
        """Everything that one loaded model is needed for; it is not loaded when all of it is stored."""
        wanted: list[int | None] = [None, *range(self.draws)]
        stored = {number: self._stored(control, number) for number in wanted}
        if any(value is None for value in stored.values()):
            with loaded(subject, self.scorer.device, self.scorer.tokenizer_folder) as (model, tokenizer):
                judge = Judge(model, tokenizer, self.texts, self.scorer.harness)
                places = LoadedMatrices(model, checkpoint, self.keys)
                for number, value in stored.items():
                    if value is None:
                        own = control == MIRROR and number is None
                        stored[number] = self._made(judge, places, control, number, own)
                        self.scorer.store.keep(stored[number], *self._key(control, number))
                    self._report()
        for number, value in stored.items():
            assert value is not None
            self._add(control, number, value)

    def _report(self) -> None:
        self._done += 1
        progress.report(f"{self.result.model_id}: control draws", min(self._done, self._total), self._total)

    def _made(
        self, judge: Judge, places: LoadedMatrices, control: str, number: int | None, edits: bool
    ) -> dict[str, Any]:
        """The record of one draw: the scores of the model it starts from, and of each disrupted model.

        Number None is no draw: the loaded model as it is, and inside the post model the edits themselves.
        """
        own = judge.scores() if number is None else None
        if number is None and not edits:
            return {"start": own, "disrupted": {}}
        if control == MIRROR and number is not None and not self.scales:
            self.scales = self._matched_scales()
        pairs = {key: self._pair(key, "edit" if number is None else control, number or 0) for key in self.keys}
        starts: dict[frozenset[MatrixKey], dict[str, list[float]]] = {}  # by scope, mostly a single one
        disrupted = {}
        for plan in self.plans:
            matrices, error = self._disrupted(plan, pairs)
            scope = frozenset(matrices)
            if control == NOISE and scope not in starts:
                with places.replaced({key: pairs[key].given[1].float() for key in scope}):
                    starts[scope] = judge.scores()
            with places.replaced(matrices):
                found = {"values": judge.scores(), "weight_error": error, "start": starts.get(scope)}
            disrupted[plan.label] = found
        return {"start": own, "disrupted": disrupted}

    def _pair(self, key: MatrixKey, control: str, number: int) -> MatrixPair:
        """First the matrix whose vectors are put in, then the one they are put into, each with its factors.

        Of the edit: base and post. Of a noise control: base, and base plus noise of the norm of the change from base to
        post. Of a mirror control: post plus noise, matched in the damage that it does, and post.
        """
        from rotoscale.pair import MatrixPair

        base, post = self.base.read(key), self.post.read(key)
        if control == "edit":
            return MatrixPair(base, post, self._factors(base), self._factors(post))
        seed = self._seed(key, control, number)
        if control == NOISE:
            noisy = self._noisy(base, MatrixPair(base, post).change_norm, seed)
            return MatrixPair(base, noisy, self._factors(base), self._decomposed(noisy))
        noisy = self._noisy(post, self.scales[key] * MatrixPair(base, post).change_norm, seed)
        return MatrixPair(noisy, post, self._decomposed(noisy), self._factors(post))

    def _noisy(self, around: torch.Tensor, norm: float, seed: int) -> torch.Tensor:
        from rotoscale.null import gaussian_perturbation

        return gaussian_perturbation(around, norm, seed).float() if norm else around

    def _decomposed(self, matrix: torch.Tensor) -> Decomposition:
        from rotoscale.decomposition import decompose

        return decompose(matrix, self.scorer.device)

    def _matched_scales(self) -> dict[MatrixKey, float]:
        """By matrix: the mirror's noise, over the change's norm, that damages it as the edits do; found or computed."""
        key = (*self._key(MIRROR, None), "matched noise")
        stored = self.scorer.store.find(*key)
        if isinstance(stored, dict) and set(stored) == {str(k) for k in self.keys}:
            return {k: float(stored[str(k)]) for k in self.keys}
        scales = {matrix: self._matched_scale(matrix) for matrix in self.keys}
        self.scorer.store.keep({str(k): scale for k, scale in scales.items()}, *key)
        return scales

    def _matched_scale(self, key: MatrixKey) -> float:
        from rotoscale.matched_damage import matched_scale
        from rotoscale.pair import MatrixPair

        edit, post = self._pair(key, "edit", 0), self.post.read(key)
        if not edit.change_norm:
            return 1.0

        def damage(scale: float) -> float:
            noisy = self._noisy(post, scale * edit.change_norm, self._seed(key, "matching", 0))
            return self._damage(key, MatrixPair(noisy, post, self._decomposed(noisy), self._factors(post)))

        return matched_scale(damage, self._damage(key, edit))

    def _damage(self, key: MatrixKey, pair: MatrixPair) -> float:
        """Distance of the disrupted matrices from the second one of the pair, root mean square over the edits."""
        errors = [self._disrupted(plan, {key: pair})[1] for plan in self.plans if plan.chosen(key)]
        return (sum(error**2 for error in errors) / len(errors)) ** 0.5

    def _factors(self, matrix: torch.Tensor) -> Decomposition:
        from resources.checkpoints import weight_hash

        return self.space.factors.get(weight_hash(matrix), matrix, self.scorer.device).decomposition

    def _seed(self, key: MatrixKey, control: str, number: int) -> int:
        text = f"control:{self.space.settings.seed}:{self.result.model_id}:{control}:{number}:{key}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")

    def _disrupted(
        self, plan: EditPlan, pairs: Mapping[MatrixKey, MatrixPair]
    ) -> tuple[dict[MatrixKey, torch.Tensor], float]:
        """The matrices in a plan's scope, rounded as they would be stored, and their distance from the second ones."""
        from resources.checkpoints.tensors import torch_dtype

        found: dict[MatrixKey, torch.Tensor] = {}
        difference = reference = 0.0
        for key, pair in pairs.items():
            if not plan.chosen(key):
                continue
            new = plan.definition.apply(pair, **dict(plan.parameters)).cpu()
            found[key] = new.to(torch_dtype(self.post.structure.parts[key].entry)).float()
            before = pair.given[1].double()
            difference += float((found[key].double() - before).square().sum())
            reference += float(before.square().sum())
        return found, (difference / reference) ** 0.5 if reference else 0.0

    def _key(self, control: str, number: int | None) -> tuple[Any, ...]:
        settings = self.space.settings
        texts = hashlib.sha256(repr(self.texts).encode()).hexdigest()
        plans = [plan.as_json() for plan in self.plans]
        hashes = [self.evaluation.base.content_hash, self.evaluation.model.content_hash, self.result.model_id]
        methods = [versions.CONTROLS, versions.EDIT, versions.DECOMPOSITION, model_dtype(settings.device)]
        return ("control draw", methods, hashes, plans, texts, settings.seed, control, number)

    def _stored(self, control: str, number: int | None) -> dict[str, Any] | None:
        """A stored record; None when there is none, or it has another shape."""
        found = self.scorer.store.find(*self._key(control, number))
        labels = [] if number is None and control == NOISE else [plan.label for plan in self.plans]
        try:
            disrupted = found["disrupted"]  # type: ignore[index]
            whole = set(disrupted) == set(labels) and (number is not None or self._fits(found["start"]))  # type: ignore[index]
            for one in disrupted.values():
                whole = whole and isinstance(one["weight_error"], float) and self._fits(one["values"])
                whole = whole and (control == MIRROR or self._fits(one["start"]))
        except (TypeError, KeyError, AttributeError):
            return None
        return found if whole else None

    def _fits(self, values: Any) -> bool:
        return {task: len(texts) for task, texts in self.texts.items()} == {
            task: sum(isinstance(value, float) for value in found) for task, found in values.items()
        }

    def _add(self, control: str, number: int | None, record: dict[str, Any]) -> None:
        made = {
            label: Draw(_arrays(found["values"]), found["weight_error"], _arrays(found["start"]))
            for label, found in record["disrupted"].items()
        }
        if number is not None:
            for label, draw in made.items():
                self.result.draws.setdefault((label, control), []).append(draw)
        elif control == NOISE:
            self.result.base = _arrays(record["start"])
        else:
            self.result.post, self.result.edits = _arrays(record["start"]), made


def _arrays(values: Mapping[str, Sequence[float]] | None) -> Documents:
    import numpy as np

    return {task: np.asarray(found, dtype=np.float64) for task, found in (values or {}).items()}
