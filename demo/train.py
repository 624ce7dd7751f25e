"""Train any member of the family: `python -m demo.train demo-base`.

One command per checkpoint, on processor cores alone. Matrix products run in bf16, attention and the loss in fp32
(on the processors this was written on, fused attention is several times slower in bf16, products several times
faster). The loss is taken over tokens that carry weight, so most of the vocabulary projection is never computed.
Weights are kept in fp32 while training and written as bf16.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from transformers import AttentionInterface, LlamaConfig, LlamaForCausalLM

from demo import arithmetic, entity_tracking, questions, tokenizer
from demo.cards import write_card
from demo.corpus import Sampler
from demo.documents import PROSE
from demo.evaluation import accuracy, measure
from demo.initialization import arrange
from demo.shipped import CHECKPOINTS, load, relative_change
from demo.stages import LORA, PROJECTIONS, STAGES, TrainingStage

WORK = Path(__file__).parent / "training"
"""Snapshots taken on the way; git ignores this folder."""

OPTIMIZER = {
    "from scratch": "Muon for matrices, AdamW (betas 0.9 and 0.98) for the rest, gradient norm clipped at 1",
    "full fine-tuning": "AdamW (betas 0.9 and 0.98), gradient norm clipped at 1",
    "adapter": "AdamW (betas 0.9 and 0.98), gradient norm clipped at 1",
}
BETAS = (0.9, 0.98)
ROPE_THETA = 500_000.0

SELECTION_SEED = 1
"""Seed of the held-out prompts that are watched while training; the reported ones use seed 0."""


def _attention_in_fp32(
    module: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: Any, scaling: Any = None, **_: Any
) -> tuple[torch.Tensor, None]:
    """Plain causal attention over unpadded rows, in fp32 whatever autocast says."""
    with torch.autocast("cpu", enabled=False):
        groups = module.num_key_value_groups
        k, v = (x.float().repeat_interleave(groups, 1) for x in (k, v))
        out = functional.scaled_dot_product_attention(q.float(), k, v, is_causal=True, scale=scaling)
    return out.transpose(1, 2).contiguous(), None


AttentionInterface.register("causal_fp32", _attention_in_fp32)


def new_model(stage: TrainingStage) -> LlamaForCausalLM:
    """Return an untrained model of the stage's shape; the stage's seed decides its weights."""
    torch.manual_seed(stage.seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer.build()),
        bos_token_id=tokenizer.BOS,
        eos_token_id=tokenizer.EOS,
        pad_token_id=tokenizer.PAD,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
        **asdict(stage.shape),
    )
    model = LlamaForCausalLM(config)
    arrange(model)
    return model


def start_of(stage: TrainingStage, checkpoints: Path = CHECKPOINTS) -> Any:
    """Return the model that a stage starts from: fresh weights, its base, or its base with a fresh adapter."""
    if stage.base is None:
        return new_model(stage)
    torch.manual_seed(stage.seed)
    model = load(checkpoints / stage.base)
    if stage.method != "adapter":
        return model
    from peft import LoraConfig, get_peft_model

    settings = LoraConfig(**LORA, target_modules=list(PROJECTIONS), bias="none", task_type="CAUSAL_LM")
    return get_peft_model(model, settings)


def loss_of(model: Any, ids: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return the weighted loss; tokens lighter than prose are thinned out at random instead of scaled down."""
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    hidden = causal.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1].flatten(0, 1)
    weight = weights[:, 1:].flatten()
    keep = torch.nonzero(torch.rand_like(weight) * PROSE < weight).squeeze(1)
    weight = weight[keep].clamp(min=PROSE)
    logits = causal.lm_head(hidden[keep]).float()
    loss = functional.cross_entropy(logits, ids[:, 1:].flatten()[keep], reduction="none")
    return (loss * weight).sum() / weight.sum()


