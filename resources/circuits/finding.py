"""Find the entity-tracking circuit of a model: the one entry point for one model (docs/methods.md, section 4)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from resources import progress as shared_progress
from resources.circuits.batches import Batches, Means, mean_heads
from resources.circuits.chain import Chain, Progress, find_chain, right_prompts
from resources.circuits.checks import check_rows
from resources.circuits.knockouts import knock_out
from resources.circuits.measures import Row, curve_rows, faithfulness_row, mask_rows
from resources.circuits.model import HeadModel
from resources.circuits.patterns import pattern_rows
from resources.circuits.prompts import PromptMaker
from resources.circuits.settings import CircuitSettings
from rotoscale.circuits.heads import EVERY_STEP, STEP_OF, STEPS, Groups, Head, Step
from rotoscale.circuits.overlap import overlap
from rotoscale.circuits.selection import mean_and_error
from rotoscale.circuits.task import TEMPLATES

TABLES = (
    "circuit_heads",
    "circuit_edges",
    "circuit_screens",
    "circuit_faithfulness",
    "faithfulness_curves",
    "component_masks",
    "circuit_stability",
    "attention_knockouts",
    "attention_patterns",
    "circuit_checks",
)
"""Tables that `find_circuit` makes rows of."""


@dataclass(frozen=True)
class CircuitResult:
    """A model's circuit, and everything about it as rows by table."""

    model_id: str
    groups: Groups
    """Kept heads by group, strongest first; empty groups are empty."""
    order: tuple[Head, ...]
    """Every head, by its strongest score of any step."""
    chain: Chain
    settings: CircuitSettings
    tables: dict[str, list[Row]]

    @property
    def reason(self) -> str:
        """Why groups are empty or unpruned, where they are."""
        return self.chain.reason


def find_circuit(
    model: Any,
    tokenizer: Any = None,
    settings: CircuitSettings | None = None,
    progress: Progress | None = None,
    *,
    model_id: str = "model",
    tables: Collection[str] = TABLES,
) -> CircuitResult:
    """Find and measure the circuit of a loaded transformers model (or of a `HeadModel`, which brings its tokenizer).

    `progress(label, done, total)` is told about long parts; by default the project's own listeners are. `tables`
    narrows what is measured beyond the circuit itself.

    Raises CircuitError for a model, tokenizer or number of boxes that the task cannot be put to.
    """
    settings = settings or CircuitSettings()
    report = progress or shared_progress.report
    opened = model if isinstance(model, HeadModel) else HeadModel(model, tokenizer, model_id=model_id)
    maker = PromptMaker(opened.tokenizer, n_boxes=settings.n_boxes, context=opened.context, device=opened.device)
    means = own_means(opened, maker, settings)
    chain = find_chain(
        opened, maker, settings, seed=settings.seed, n_prompts=settings.prompts, means=means, progress=report
    )
    order = strongest_first(opened, chain)
    name = opened.model_id
    stages: dict[str, Callable[[], list[Row]]] = {
        "circuit_stability": lambda: stability_rows(opened, chain, settings, report),
        "circuit_faithfulness": lambda: [faithfulness_row(opened, maker, chain.kept, name, means, settings)],
        "faithfulness_curves": lambda: curve_rows(opened, maker, order, name, means, settings),
        "component_masks": lambda: mask_rows(opened, maker, chain.kept, name, settings),
        "attention_knockouts": lambda: knockout_rows(opened, maker, settings),
        "attention_patterns": lambda: pattern_rows(opened, maker, order, settings.seed),
        "circuit_checks": lambda: check_rows(opened, maker, means, settings),
    }
    made: dict[str, list[Row]] = {
        "circuit_heads": head_rows(opened, chain),
        "circuit_edges": edge_rows(name, chain, settings),
        "circuit_screens": screen_rows(name, chain),
    }
    wanted = [table for table in stages if table in tables]
    for done, table in enumerate(wanted):
        report(f"circuit of {name}", done, len(wanted))
        made[table] = stages[table]()
    report(f"circuit of {name}", 1, 1)
    return CircuitResult(name, chain.kept, order, chain, settings, made)


def own_means(model: HeadModel, maker: PromptMaker, settings: CircuitSettings) -> Means:
    """A model's own mean head outputs, over prompts that nothing else uses."""
    return mean_heads(model, maker.draw(settings.mean_prompts, settings.seed, "means"))


def strongest_first(model: HeadModel, chain: Chain) -> tuple[Head, ...]:
    """Every head by its most negative mean score of any step; heads without a path come last."""
    best = dict.fromkeys(model.heads, 0.0)
    for scored in chain.scored.values():
        for head, score in zip(scored.heads, scored.probability.mean(1).tolist(), strict=True):
            best[head] = min(best[head], score)
    return tuple(sorted(best, key=lambda head: (best[head], head)))


def head_rows(model: HeadModel, chain: Chain) -> list[Row]:
    """Rows of `circuit_heads`: every head in every step that was taken; a head without a path scores exactly 0."""
    rows: list[Row] = []
    for group, scored in chain.scored.items():
        mean, error = mean_and_error(scored.probability.double())
        logit = scored.logit.double().mean(1)
        known = {head: i for i, head in enumerate(scored.heads)}
        for head in model.heads:
            i = known.get(head)
            need = chain.needs[group].get(head)
            rows.append(
                {
                    "model_id": model.model_id,
                    "circuit_group": group,
                    "layer": head.layer,
                    "head": head.head,
                    "score": 0.0 if i is None else float(mean[i]),
                    "stderr": 0.0 if i is None else float(error[i]),
                    "logit_score": 0.0 if i is None else float(logit[i]),
                    "screened": i is not None and not bool(scored.exact[i]),
                    "candidate": head in scored.candidates,
                    "needed": need.gain if need else None,
                    "kept": head in chain.kept[group],
                    "prompt_scores": None if i is None else scored.probability[i].tolist(),
                }
            )
    return rows


