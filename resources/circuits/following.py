"""Follow a base's circuit into a descendant: the one entry point for two models (docs/methods.md, section 4)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from resources import progress as shared_progress
from resources.circuits.batches import COUNTERFACTUAL, MEAN, Batches, Means
from resources.circuits.chain import Progress, exact_edges, right_prompts
from resources.circuits.cross_model import Exchange
from resources.circuits.finding import CircuitResult, edge_rows, own_means
from resources.circuits.measures import Row, curve_rows, faithfulness_row, mask_rows, parameters
from resources.circuits.model import HeadModel, require_comparable
from resources.circuits.prompts import PromptMaker
from resources.circuits.settings import CircuitSettings
from rotoscale.circuits.controls import against
from rotoscale.circuits.heads import POSITION_OF, STEP_OF
from rotoscale.circuits.overlap import bootstrap_jaccard, overlap, resample
from rotoscale.circuits.scores import score_interval

if TYPE_CHECKING:
    import torch

TABLES = (
    "circuit_faithfulness",
    "faithfulness_curves",
    "circuit_edges",
    "component_masks",
    "component_gains",
    "cross_model_patching",
    "circuit_overlap",
)
"""Tables that `follow_circuit` makes rows of."""


@dataclass(frozen=True)
class FollowResult:
    """What became of a base's circuit in a descendant, as rows by table."""

    base_id: str
    model_id: str
    tables: dict[str, list[Row]]


def follow_circuit(
    circuit: CircuitResult,
    base: HeadModel,
    descendant: HeadModel,
    settings: CircuitSettings | None = None,
    progress: Progress | None = None,
    *,
    own: CircuitResult | None = None,
    tables: Collection[str] = TABLES,
) -> FollowResult:
    """Run the base's circuit in a descendant, and exchange its heads between the two.

    `own` is the descendant's own circuit, found with the same settings; with it the two are compared. `tables` narrows
    what is made; gains need the masks of the circuit in its own model, among the circuit's tables.

    Raises CircuitError when the models have different tokenizers or layouts of heads.
    """
    require_comparable(base, descendant)
    settings = settings or circuit.settings
    report = progress or shared_progress.report
    maker = PromptMaker(
        descendant.tokenizer, n_boxes=settings.n_boxes, context=descendant.context, device=descendant.device
    )
    means = own_means(descendant, maker, settings)
    made: dict[str, list[Row]] = {}
    stages: dict[str, Callable[[], list[Row]]] = {
        "circuit_faithfulness": lambda: [
            faithfulness_row(descendant, maker, circuit.groups, base.model_id, means, settings)
        ],
        "faithfulness_curves": lambda: curve_rows(descendant, maker, circuit.order, base.model_id, means, settings),
        "circuit_edges": lambda: _edges(circuit, descendant, maker, means, settings),
        "component_masks": lambda: mask_rows(descendant, maker, circuit.groups, base.model_id, settings),
        "component_gains": lambda: gain_rows(circuit.tables["component_masks"], made["component_masks"]),
        "cross_model_patching": lambda: [
            row
            for recipient, donor in ((base, descendant), (descendant, base))
            for row in cross_rows(circuit, recipient, donor, maker, settings)
        ],
        "circuit_overlap": lambda: overlap_rows(circuit, own, settings) if own else [],
    }
    label = f"circuit of {base.model_id} in {descendant.model_id}"
    wanted = [table for table in stages if table in tables]
    for done, table in enumerate(wanted):
        report(label, done, len(wanted))
        made[table] = stages[table]()
    report(label, 1, 1)
    return FollowResult(base.model_id, descendant.model_id, made)


def _edges(
    circuit: CircuitResult, model: HeadModel, maker: PromptMaker, means: Means, settings: CircuitSettings
) -> list[Row]:
    """The base's patched edges, patched in the descendant: same senders, receivers and prompts' scenes."""
    prompts = right_prompts(model, maker, settings.prompts, settings.seed, settings)
    batches = Batches(model, prompts, maker.counterfactuals(prompts, settings.seed))
    edges = []
    for group, heads in circuit.groups.items():
        step = STEP_OF[group]
        receivers = circuit.groups.get(step.receivers, ())
        if not heads or not len(prompts):
            continue
        for ablation, source in ((COUNTERFACTUAL, None), (MEAN, means)):
            edges += exact_edges(model, batches, step, heads, receivers, ablation, source)
    rows = edge_rows(model.model_id, replace(circuit.chain, edges=tuple(edges)), settings)
    return [{**row, "circuit_model_id": circuit.model_id} for row in rows]