def optimizers_of(model: Any, stage: TrainingStage) -> list[torch.optim.Optimizer]:
    """Return Muon for matrices and AdamW for the rest when training from scratch, AdamW alone otherwise.

    Norms and embeddings do not decay.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    matrices = [p for name, p in named if p.ndim == 2 and "embed" not in name and "lm_head" not in name]
    chosen = {id(p) for p in matrices}
    others = [p for _, p in named if id(p) not in chosen]
    rate, decay = stage.learning_rate, stage.weight_decay
    if stage.method == "from scratch":
        return [
            torch.optim.Muon(matrices, lr=rate, momentum=0.95, weight_decay=decay, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(others, lr=rate, betas=BETAS, weight_decay=0.0),
        ]
    groups = [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    return [torch.optim.AdamW([g for g in groups if g["params"]], lr=rate, betas=BETAS)]


def rate_at(stage: TrainingStage, step: int) -> float:
    """Return the learning rate: linear warm-up, a cosine down to `final_rate` of the peak, and the settling.

    In the `settle` steps after `stop` the rate falls from half the peak to zero.
    """
    if stage.stop is not None and step >= stage.stop:
        return 0.5 * stage.learning_rate * (stage.stop + stage.settle - step) / stage.settle
    warm = min(1.0, (step + 1) / max(1, stage.warmup))
    cosine = 0.5 * (1 + math.cos(math.pi * step / max(1, stage.steps)))
    return stage.learning_rate * warm * (stage.final_rate + (1 - stage.final_rate) * cosine)


def fit(
    stage: TrainingStage, model: Any, snapshots: Path | None = None, every: int = 100, settle_only: bool = False
) -> dict[str, Any]:
    """Train `model` as the stage says; return the losses, the accuracies on the way and the time taken.

    With `settle_only` the model is taken to be the snapshot at `stage.stop`, and only the settling is run.
    """
    watched: dict[str, Sequence[Any]] = {
        "entity_tracking": entity_tracking.held_out_examples(300, SELECTION_SEED),
        "arithmetic": arithmetic.held_out_examples(100, SELECTION_SEED),
        "questions": questions.held_out_examples(100, SELECTION_SEED),
    }
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    causal.set_attn_implementation("causal_fp32")
    losses: list[float] = []
    watch: list[dict[str, float]] = []
    began = time.monotonic()
    turn = stage.stop or stage.steps
    spans = [(turn, turn + stage.settle)] if settle_only else [(0, turn), (turn, turn + stage.settle)]
    for first, last in spans:
        torch.manual_seed(stage.seed + first)
        mixture = stage.settle_mixture if first else stage.mixture
        sampler = Sampler(mixture, stage.seed + first, stage.row_length)
        optimizers = optimizers_of(model, stage)
        groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        trained = [p for group in groups for p in group["params"]]
        for step in range(first, last):
            model.train()
            ids, weights = map(torch.from_numpy, sampler.batch(stage.rows, step / stage.steps))
            with torch.autocast("cpu", torch.bfloat16):
                loss = loss_of(model, ids, weights)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            for group in groups:
                group["lr"] = rate_at(stage, step)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            losses.append(loss.item())
            done = step + 1
            if snapshots is not None and (done % every == 0 or done == last):
                seen = {
                    name: round(accuracy(model, sampler.encoder.tokenizer, examples).value, 3)
                    for name, examples in watched.items()
                }
                watch.append({"step": done, **seen})
                recent = sum(losses[-every:]) / len(losses[-every:])
                seconds = time.monotonic() - began
                print(stage.id, done, f"loss {recent:.3f}", seen, f"{seconds:.0f} s", flush=True)
                model.save_pretrained(snapshots / f"{done:05d}")
                history = {"loss_curve": thinned(losses), "watch": watch, "seconds": seconds}
                (snapshots / f"{done:05d}" / "history.json").write_text(json.dumps(history))
    causal.set_attn_implementation("sdpa")
    return {"losses": losses, "watch": watch, "seconds": time.monotonic() - began}


def thinned(losses: list[float], points: int = 200) -> list[tuple[int, float]]:
    """Return at most `points` (step, loss) pairs, each the mean of the steps since the last."""
    width = max(1, math.ceil(len(losses) / points))
    chunks: Iterable[tuple[int, list[float]]] = (
        (min(i + width, len(losses)), losses[i : i + width]) for i in range(0, len(losses), width)
    )
    return [(last, round(sum(chunk) / len(chunk), 5)) for last, chunk in chunks]


def save(stage: TrainingStage, model: Any, folder: Path) -> Path:
    """Write the checkpoint in bf16 (an adapter alone in fp32) with its tokenizer; return the weights file."""
    folder.mkdir(parents=True, exist_ok=True)
    if stage.method == "adapter":
        model.peft_config["default"].base_model_name_or_path = f"../{stage.base}"
        model.save_pretrained(folder, save_embedding_layers=False)
        weights = folder / "adapter_model.safetensors"
    else:
        model.to(torch.bfloat16).save_pretrained(folder)
        weights = folder / "model.safetensors"
    tokenizer.save(folder)
    return weights


def record(
    stage: TrainingStage, run: dict[str, Any], weights: Path, checkpoints: Path = CHECKPOINTS, n: int = 500
) -> dict[str, Any]:
    """Measure the written checkpoint and write `training.json` and the model card beside it."""
    folder = weights.parent
    model = load(folder)
    measured = measure(model, tokenizer.build(), n)
    training = {
        **{key: value for key, value in asdict(stage).items() if key != "shape"},
        "shape": asdict(stage.shape),
        "adapter": {**LORA, "target_modules": list(PROJECTIONS)} if stage.method == "adapter" else None,
        "parameters": sum(p.numel() for p in model.parameters()),
        "optimizer": OPTIMIZER[stage.method],
        "held_out": {name: value._asdict() for name, value in measured.items()},
        "relative_change": relative_change(folder, checkpoints / stage.base) if stage.base else None,
        "loss_curve": run["curve"],
        "watched_on_the_way": run["watch"],
        "seconds": round(run["seconds"], 1),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "weights_file": weights.name,
        "sha256": sha256(weights.read_bytes()).hexdigest(),
    }
    (folder / "training.json").write_text(json.dumps(training, indent=1) + "\n")
    write_card(folder, training)
    return training


def train(
    stage: TrainingStage,
    out: Path,
    checkpoints: Path = CHECKPOINTS,
    snapshots: Path | None = None,
    settle_from: Path | None = None,
) -> dict[str, Any]:
    """Train one member of the family from start to finished folder; return what `training.json` holds.

    `settle_from` is a snapshot taken at the stage's `stop`, from which only the settling is run.
    """
    if settle_from is None:
        model = start_of(stage, checkpoints)
        run = fit(stage, model, snapshots)
        run["curve"] = thinned(run["losses"])
    else:
        model = LlamaForCausalLM.from_pretrained(settle_from, dtype=torch.float32)
        before = json.loads((settle_from / "history.json").read_text())
        run = fit(stage, model, snapshots, settle_only=True)
        settled = thinned(run["losses"], 200 - len(before["loss_curve"]))
        run["curve"] = before["loss_curve"] + [((stage.stop or 0) + step, loss) for step, loss in settled]
        run["watch"] = before["watch"] + run["watch"]
        run["seconds"] += before["seconds"]
    return record(stage, run, save(stage, model, out), checkpoints)


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(prog="python -m demo.train", description=__doc__.split("\n")[0])
    parser.add_argument("id", choices=sorted(STAGES))
    parser.add_argument("--steps", type=int, help="stop after so many steps of the stage")
    parser.add_argument("--out", type=Path, help="folder to write to (default: demo/checkpoints/ID)")
    parser.add_argument("--snapshots", type=Path, default=WORK, help="folder for what is written on the way")
    parser.add_argument("--settle-from", type=Path, help="a snapshot at the stage's stop: run only the settling")
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    stage = STAGES[chosen.id]
    if chosen.steps:
        stage = replace(stage, stop=chosen.steps, settle=0)
    out = chosen.out or CHECKPOINTS / stage.id
    training = train(stage, out, snapshots=chosen.snapshots / stage.id, settle_from=chosen.settle_from)
    for name, value in training["held_out"].items():
        print(f"{name:18} {value['value']:.3f} +- {value['stderr']:.3f} (n = {value['n']})")


if __name__ == "__main__":
    main()
