"""Made-up warehouses for tests and the benchmark: the shape of real ones, numbers from a random generator.

Every row says `synthetic` where real rows name their code version, so that no such number is mistaken for a
measurement. `small` has the structure of the demo family; `large` is as many models and layers as the dashboard
promises to be quick with. Both write through TableStore, as the assets do, and publish.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from assets.groups import contract
from resources.warehouse import Published, TableStore, publish
from tests.synthetic_behaviour import control_rows, derived_rows
from tests.synthetic_circuits import circuit_rows
from tests.synthetic_pairs import agreement_rows, pair_findings
from tests.synthetic_relations import relation_rows

TABLES = contract()

MATRICES = ("q", "k", "v", "o", "gate", "up", "down")
TASKS = ("synthetic_sums", "synthetic_boxes", "synthetic_copies")
RECIPES = ("replace-scale", "disrupt-left", "disrupt-right", "restore-left", "formula")
CODE_VERSION = "synthetic"

CLAIMS = ("HC1", "HC3", "HC6", "EP1", "EP2")
WORDS = ("supported", "refuted", "undecided", "not tested")

_SCALE = {"instruct": 1.002, "reasoning": 0.992, "math": 1.006, "adapter": 1.0, "scratch": 1.03}
_ROTATION = {"instruct": 0.9, "reasoning": 0.55, "math": 1.05, "adapter": 0.75, "scratch": 30.0}
_SKILL = {"base": 0.31, "instruct": 0.44, "reasoning": 0.62, "math": 0.71, "adapter": 0.58, "scratch": 0.29}


def open_store(folder: Path) -> TableStore:
    """The tables under a data folder."""
    return TableStore(folder / "tables", TABLES)


@dataclass(frozen=True)
class Shape:
    """How large a made-up model is; `rank` is the length of its spectra, `picture` the side of I_orth's picture."""

    layers: int = 8
    hidden: int = 256
    heads: int = 4
    rank: int = 128
    picture: int = 32
    documents: int = 100


@dataclass(frozen=True)
class Model:
    """One made-up checkpoint; without `measured` it is registered and nothing more."""

    id: str
    family: str
    method: str
    base: str
    role: str = "descendant"
    status: str = "ready"
    reason: str = ""
    measured: bool = True
    edited: bool = True


def small(folder: Path, *, shape: Shape = Shape(), extra: Sequence[Model] = (), edits: bool = True) -> Published:
    """Publish a warehouse with the structure of the demo family under `folder`, and `extra` models with it."""
    models = [
        Model(f"demo-{method}", "demo", method, "demo-base", "unrelated" if method == "scratch" else "descendant")
        for method in ("instruct", "reasoning", "math", "scratch")
    ]
    models.insert(3, Model("demo-math-lora", "demo", "adapter", "demo-base"))
    return write(folder, [Model("demo-base", "demo", "base", "demo-base", "base"), *models, *extra], shape, edits=edits)


def large(
    folder: Path,
    *,
    families: int = 12,
    descendants: int = 4,
    shape: Shape = Shape(80, 4096, 32, 1024, 64, 100),
    progress: Callable[[str], None] = lambda model_id: None,
) -> Published:
    """Publish `families` x (1 + `descendants`) models: by default 60 models of 80 layers."""
    methods = list(_SCALE)
    models = []
    for number in range(1, families + 1):
        family, base = f"synthetic-{number:02d}", f"synthetic-{number:02d}-base"
        models.append(Model(base, family, "base", base, "base"))
        for i in range(descendants):
            method = methods[i % 4]
            suffix = "" if i < 4 else f"-{i // 4 + 1}"
            models.append(Model(f"{family}-{method}{suffix}", family, method, base))
    return write(folder, models, shape, progress=progress, circuits=False, relations=False)


