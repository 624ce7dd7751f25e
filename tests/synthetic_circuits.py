"""Made-up rows of the circuit tables: four layers of four heads, one head in each group but the last, the empty one."""

from __future__ import annotations

from typing import Any

import numpy as np

LAYERS, HEADS, PROMPTS = 4, 4, 20
KEPT = {"A": (3, 0), "B": (2, 1), "C": (1, 2)}
RECEIVER = {"A": (-1, -1, "logits"), "B": (3, 0, "q"), "C": (2, 1, "v")}
POSITION = {"A": "last", "B": "last", "C": "query_label"}
TOKENS = ("The", " bell", " F", ".", " F", " the")
DESIDERATA = ("object", "positional", "lexical", "reflexive")
REASON = "no head passes as structure reader (D); the best rejected score is -0.011"

Tables = dict[str, list[dict[str, Any]]]


def circuit_rows(model: str, base: str, role: str, random: np.random.Generator) -> Tables:
    """Rows of one model: a base has its circuit, a descendant also the base's in it, an unrelated model only that."""
    tables: Tables = {} if role == "unrelated" else _found(model, random)
    tables |= _run(model, base, role, random)
    if role == "descendant":
        tables["followed_edges"] = [{**row, "circuit_model_id": base} for row in _edges(model, random, -0.3)]
        tables["circuit_overlap"] = [
            {"model_id": model, "circuit_model_id": base, "what": what, "precision": 0.75, "recall": 0.6}
            | {"jaccard": 0.5, "jaccard_low": 0.3, "jaccard_high": 0.8}
            for what in ("heads", "edges")
        ]
        tables["cross_model_patching"] = [
            {"model_id": model, "recipient_id": recipient, "donor_id": donor, "component": group}
            | {"circuit_model_id": base, "n_heads": 1, "accuracy_recipient": 0.6, "accuracy_donor": 0.8}
            | {"accuracy_patched": 0.72, "accuracy_patched_low": 0.6, "accuracy_patched_high": 0.82}
            | {"accuracy_random": 0.61, "accuracy_random_low": 0.58, "accuracy_random_high": 0.65, "p_value": 0.03}
            | {"rank_p": 0.05, "random_draws": 19, "n_prompts": 70}
            for recipient, donor in ((base, model), (model, base))
            for group in KEPT
        ]
        tables["component_gains"] = [
            {"model_id": model, "base_id": base, "circuit_group": group, "desideratum": name}
            | {"accuracy_base": 0.5, "accuracy": 0.6, "gain": 0.1, "n_prompts": 70}
            for group in KEPT
            for name in DESIDERATA
        ]
    return tables


def _found(model: str, random: np.random.Generator) -> Tables:
    heads = [
        {"model_id": model, "circuit_group": group, "layer": layer, "head": head}
        | {"score": -0.4 if KEPT.get(group) == (layer, head) else float(random.normal(0, 0.01)), "stderr": 0.01}
        | {"logit_score": -1.0, "screened": False, "candidate": KEPT.get(group) == (layer, head)}
        | {"needed": 0.2 if KEPT.get(group) == (layer, head) else None, "kept": KEPT.get(group) == (layer, head)}
        | {"prompt_scores": random.normal(0, 0.05, PROMPTS).astype(np.float32)}
        for group in "ABCD"
        for layer in range(LAYERS)
        for head in range(HEADS)
    ]
    screens = [
        {"model_id": model, "circuit_group": group, "n_prompts": PROMPTS, "n_candidates": int(group in KEPT)}
        | {"n_kept": int(group in KEPT), "best_score": -0.4 if group in KEPT else -0.011, "n_senders": 12}
        | {"n_exact": 12, "n_audited": 0, "rank_correlation": None, "estimated_misses": 0.0, "reason": REASON}
        for group in "ABCD"
    ]
    knockouts = [
        {"model_id": model, "query_position": "last", "key_position": key, "first_layer": layer, "last_layer": layer}
        | {"accuracy": 0.5, "probability_change": float(-random.random()), "n_prompts": PROMPTS}
        for key in ("object", "query_label")
        for layer in range(LAYERS)
    ]
    return {
        "circuit_heads": heads,
        "circuit_edges": _edges(model, random, -0.4),
        "circuit_screens": screens,
        "circuit_stability": [
            {"model_id": model, "resample": name, "jaccard_heads": 0.8, "jaccard_edges": 0.6, "n_heads": 3}
            | {"n_edges": 3}
            for name in ("1", "template: in")
        ],
        "attention_knockouts": knockouts,
        "attention_patterns": [
            {"model_id": model, "queried_box": box, "answer": "bell", "predicted": "bell", "tokens": list(TOKENS)}
            | {"previous_query_label": 2, "query_label": 4, "last": 5, "layer": layer, "head": head}
            | {"weights": [1.0, *([0.0] * 20)]}
            for box in (1, 4)
            for layer in range(LAYERS)
            for head in range(HEADS)
        ],
        "circuit_checks": [
            {"model_id": model, "check": "a circuit of all heads is the model", "error": 1e-6, "tolerance": 1e-3}
            | {"passed": True}
        ],
        "component_masks": [
            {"model_id": model, "circuit_model_id": model, "circuit_group": group, "desideratum": name}
            | {"heads": [".".join(map(str, KEPT[group]))], "n_heads": 1, "n_group": 1, "accuracy": 0.5}
            | {"accuracy_low": 0.4, "accuracy_high": 0.6, "accuracy_random": 0.05, "accuracy_random_low": 0.0}
            | {"accuracy_random_high": 0.1}
            | {"p_value": 0.03, "rank_p": 0.05, "random_draws": 19, "n_prompts": 70, "accuracy_by_box": [0.5] * 7}
            for group in KEPT
            for name in DESIDERATA
        ],
    }


