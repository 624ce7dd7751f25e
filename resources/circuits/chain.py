"""The chain of four steps on one draw of prompts: scores of all heads, candidates, edges, what is needed of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resources.circuits.ablation import CircuitRuns, removals
from resources.circuits.batches import COUNTERFACTUAL, MEAN, Batches, Means
from resources.circuits.path_patching import Path, PathScores, edge_paths, head_paths, patch_paths
from resources.circuits.screen import screen_paths
from resources.circuits.settings import SCREEN_FROM, CircuitSettings
from rotoscale.circuits.heads import (
    DIRECT,
    EVERY_STEP,
    LOGITS,
    POSITION_OF,
    STEP_OF,
    STEPS,
    Groups,
    Head,
    Step,
    components,
)
from rotoscale.circuits.scores import score_interval
from rotoscale.circuits.screening import Audit, audit, to_verify
from rotoscale.circuits.selection import Need, candidates, minimality

if TYPE_CHECKING:
    import torch

    from resources.circuits.model import HeadModel
    from resources.circuits.prompts import PromptMaker, Prompts

FEWEST_PROMPTS = 8
"""Rightly answered prompts without which no circuit is looked for."""
_POOL = 4

Progress = Callable[[str, float, float], None]


@dataclass(frozen=True)
class Scored:
    """A step's scores of every head that has a path, per prompt (heads, prompts)."""

    step: Step
    receivers: tuple[Head, ...]
    heads: tuple[Head, ...]
    probability: torch.Tensor
    logit: torch.Tensor
    exact: torch.Tensor
    """Which heads (heads,) were patched; the others' scores are the screen's estimates."""
    candidates: tuple[Head, ...]
    audit: Audit | None

    def chosen(self, settings: CircuitSettings, index: torch.Tensor | None = None) -> tuple[Head, ...]:
        """Candidates among the heads that were patched, from all prompts or from some."""
        import torch

        known = torch.nonzero(self.exact)[:, 0]
        scores = self.probability[known] if index is None else self.probability[known][:, index]
        found = candidates(scores, least_effect=settings.least_effect, largest=settings.largest_group)
        return tuple(self.heads[int(known[i])] for i in found)


@dataclass(frozen=True)
class Edge:
    """A sender, one receiver (None: the logits), and how the sender was replaced."""

    group: str
    """Group of the sender."""
    sender: Head
    receiver: Head | None
    via: str
    ablation: str
    probability: torch.Tensor
    """Per prompt (prompts,)."""
    logit: torch.Tensor
    screened: bool

    @property
    def key(self) -> tuple[str, Head, Head | None, str]:
        """What makes it the same edge in another model."""
        return self.group, self.sender, self.receiver, self.via


@dataclass(frozen=True)
class Chain:
    """What one draw of prompts gives."""

    n_prompts: int
    scored: dict[str, Scored]
    """By group; groups that were not looked for are missing."""
    needs: dict[str, dict[Head, Need]]
    kept: Groups
    edges: tuple[Edge, ...]
    reason: str = ""
    """Why groups are empty, where they are."""

    def kept_edges(self, settings: CircuitSettings, index: torch.Tensor | None = None) -> set[object]:
        """Edges between kept heads whose own score is a candidate's, from all prompts or from some."""
        return {
            edge.key
            for edge in self.edges
            if edge.ablation == COUNTERFACTUAL
            and not edge.screened
            and edge.sender in self.kept[edge.group]
            and (edge.receiver is None or edge.receiver in self.kept[STEP_OF[edge.group].receivers])
            and float((edge.probability if index is None else edge.probability[index]).mean()) <= -settings.least_effect
        }

    def kept_heads(self, settings: CircuitSettings, index: torch.Tensor | None = None) -> set[object]:
        """(group, head) of the circuit; with some of the prompts, those of it that these select again.

        Heads that only a resample selects were never put to minimality and are not added (choice).
        """
        kept: set[object] = {(group, head) for group, heads in self.kept.items() for head in heads}
        if index is None:
            return kept
        again = {(group, head) for group, one in self.scored.items() for head in one.chosen(settings, index)}
        return kept & again


def right_prompts(model: HeadModel, maker: PromptMaker, n: int, seed: int, settings: CircuitSettings) -> Prompts:
    """`n` prompts that the model answers rightly, or as many as a pool of four times that has."""
    import torch

    pool = maker.draw(n * _POOL if settings.only_correct else n, seed)
    if not settings.only_correct:
        return pool
    right = model.run(pool).predicted == pool.answers.cpu()
    return pool.take(torch.nonzero(right)[:n, 0])


def find_chain(
    model: HeadModel,
    maker: PromptMaker,
    settings: CircuitSettings,
    *,
    seed: int,
    n_prompts: int,
    means: Means,
    all_edges: bool = True,
    progress: Progress | None = None,
) -> Chain:
    """Four steps of path patching, then minimality, on prompts of one seed.

    `all_edges` adds estimates of the edges that were not patched, and the edges under mean ablation.
    """
    report = progress or (lambda *_: None)
    prompts = right_prompts(model, maker, n_prompts, seed, settings)
    empty: Groups = {step.group: () for step in EVERY_STEP}
    if len(prompts) < FEWEST_PROMPTS:
        reason = (
            f"{model.model_id} answers {len(prompts)} of {n_prompts * _POOL} prompts rightly; "
            f"a circuit is looked for from {FEWEST_PROMPTS} on"
        )
        return Chain(len(prompts), {}, {}, empty, (), reason)
    batches = Batches(model, prompts, maker.counterfactuals(prompts, seed))
    scored: dict[str, Scored] = {}
    edges: list[Edge] = []
    reason = ""
    steps = list(STEPS)
    while steps:
        step = steps.pop(0)
        receivers = () if step.receivers == LOGITS else scored[step.receivers].candidates
        scored[step.group] = found = score_heads(model, batches, step, receivers, settings, report)
        if found.candidates:
            estimates = all_edges and settings.edge_estimates
            edges += score_edges(model, batches, found, means if all_edges else None, estimates=estimates)
        elif step in STEPS:
            reason = f"no head passes as {step.title} ({step.group}); {_rejected(found)}"
            steps = list(DIRECT) if settings.direct and scored["A"].candidates else []
    groups = {step.group: scored[step.group].candidates if step.group in scored else () for step in EVERY_STEP}
    needs, idle = needed(model, maker, groups, settings, seed, means)
    kept = {group: tuple(head for head in heads if needs[group][head].kept) for group, heads in groups.items()}
    return Chain(len(prompts), scored, needs, kept, tuple(edges), "; ".join(filter(None, (reason, idle))))