def write(
    folder: Path,
    models: Sequence[Model],
    shape: Shape,
    *,
    edits: bool = True,
    circuits: bool = True,
    relations: bool = True,
    progress: Callable[[str], None] = lambda model_id: None,
) -> Published:
    """Write and publish `models` under `folder` (`tables/` and `published/`); same arguments, same numbers."""
    store = open_store(folder)
    for number, model in enumerate(models):
        random = np.random.default_rng(number)
        run_id = str(uuid.UUID(bytes=random.bytes(16)))
        rows = {"models": [_registered(model, shape)]}
        if model.measured and model.status == "ready":
            rows |= _structure(model, shape, random)
            if edits and model.edited:
                rows |= _behaviour(model, shape, random)
            if model.role == "descendant":
                rows |= _claims(model, number)
            if circuits:
                rows |= circuit_rows(model.id, model.base, model.role, np.random.default_rng([1, number]))
        for table, content in rows.items():
            store.write(table, f"{number:04d}", content, run_id=run_id, code_version=CODE_VERSION)
        progress(model.id)
    for number, rows in enumerate(relation_rows(models, shape.layers, MATRICES) if relations else ()):
        for table, content in rows.items():
            store.write(
                table, f"pair-{number:04d}", content, run_id=str(uuid.UUID(int=number)), code_version=CODE_VERSION
            )
    return publish(store, folder / "published")


