"""A circuit that was found before, made again from its rows, so that it can be followed without being looked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from resources.circuits.chain import Chain, Edge, Scored
from resources.circuits.finding import CircuitResult, strongest_first
from rotoscale.circuits.heads import EVERY_STEP, STEP_OF, STEPS, Groups, Head

if TYPE_CHECKING:
    from resources.circuits.model import HeadModel
    from resources.circuits.settings import CircuitSettings

Rows = Sequence[Mapping[str, Any]]


def stored_circuit(model: HeadModel, tables: Mapping[str, Rows], settings: CircuitSettings) -> CircuitResult:
    """The circuit whose rows are given, `circuit_heads`, `circuit_edges` and `circuit_screens` among them.

    It selects, resamples and compares as the one that the rows were made of; what minimality said is not kept.
    """
    by_group: dict[str, list[Mapping[str, Any]]] = {}
    for row in tables["circuit_heads"]:
        by_group.setdefault(row["circuit_group"], []).append(row)
    candidates = {group: _strongest(rows, "candidate") for group, rows in by_group.items()}
    kept: Groups = {step.group: _strongest(by_group.get(step.group, ()), "kept") for step in EVERY_STEP}
    screens = {row["circuit_group"]: row for row in tables["circuit_screens"]}
    first = screens[STEPS[0].group]
    chain = Chain(
        first["n_prompts"],
        {group: _scored(group, rows, candidates, first["n_prompts"]) for group, rows in by_group.items()},
        {},
        kept,
        tuple(_edge(row) for row in tables["circuit_edges"] if not row["screened"]),
        first["reason"],
    )
    rows = {name: [dict(row) for row in found] for name, found in tables.items()}
    return CircuitResult(model.model_id, kept, strongest_first(model, chain), chain, settings, rows)


def _strongest(rows: Rows, column: str) -> tuple[Head, ...]:
    chosen = sorted((row for row in rows if row[column]), key=lambda row: (row["score"], row["layer"], row["head"]))
    return tuple(Head(row["layer"], row["head"]) for row in chosen)


def _scored(group: str, rows: Rows, candidates: Mapping[str, tuple[Head, ...]], n_prompts: int) -> Scored:
    import torch

    step = STEP_OF[group]
    with_path = [row for row in rows if row["prompt_scores"] is not None]
    return Scored(
        step,
        candidates.get(step.receivers, ()),
        tuple(Head(row["layer"], row["head"]) for row in with_path),
        torch.tensor([row["prompt_scores"] for row in with_path]).reshape(len(with_path), n_prompts),
        torch.tensor([[row["logit_score"]] for row in with_path]),
        torch.tensor([not row["screened"] for row in with_path], dtype=torch.bool),
        candidates[group],
        None,
    )


def _edge(row: Mapping[str, Any]) -> Edge:
    import torch

    return Edge(
        row["circuit_group"],
        Head(row["sender_layer"], row["sender_head"]),
        None if row["receiver_layer"] < 0 else Head(row["receiver_layer"], row["receiver_head"]),
        row["via"],
        row["ablation"],
        torch.tensor(row["prompt_scores"]),
        torch.tensor([row["logit_score"]]),
        screened=False,
    )
