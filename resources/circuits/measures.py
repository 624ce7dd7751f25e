"""What a circuit does in a model, as rows: faithfulness with its controls, curves, completeness, masks."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from resources.circuits.ablation import CircuitRuns
from resources.circuits.batches import ABLATIONS, MEAN, Batches, Means
from resources.circuits.masks import desideratum_mask, prepared
from rotoscale.circuits.controls import against, matched_heads, other_circuits
from rotoscale.circuits.faithfulness import areas, normalized, ratio, sizes
from rotoscale.circuits.heads import POSITION_OF, Component, Groups, Head, components
from rotoscale.circuits.scores import score_interval

if TYPE_CHECKING:
    import torch

    from resources.circuits.model import HeadModel
    from resources.circuits.prompts import PromptMaker
    from resources.circuits.settings import CircuitSettings

Row = dict[str, Any]
_HALF = 0.5


def by_box(right: torch.Tensor, queried: torch.Tensor, n_boxes: int) -> list[float | None]:
    """Accuracy by the position of the queried box."""
    import torch

    picked = [right[torch.nonzero(queried.cpu() == box)[:, 0]] for box in range(n_boxes)]
    return [float(one.double().mean()) if len(one) else None for one in picked]


def faithfulness_row(
    model: HeadModel,
    maker: PromptMaker,
    groups: Groups,
    circuit_model_id: str,
    means: Means,
    settings: CircuitSettings,
) -> Row:
    """One row of `circuit_faithfulness`: a circuit run inside a model, with random circuits matched in size and layer.

    Accuracies and random circuits are by mean ablation; the counterfactual ones stand beside them.
    """
    prompts = maker.draw(settings.faithfulness_prompts, settings.seed, "faithfulness")
    batches = Batches(model, prompts, maker.counterfactuals(prompts, settings.seed))
    circuit = components(groups)
    n = len(prompts)
    operations = 2 * parameters(model) * n * len({one.position for one in circuit} or {""})
    rng = random.Random(f"circuits {settings.seed}")
    drawn = other_circuits(groups, model.n_heads, settings.draws_for(operations), rng)
    row: Row = {"model_id": model.model_id, "circuit_model_id": circuit_model_id}
    for ablation in ABLATIONS:
        runs = CircuitRuns(model, batches, means if ablation == MEAN else None)
        full, empty, run = runs.full(), runs.empty(), runs.circuits([circuit])
        whole, kept = float(runs.accuracy(full)[0]), float(runs.accuracy(run)[0])
        levels = [float(one.logit_difference.double().mean()) for one in (run, full, empty)]
        if ablation != MEAN:
            row |= {
                "accuracy_circuit_counterfactual": kept,
                "faithfulness_counterfactual": ratio(kept, whole),
                "f_counterfactual": normalized(*levels),
            }
            continue
        control = against(kept, runs.accuracy(runs.circuits(drawn)).tolist() if circuit else [], 1 / n)
        full_low, full_high = score_interval(round(whole * n), n)
        low, high = score_interval(round(kept * n), n)
        right, whole_right = run.predicted[0] == prompts.answers.cpu(), full.predicted[0] == prompts.answers.cpu()
        row |= {
            "accuracy_full": whole,
            "accuracy_full_low": full_low,
            "accuracy_full_high": full_high,
            "accuracy_circuit": kept,
            "accuracy_circuit_low": low,
            "accuracy_circuit_high": high,
            "accuracy_empty": float(runs.accuracy(empty)[0]),
            "accuracy_random": control.mean if control else None,
            "accuracy_random_low": control.low if control else None,
            "accuracy_random_high": control.high if control else None,
            "p_value": control.p_value if control else None,
            "rank_p": control.rank_p if control else None,
            "random_draws": control.draws if control else 0,
            "faithfulness": ratio(kept, whole),
            "f": normalized(*levels),
            "n_heads": len({one.head for one in circuit}),
            "n_components": len(circuit),
            "n_prompts": n,
            "accuracy_full_by_box": by_box(whole_right, prompts.queried, maker.n_boxes),
            "accuracy_circuit_by_box": by_box(right, prompts.queried, maker.n_boxes),
        } | _completeness(runs, groups, circuit, rng, settings.completeness_draws)
    return row


def _completeness(
    runs: CircuitRuns, groups: Groups, circuit: frozenset[Component], rng: random.Random, draws: int
) -> dict[str, float | None]:
    """`|F(C \\ K) - F(M \\ K)|`: mean over random halves K of the circuit, and the largest over whole groups."""
    if not circuit:
        return {"completeness_random": None, "completeness_groups": None}
    ordered = sorted(circuit)
    halves = [frozenset(rng.sample(ordered, max(1, round(_HALF * len(ordered))))) for _ in range(draws)]
    whole = [frozenset(Component(POSITION_OF[name], head) for head in heads) for name, heads in groups.items() if heads]
    removed = halves + whole
    inside = runs.accuracy(runs.circuits([circuit - out for out in removed]))
    outside = runs.accuracy(runs.without(removed))
    gaps = (inside - outside).abs()
    return {
        "completeness_random": float(gaps[: len(halves)].mean()),
        "completeness_groups": float(gaps[len(halves) :].max()),
    }


def curve_rows(
    model: HeadModel,
    maker: PromptMaker,
    order: Sequence[Head],
    circuit_model_id: str,
    means: Means,
    settings: CircuitSettings,
) -> list[Row]:
    """Rows of `faithfulness_curves`: f of the first k heads of an order, whole heads at every position.

    The random band is of as many heads, drawn layer by layer; the areas stand on every row of their curve.
    """
    prompts = maker.draw(settings.curve_prompts, settings.seed, "curves")
    batches = Batches(model, prompts, maker.counterfactuals(prompts, settings.seed))
    counts = sizes(len(order), settings.percentages)
    kept = [frozenset(order[:k]) for k in counts]
    rng = random.Random(f"curves {settings.seed}")
    drawn = [
        frozenset(matched_heads(heads, model.n_heads, rng)) for heads in kept[:-1] for _ in range(settings.curve_draws)
    ]
    rows: list[Row] = []
    for ablation in ABLATIONS:
        runs = CircuitRuns(model, batches, means if ablation == MEAN else None)
        full, empty = (float(one.logit_difference.double().mean()) for one in (runs.full(), runs.empty()))
        found = runs.whole_heads([*kept, *drawn]).logit_difference.double().mean(1).tolist()
        f = [normalized(value, full, empty) for value in found]
        curve, band = f[: len(kept)], f[len(kept) :]
        area = areas(counts, [value for value in curve if value is not None]) if None not in curve else None
        for i, k in enumerate(counts):
            mine = [
                value for value in band[i * settings.curve_draws : (i + 1) * settings.curve_draws] if value is not None
            ]
            control = against(curve[i] or 0.0, mine) if i < len(counts) - 1 else None
            rows.append(
                {
                    "model_id": model.model_id,
                    "circuit_model_id": circuit_model_id,
                    "ablation": ablation,
                    "n_heads": k,
                    "f": curve[i],
                    "f_random_low": control.low if control else None,
                    "f_random_high": control.high if control else None,
                    "cpr": area.cpr if area else None,
                    "cmd": area.cmd if area else None,
                    "cpr_log": area.cpr_log if area else None,
                    "cmd_log": area.cmd_log if area else None,
                }
            )
    return rows


def mask_rows(
    model: HeadModel, maker: PromptMaker, groups: Groups, circuit_model_id: str, settings: CircuitSettings
) -> list[Row]:
    """Rows of `component_masks`: what each group of a circuit carries in a model; empty groups are left out."""
    rows: list[Row] = []
    test_n, seed = settings.mask_test_prompts, settings.seed
    for name in settings.desiderata:
        pairs = [
            maker.desideratum(name, n, f"{seed} {use}")
            for use, n in (("train", settings.mask_prompts), ("validation", test_n), ("test", test_n))
        ]
        positions = {POSITION_OF[group] for group, heads in groups.items() if heads}
        ready = [prepared(model, one, positions) for one in pairs] if positions else []
        for group, heads in groups.items():
            if not heads:
                continue
            train, validation, test = (one[POSITION_OF[group]] for one in ready)
            computed = maker.slots.last + 1 - test[0].position
            draws = settings.draws_for(2 * parameters(model) * test_n * computed)
            mask = desideratum_mask(model, heads, train, validation, test, draws, seed)
            accuracy = float(mask.right.double().mean())
            low, high = score_interval(int(mask.right.sum()), len(mask.right))
            control = against(accuracy, mask.random, 1 / len(mask.right))
            rows.append(
                {
                    "model_id": model.model_id,
                    "circuit_model_id": circuit_model_id,
                    "circuit_group": group,
                    "desideratum": name,
                    "heads": [str(head) for head in mask.heads],
                    "n_heads": len(mask.heads),
                    "n_group": len(heads),
                    "accuracy": accuracy,
                    "accuracy_low": low,
                    "accuracy_high": high,
                    "accuracy_random": control.mean if control else accuracy,
                    "accuracy_random_low": control.low if control else accuracy,
                    "accuracy_random_high": control.high if control else accuracy,
                    "p_value": control.p_value if control else None,
                    "rank_p": control.rank_p if control else None,
                    "random_draws": control.draws if control else 0,
                    "random_in_layers": mask.in_layers,
                    "n_prompts": len(mask.right),
                    "accuracy_by_box": by_box(mask.right, pairs[2].clean.queried, maker.n_boxes),
                }
            )
    return rows


def parameters(model: HeadModel) -> int:
    """Weights of the blocks, each of which one token multiplies once."""
    return sum(weight.numel() for block in model.blocks for weight in block.module.parameters())