def edge_rows(model_id: str, chain: Chain, settings: CircuitSettings) -> list[Row]:
    """Rows of `circuit_edges`; the logits are receiver -1, -1. Weak estimates are left out, patched edges never."""
    rows = []
    for edge in chain.edges:
        probability = float(edge.probability.double().mean())
        if edge.screened and abs(probability) < settings.least_effect / 2:
            continue
        rows.append(
            {
                "model_id": model_id,
                "circuit_group": edge.group,
                "sender_layer": edge.sender.layer,
                "sender_head": edge.sender.head,
                "receiver_layer": edge.receiver.layer if edge.receiver else -1,
                "receiver_head": edge.receiver.head if edge.receiver else -1,
                "via": edge.via,
                "position": STEP_OF[edge.group].position,
                "ablation": edge.ablation,
                "probability_score": probability,
                "logit_score": float(edge.logit.double().mean()),
                "screened": edge.screened,
                "prompt_scores": None if edge.screened else edge.probability.tolist(),
            }
        )
    return rows


def screen_rows(model_id: str, chain: Chain) -> list[Row]:
    """Rows of `circuit_screens`: each step's prompts and candidates, and its audit where it was screened.

    A step of the chain that was not taken has a row that says why; direct steps that were not taken have none.
    """
    rows: list[Row] = []
    for step in EVERY_STEP:
        scored = chain.scored.get(step.group)
        if scored is None:
            if step in STEPS:
                rows.append(_not_taken(model_id, step, chain))
            continue
        audit = scored.audit
        best = float(scored.probability.mean(1).min()) if scored.heads else None
        rows.append(
            {
                "model_id": model_id,
                "circuit_group": step.group,
                "n_prompts": chain.n_prompts,
                "n_candidates": len(scored.candidates),
                "n_kept": len(chain.kept[step.group]),
                "best_score": best,
                "n_senders": len(scored.heads),
                "n_exact": int(scored.exact.sum()),
                "n_audited": audit.n_audited if audit else 0,
                "rank_correlation": audit.rank_correlation if audit else None,
                "estimated_misses": audit.estimated_misses if audit else 0.0,
                "reason": chain.reason,
            }
        )
    return rows


def _not_taken(model_id: str, step: Step, chain: Chain) -> Row:
    return {
        "model_id": model_id,
        "circuit_group": step.group,
        "n_prompts": chain.n_prompts,
        "n_candidates": 0,
        "n_kept": 0,
        "best_score": None,
        "n_senders": 0,
        "n_exact": 0,
        "n_audited": 0,
        "rank_correlation": None,
        "estimated_misses": None,
        "reason": chain.reason,
    }


def stability_rows(model: HeadModel, chain: Chain, settings: CircuitSettings, report: Progress) -> list[Row]:
    """Rows of `circuit_stability`: the whole search again on other prompts, and on the second template."""
    draws: Sequence[tuple[str, int, Any]] = [
        *((str(i), settings.seed + i, TEMPLATES[0]) for i in range(1, settings.resamples + 1)),
        (f"template: {TEMPLATES[1].name}", settings.seed, TEMPLATES[1]),
    ]
    rows = []
    for done, (name, seed, template) in enumerate(draws):
        report(f"stability of the circuit of {model.model_id}", done, len(draws))
        maker = PromptMaker(
            model.tokenizer, n_boxes=settings.n_boxes, template=template, context=model.context, device=model.device
        )
        means = own_means(model, maker, replace(settings, seed=seed))
        again = find_chain(
            model, maker, settings, seed=seed, n_prompts=settings.resample_prompts, means=means, all_edges=False
        )
        rows.append(
            {
                "model_id": model.model_id,
                "resample": name,
                "jaccard_heads": overlap(again.kept_heads(settings), chain.kept_heads(settings)).jaccard,
                "jaccard_edges": overlap(again.kept_edges(settings), chain.kept_edges(settings)).jaccard,
                "n_heads": len(again.kept_heads(settings)),
                "n_edges": len(again.kept_edges(settings)),
            }
        )
    report(f"stability of the circuit of {model.model_id}", 1, 1)
    return rows


def knockout_rows(model: HeadModel, maker: PromptMaker, settings: CircuitSettings) -> list[Row]:
    """Rows of `attention_knockouts`: what is lost when one position may not see another in a window of layers."""
    prompts = right_prompts(model, maker, settings.knockout_prompts, settings.seed, settings)
    if not len(prompts):
        return []
    batches = Batches(model, prompts, prompts)
    return [
        {
            "model_id": model.model_id,
            "query_position": one.query,
            "key_position": one.key,
            "first_layer": one.first_layer,
            "last_layer": one.last_layer,
            "accuracy": one.accuracy,
            "probability_change": one.probability_change,
            "n_prompts": len(prompts),
        }
        for one in knock_out(model, batches)
    ]