def _registered(model: Model, shape: Shape) -> dict[str, Any]:
    return {
        "model_id": model.id, "family": model.family, "role": model.role, "base_id": model.base,
        "method": model.method, "source": f"checkpoints/{model.id}", "revision": "", "architecture": "llama",
        "dtype": "bfloat16", "n_layers": shape.layers, "hidden_size": shape.hidden, "n_heads": shape.heads,
        "n_kv_heads": max(1, shape.heads // 2), "n_parameters": shape.layers * shape.hidden**2 * 12,
        "content_hash": uuid.uuid5(uuid.NAMESPACE_URL, model.id).hex * 2,
        "status": model.status, "status_reason": model.reason,
    }  # fmt: skip


def _claims(model: Model, number: int) -> dict[str, list[dict[str, Any]]]:
    """Verdicts on some claims and the sentences on them; the family's own claim stands with its first descendant."""
    verdicts = []
    for i, claim in enumerate(CLAIMS):
        if claim == "HC6":
            continue
        verdicts.append(_verdict(claim, model.family, model.id, model.base, WORDS[(i + number) % len(WORDS)]))
    if number == 1:
        verdicts.append(_verdict("HC6", model.family, "", model.base, "undecided"))
    named = [row["model_id"] or "family " + row["family"] for row in verdicts]
    sentences = [
        {
            "family": row["family"],
            "model_id": row["model_id"],
            "page": "claims",
            "rank": rank,
            "sentence": f"{named[rank]}, {row['claim']} {row['verdict']}: {row['reason']}",
            "rests_on": row["rests_on"],
        }
        for rank, row in enumerate(verdicts)
    ]
    return {"claims": verdicts, "findings": sentences + pair_findings(model.family, model.id, model.base)}


def _verdict(claim: str, family: str, model: str, base: str, word: str) -> dict[str, Any]:
    tested = word != "not tested"
    return {
        "family": family, "model_id": model, "claim": claim, "verdict": word, "reason": f"made up to be {word}.",
        "statistic": "a made-up number" if tested else "", "estimate": 0.25 if tested else None,
        "ci_low": 0.125 if tested else None, "ci_high": 0.375 if tested else None, "control": 0.0, "n": 28,
        "p_value": 0.01, "q_value": 0.02, "power": None, "rule_version": "synthetic",
        "sentence": f"What the paper says in {claim}.", "evidence": "Made up.", "controlled_by": "Nothing.",
        "supported_by": "Nothing.", "refuted_by": "Everything.", "otherwise": "Undecided.",
        "rests_on": [
            {"table": "scale_statistics", "where": {"model_id": model, "base_id": base}},
            {"table": "no_such_table", "where": {}},
        ],
    }  # fmt: skip


def _size(matrix: str, shape: Shape) -> tuple[int, int]:
    wide = shape.hidden * 4
    sizes = {"k": (shape.hidden // 2, shape.hidden), "v": (shape.hidden // 2, shape.hidden)}
    sizes |= {"gate": (wide, shape.hidden), "up": (wide, shape.hidden), "down": (shape.hidden, wide)}
    return sizes.get(matrix, (shape.hidden, shape.hidden))


def _structure(model: Model, shape: Shape, random: np.random.Generator) -> dict[str, list[dict[str, Any]]]:
    """Rows of the structure tables: spectra, scale and rotation of every matrix, and every tensor's change."""
    is_base = model.id == model.base
    tables: dict[str, list[dict[str, Any]]] = {
        name: [] for name in ("decompositions", "scale_statistics", "rotation_statistics", "coverage", "tensor_changes")
    }
    for layer in range(shape.layers):
        depth = layer / max(1, shape.layers - 1)
        for number, matrix in enumerate(MATRICES):
            m, n = _size(matrix, shape)
            rank = min(shape.rank, m, n)
            place = np.linspace(0, 1, rank, dtype=np.float32)
            base = np.float32(8 + number) * (np.arange(1, rank + 1, dtype=np.float32) ** -0.45) * np.exp(-1.5 * place)
            ratio = np.ones(rank, np.float32)
            if not is_base:
                alpha = _SCALE.get(model.method, 1.0) + 0.003 * np.sin(6 * depth + number)
                if matrix == "o" and model.method == "reasoning":
                    alpha += 0.035 + 0.02 * depth
                ratio = (alpha + 0.01 * np.exp(-place * 12) + random.normal(0, 0.0015, rank)).astype(np.float32)
            post = np.sort(base * ratio)[::-1]
            ratio = post / base
            key = {"model_id": model.id, "layer": layer, "matrix": matrix, "expert": -1}
            pair = key | {"base_id": model.base}
            tables["decompositions"].append(key | _decomposition(m, n, post, model.id, random))
            tables["scale_statistics"].append(pair | _scale(ratio, base, post))
            tables["rotation_statistics"].append(pair | _rotation(model, is_base, rank, m, n, shape, depth, random))
            tensor = {"model_id": model.id, "base_id": model.base, "tensor": f"layers.{layer}.{matrix}"}
            tables["coverage"].append(tensor | {"state": "analysed", "reason": "", "parameters": m * n})
            change = tables["rotation_statistics"][-1]["relative_change"]
            tables["tensor_changes"].append(
                tensor
                | {"principal": True, "shape": [m, n], "relative_change": change, "cosine": 1 - change**2 / 2}
                | {
                    "identical_share": 1.0 if is_base else 0.02,
                    "largest_change": change,
                    "base_norm": float(np.linalg.norm(base)),
                }
            )
    for name in ("embed_tokens", "norm"):
        tensor = {"model_id": model.id, "base_id": model.base, "tensor": name}
        tables["coverage"].append(tensor | {"state": "skipped", "reason": "not a principal matrix", "parameters": 1000})
    rotation = tables["rotation_statistics"]
    sizes = [_size(row["matrix"], shape) for row in rotation]
    return tables | {"agreement": agreement_rows(rotation, sizes, np.random.default_rng(len(rotation)))}


def _decomposition(m: int, n: int, s: np.ndarray, model_id: str, random: np.random.Generator) -> dict[str, Any]:
    p = s / s.sum()
    return {
        "rows": m, "cols": n, "rank": len(s), "singular_values": s,
        "frobenius_norm": float(np.linalg.norm(s)), "spectral_norm": float(s[0]), "nuclear_norm": float(s.sum()),
        "stable_rank": float((s**2).sum() / s[0] ** 2), "effective_rank": float(np.exp(-(p * np.log(p)).sum())),
        "residual": 3e-7, "orthogonality_error": 2e-7, "kernel": "gram-eigh",
        "weight_hash": f"synthetic-{model_id[:20]}", "seconds": float(random.uniform(0.01, 0.2)),
    }  # fmt: skip


def _scale(ratio: np.ndarray, base: np.ndarray, post: np.ndarray) -> dict[str, Any]:
    tenth = max(1, len(ratio) // 10)
    half = len(ratio) // 2
    least = float((base * post).sum() / (base**2).sum())
    return {
        "alpha_median": float(np.median(ratio)), "alpha_mean": float(ratio.mean()), "alpha_least_squares": least,
        "alpha_frobenius": float(np.linalg.norm(post) / np.linalg.norm(base)),
        "ratio_cv": float(ratio.std() / ratio.mean()),
        "ratio_p05": float(np.quantile(ratio, 0.05)), "ratio_p95": float(np.quantile(ratio, 0.95)),
        "unexplained": float(np.linalg.norm(post - least * base) / np.linalg.norm(post)),
        "alpha_top": float(np.median(ratio[:tenth])), "alpha_bottom": float(np.median(ratio[-tenth:])),
        "alpha_middle": float(np.median(ratio[half - tenth // 2 : half + tenth // 2 + 1])), "ratio": ratio,
        "ratio_cv_noise": 0.002 if ratio.std() else None,
    }  # fmt: skip


def _rotation(
    model: Model, is_base: bool, rank: int, m: int, n: int, shape: Shape, depth: float, random: np.random.Generator
) -> dict[str, Any]:
    place = np.linspace(0, 1, rank, dtype=np.float32)
    unrelated = float(np.sqrt(1 + min(m, n) / max(m, n)))
    amount_over_null = 0.0 if is_base else _ROTATION.get(model.method, 1.0)
    null = 0.0 if is_base else min(unrelated, 0.06 * (1 + 0.5 * depth) * (1 if amount_over_null < 5 else 30))
    nf = min(unrelated, null * amount_over_null * random.uniform(0.93, 1.07))
    amount = min(1.0, nf / unrelated * 4)
    left = 1 - amount * (0.15 + 0.8 * np.sin(np.pi * place)) * random.uniform(0.8, 1, rank)
    right = 1 - amount * (0.12 + 0.8 * np.sin(np.pi * place)) * random.uniform(0.8, 1, rank)
    side = min(shape.picture, rank)
    off = 0.0 if is_base else nf / np.sqrt(side)
    picture = np.abs(np.eye(side) * (1 - nf / 2) + random.normal(0, off, (side, side))).astype(np.float32)
    error = 0.0 if is_base else 0.02 * (1 + depth) * (1 if m == n else 1.5) * (1 if amount_over_null < 5 else 40)
    row = {
        "numerical_rank": rank, "relative_change": error, "nf": nf, "orth_distance": nf * rank**0.5,
        "nf_null": null, "nf_null_simulated": null * 0.97, "nf_null_low": null * 0.95,
        "nf_null_high": null * 1.02,
        "null_draws": 5, "nf_over_null": nf / (null * 0.97) if null else None,
        "nf_unrelated": unrelated, "nf_top": nf * 0.4, "nf_middle": nf * 1.2, "nf_bottom": nf * 0.7,
        "left_diagonal": left.astype(np.float32), "right_diagonal": right.astype(np.float32),
        "leak": 0.0 if m == n else min(1.0, nf**2), "formula_error": error * (0.75 if amount_over_null < 1 else 1.1),
        "base_error": error, "row_norm_ratio": 1.0, "row_cosine": 1 - error**2 / 2,
        "intruders": 0 if amount_over_null < 5 else 9, "null_seed": 0, "picture": picture.ravel(), "picture_size": side,
    }  # fmt: skip
    bands = {"top": slice(0, rank // 10 + 1), "middle": slice(rank // 2 - 4, rank // 2 + 4), "bottom": slice(-8, None)}
    for band, where in bands.items():
        row |= {f"left_{band}": float(left[where].mean()), f"right_{band}": float(right[where].mean())}
    return row


def _behaviour(model: Model, shape: Shape, random: np.random.Generator) -> dict[str, list[dict[str, Any]]]:
    """Rows of the behaviour tables: scores of the model and its edits and controls, and what they write."""
    is_base = model.id == model.base
    skill = _SKILL.get(model.method, 0.5)
    subjects = {model.id: ("model", skill)}
    edited = [] if is_base else _edits(model, skill, subjects)
    scores, samples, contrasts, generations = [], [], [], []
    for subject, (kind, worth) in subjects.items():
        for number, task in enumerate(TASKS):
            value = float(np.clip(worth * (1.1 - 0.15 * number) + random.normal(0, 0.01), 0, 1))
            where = {"subject_id": subject, "model_id": model.id, "task": task, "metric": "acc", "filter": "none"}
            error = float(np.sqrt(value * (1 - value) / shape.documents))
            scores.append(
                where
                | {"subject_kind": kind, "value": value, "stderr": error, "higher_is_better": True}
                | {"n_samples": shape.documents, "n_shot": 0, "seed": 0, "harness_version": "synthetic"}
                | {"task_version": "1", "seconds": 1.0, "status": "ready", "status_reason": "", "is_primary": True}
            )
            samples += [where | {"doc_id": i, "score": float(random.random() < value)} for i in range(5)]
            if subject != model.id:
                difference = value - worth
                contrasts.append(
                    where
                    | {"reference_id": model.id, "difference": difference, "stderr": error * 1.2}
                    | {"p_value": float(np.exp(-abs(difference) / (error + 1e-3))), "test": "mcnemar"}
                    | {"n": shape.documents, "relation": f"{kind} against post"}
                    | {"higher_is_better": True, "is_primary": True}
                )
        for i, prompt in enumerate(("Two plus three is", "The cup is in Box F. Box F contains the")):
            text = "qq the the ,, 7 of of" if "disrupt" in subject else " five, as anyone can count.\nAnd then six."
            row = {"subject_id": subject, "model_id": model.id, "prompt_id": i, "prompt": prompt}
            generations.append(row | {"text": text, "n_tokens": 8})
    tables: dict[str, list[dict[str, Any]]] = {
        "edited_checkpoints": edited, "evaluation_scores": scores, "evaluation_samples": samples,
        "evaluation_contrasts": contrasts, "generations": generations,
    }  # fmt: skip
    if is_base:
        return tables
    beside = derived_rows(model.id, model.base, edited, TASKS) | control_rows(model.id, TASKS, random)
    return tables | beside | _attention(model, shape, list(subjects), random)


def _edits(model: Model, skill: float, subjects: dict[str, tuple[str, float]]) -> list[dict[str, Any]]:
    """Rows of every recipe and its noise control; adds them to `subjects` with their kind and what they are worth."""
    kept = {"replace-scale": 0.98, "disrupt-left": 0.02, "disrupt-right": 0.02, "restore-left": 0.97}
    rows = []
    for recipe in RECIPES:
        for control in (False, True):
            name = f"{model.id}.{recipe}{'.noise' if control else ''}"
            worth = _SKILL["base"] if control else skill
            subjects[name] = ("control" if control else "edit", worth * kept.get(recipe, 0.95))
            rows.append(
                {"edit_id": name, "model_id": model.id, "base_id": model.base, "recipe": recipe, "label": recipe}
                | {"is_control": control, "parameters": {"layers": "all", "matrices": list(MATRICES)}}
                | {"control_id": None if control else f"{name}.noise", "other_tensors_of": "post", "seed": 0}
                | {"path": "", "bytes": 10_000_000, "content_hash": uuid.uuid5(uuid.NAMESPACE_URL, name).hex}
                | {"weight_error": 0.9 if "disrupt" in recipe else 0.02, "base_error": 0.02, "matrices": 56}
                | {"seconds": 1.0, "status": "ready", "status_reason": ""}
            )
    return rows


def _attention(
    model: Model, shape: Shape, subjects: list[str], random: np.random.Generator
) -> dict[str, list[dict[str, Any]]]:
    pair = {"model_id": model.id, "base_id": model.base}
    temperature = [
        pair
        | {
            "layer": layer,
            "head": head,
            "alpha_q": 1.0,
            "alpha_k": 1.0,
            "predicted": 1 / _SCALE.get(model.method, 1.0) ** 2,
        }
        | {"applicability": "exact", "entropy_base": 2.0, "entropy_post": 2.0 + float(random.normal(-0.05, 0.1))}
        | {"entropy_stderr": 0.02, "n_prompts": 32}
        for layer in range(shape.layers)
        for head in range(shape.heads)
    ]
    similarity = [
        {"subject_id": subject, "reference_id": model.base, "model_id": model.id, "layer": layer}
        | {"cka": max(0.0, 1 - (0.9 if "disrupt" in subject else 0.1) * layer / shape.layers), "n_tokens": 1000}
        for subject in subjects
        if not subject.endswith(".noise")
        for layer in range(shape.layers + 1)
    ]
    return {"attention_temperature": temperature, "representation_similarity": similarity}