def _rejected(found: Scored) -> str:
    if not found.heads:
        return f"its receivers, {', '.join(map(str, found.receivers))}, have no head below them"
    return f"the best rejected score is {float(found.probability.mean(1).min()):.3g}"


def score_heads(
    model: HeadModel,
    batches: Batches,
    step: Step,
    receivers: Sequence[Head],
    settings: CircuitSettings,
    report: Progress,
) -> Scored:
    """Score every head that has a path to the receivers: exactly, or screened and then verified."""
    import torch

    def told(share: float) -> None:
        report(f"path patching {step.group}", share, 1.0)

    paths = head_paths(model, receivers)
    screen = len(model.heads) >= SCREEN_FROM if settings.screen is None else settings.screen
    heads = tuple(path.sender for path in paths)
    checked = None
    if not screen or not paths:
        scores = patch_paths(model, batches, step, paths, progress=told)
        exact = torch.ones(len(paths), dtype=torch.bool)
    else:
        scores = screen_paths(model, batches, step, paths)
        estimates = scores.probability.mean(1)
        top, audited = to_verify(estimates, settings.seed)
        patched = [*top, *audited]
        found = patch_paths(model, batches, step, [paths[i] for i in patched], progress=told)
        scores.probability[patched], scores.logit[patched] = found.probability, found.logit
        exact = torch.zeros(len(paths), dtype=torch.bool)
        exact[patched] = True
    made = Scored(step, tuple(receivers), heads, scores.probability, scores.logit, exact, (), None)
    chosen = made.chosen(settings)
    if screen and paths:
        passing = {heads.index(head) for head in chosen}
        checked = audit(estimates, scores.probability.mean(1), top, audited, passing)
    return Scored(step, tuple(receivers), heads, scores.probability, scores.logit, exact, chosen, checked)


def score_edges(
    model: HeadModel, batches: Batches, scored: Scored, means: Means | None, *, estimates: bool = False
) -> list[Edge]:
    """Edges of a step: exactly from its candidates, also by means if given; other heads' by the screen's estimate."""
    step = scored.step
    found: list[Edge] = []
    for ablation, source in ((COUNTERFACTUAL, None), (MEAN, means)):
        if ablation == COUNTERFACTUAL or means is not None:
            found += exact_edges(model, batches, step, scored.candidates, scored.receivers, ablation, source)
    others = [head for head in scored.heads if head not in scored.candidates]
    if estimates and others and step.receivers != LOGITS:
        paths = edge_paths(others, scored.receivers)
        scores = screen_paths(model, batches, step, paths)
        found += _edges(step, COUNTERFACTUAL, scores, screened=True)
    return found


def exact_edges(
    model: HeadModel,
    batches: Batches,
    step: Step,
    senders: Sequence[Head],
    receivers: Sequence[Head],
    ablation: str,
    means: Means | None,
) -> list[Edge]:
    """Every edge from senders to receivers (or to the logits) of a step, patched."""
    paths = tuple(map(Path, senders)) if step.receivers == LOGITS else edge_paths(senders, receivers)
    return _edges(step, ablation, patch_paths(model, batches, step, paths, means), screened=False)


def needed(
    model: HeadModel, maker: PromptMaker, groups: Groups, settings: CircuitSettings, seed: int, means: Means
) -> tuple[dict[str, dict[Head, Need]], str]:
    """Minimality of every group within the circuit of all candidates, by accuracy under mean ablation.

    Where that circuit is no better than a guess among the boxes there is nothing to lose, so that nothing can be shown
    to be needed: all candidates stay (choice), and the second value says so.
    """
    if not any(groups.values()):
        return {group: {} for group in groups}, ""
    prompts = maker.draw(settings.accuracy_prompts, seed, "minimality")
    runs = CircuitRuns(model, Batches(model, prompts, maker.counterfactuals(prompts, seed)), means)
    circuit = components(groups)
    accuracy = float(runs.accuracy(runs.circuits([circuit]))[0])
    if score_interval(round(accuracy * len(prompts)), len(prompts))[0] <= 1 / maker.n_boxes:
        idle = f"all candidates together answer {accuracy:.0%}, so that none can be shown to be needed; all are kept"
        return {group: {head: Need(math.nan, (), True) for head in heads} for group, heads in groups.items()}, idle
    return {
        group: minimality(heads, removals(runs, circuit, POSITION_OF[group])) for group, heads in groups.items()
    }, ""


def _edges(step: Step, ablation: str, scores: PathScores, screened: bool) -> list[Edge]:
    return [
        Edge(
            step.group,
            path.sender,
            next(iter(path.receivers), None),
            step.via,
            ablation,
            scores.probability[row],
            scores.logit[row],
            screened,
        )
        for row, path in enumerate(scores.paths)
    ]