def _edges(model: str, random: np.random.Generator, score: float) -> list[dict[str, Any]]:
    return [
        {"model_id": model, "circuit_group": group, "sender_layer": layer, "sender_head": head}
        | {"receiver_layer": RECEIVER[group][0], "receiver_head": RECEIVER[group][1], "via": RECEIVER[group][2]}
        | {"position": POSITION[group], "ablation": ablation, "probability_score": score, "logit_score": score * 4}
        | {"screened": False, "prompt_scores": (score + random.normal(0, 0.02, PROMPTS)).astype(np.float32)}
        for group, (layer, head) in KEPT.items()
        for ablation in ("counterfactual", "mean")
    ]


def _run(model: str, base: str, role: str, random: np.random.Generator) -> Tables:
    accuracy = float(0.6 + 0.2 * random.random())
    circuit = accuracy * (0.1 if role == "unrelated" else 0.8)
    of = dict.fromkeys((base,) if role == "unrelated" else (base, model))
    faithfulness = [
        {"model_id": model, "circuit_model_id": whose, "accuracy_full": accuracy, "accuracy_full_low": accuracy - 0.1}
        | {"accuracy_full_high": accuracy + 0.1, "accuracy_circuit": circuit, "accuracy_circuit_low": circuit - 0.1}
        | {"accuracy_circuit_high": circuit + 0.1, "accuracy_empty": 0.0, "accuracy_random": 0.02}
        | {"accuracy_random_low": 0.0, "accuracy_random_high": 0.1, "p_value": 0.03, "rank_p": 0.05}
        | {"random_draws": 19, "faithfulness": circuit / accuracy, "f": 0.8, "accuracy_circuit_counterfactual": 0.3}
        | {"faithfulness_counterfactual": 0.4, "f_counterfactual": 0.5, "completeness_random": 0.1}
        | {"completeness_groups": 0.3, "n_heads": 3, "n_components": 3, "n_prompts": 70}
        | {"accuracy_full_by_box": [accuracy] * 7, "accuracy_circuit_by_box": [circuit] * 7}
        for whose in of
    ]
    curves = [
        {"model_id": model, "circuit_model_id": base, "ablation": ablation, "n_heads": n, "f": n / 16}
        | {"f_random_low": None if n == 16 else n / 40, "f_random_high": None if n == 16 else n / 20}
        | {"cpr": 0.5, "cmd": 0.4, "cpr_log": 0.3, "cmd_log": 0.6}
        for ablation in ("counterfactual", "mean")
        for n in (1, 4, 8, 16)
    ]
    return {"circuit_faithfulness": faithfulness, "faithfulness_curves": curves}