def gain_rows(base: list[Row], descendant: list[Row]) -> list[Row]:
    """Rows of `component_gains`: did a group get better at what it carries? On the same pairs of prompts."""
    before = {(row["circuit_group"], row["desideratum"]): row for row in base}
    rows = []
    for row in descendant:
        old = before.get((row["circuit_group"], row["desideratum"]))
        if old is not None:
            rows.append(
                {
                    "model_id": row["model_id"],
                    "base_id": old["model_id"],
                    "circuit_group": row["circuit_group"],
                    "desideratum": row["desideratum"],
                    "accuracy_base": old["accuracy"],
                    "accuracy": row["accuracy"],
                    "gain": row["accuracy"] - old["accuracy"],
                    "n_prompts": row["n_prompts"],
                }
            )
    return rows


def cross_rows(
    circuit: CircuitResult, recipient: HeadModel, donor: HeadModel, maker: PromptMaker, settings: CircuitSettings
) -> list[Row]:
    """Rows of `cross_model_patching`: each group of the circuit from a donor in a recipient."""
    prompts = maker.draw(settings.patch_prompts, settings.seed, "cross-model patching").to(recipient.device)
    answers, n = prompts.answers.cpu(), len(prompts)
    accuracy = {
        model.model_id: float((model.run(prompts.to(model.device)).predicted == answers).double().mean())
        for model in (recipient, donor)
    }
    exchange = Exchange(recipient, donor, prompts)
    rows = []
    for group, heads in circuit.groups.items():
        if not heads:
            continue
        positions = maker.slots.last + 1 - int(prompts.position(POSITION_OF[group]).min())
        draws = settings.draws_for(2 * parameters(recipient) * n * positions)
        patched = exchange.patch(heads, POSITION_OF[group], draws, settings.seed)
        value = float(patched.right.double().mean())
        low, high = score_interval(int(patched.right.sum()), n)
        control = against(value, patched.random, 1 / n)
        rows.append(
            {
                "recipient_id": recipient.model_id,
                "donor_id": donor.model_id,
                "component": group,
                "circuit_model_id": circuit.model_id,
                "n_heads": len(heads),
                "accuracy_recipient": accuracy[recipient.model_id],
                "accuracy_donor": accuracy[donor.model_id],
                "accuracy_patched": value,
                "accuracy_patched_low": low,
                "accuracy_patched_high": high,
                "accuracy_random": control.mean if control else None,
                "accuracy_random_low": control.low if control else None,
                "accuracy_random_high": control.high if control else None,
                "p_value": control.p_value if control else None,
                "rank_p": control.rank_p if control else None,
                "random_draws": control.draws if control else 0,
                "random_in_layers": patched.in_layers,
                "n_prompts": n,
            }
        )
    return rows


def overlap_rows(circuit: CircuitResult, own: CircuitResult, settings: CircuitSettings) -> list[Row]:
    """Rows of `circuit_overlap`: a model's own circuit against the base's, heads and edges."""
    rows = []
    for what in ("heads", "edges"):
        found = overlap(_items(own, what, settings), _items(circuit, what, settings))
        interval = bootstrap_jaccard(
            partial(_resampled, own, what, settings),
            partial(_resampled, circuit, what, settings),
            resamples=settings.bootstrap,
            seed=settings.seed,
        )
        rows.append(
            {
                "model_id": own.model_id,
                "circuit_model_id": circuit.model_id,
                "what": what,
                "precision": found.precision,
                "recall": found.recall,
                "jaccard": found.jaccard,
                "jaccard_low": interval.low,
                "jaccard_high": interval.high,
            }
        )
    return rows


def _items(
    result: CircuitResult, what: str, settings: CircuitSettings, index: torch.Tensor | None = None
) -> set[object]:
    chain = result.chain
    return chain.kept_heads(settings, index) if what == "heads" else chain.kept_edges(settings, index)


def _resampled(result: CircuitResult, what: str, settings: CircuitSettings, generator: torch.Generator) -> set[object]:
    return _items(result, what, settings, resample(result.chain.n_prompts, generator))
