"""Does it matter where in the spectrum an adapter starts? LoRA from five starts on the demo base, three seeds each.

    python -m benchmarks.adapter_init --out results.jsonl          # trains what is missing, a few minutes of CPU
    python -m benchmarks.adapter_init --out results.jsonl --report docs/adapter-init.png

Every run trains on turns of a conversation, which the base cannot do, with the same steps, rate, rank and rows; a seed
decides the rows (and which components a random band has), so that arms are compared seed by seed. Beside the four bands
stands a plain LoRA, which starts at zero on the whole base. Loss on held-out turns is what was learned; loss on
held-out stories, sums and questions, less the base's, is what was forgotten.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats

from rotoscale.adapter_start import STARTS

PLAIN = "plain"
ARMS = (*STARTS, PLAIN)
SEEDS = (1, 2, 3)
STEPS, ROWS, RANK, RATE, WARMUP = 100, 8, 8, 1e-3, 10
MEASURED_AT = (0, 10, 30, 100)
MIXTURE = {"turns": 1.0}
LEARNED = "turns"
FORGOTTEN = ("stories", "arithmetic", "questions")
DOCUMENTS = 40


def held_out() -> dict[str, list[tuple[str, str]]]:
    """Prompts and answers of each kind; of stories the whole text is the answer."""
    from demo import arithmetic, questions, stories

    found = {
        "turns": questions.held_out_turns(DOCUMENTS),
        "arithmetic": arithmetic.held_out_examples(DOCUMENTS),
        "questions": questions.held_out_examples(DOCUMENTS),
    }
    pairs = {name: [(one.prompt, one.answer) for one in examples] for name, examples in found.items()}
    return pairs | {"stories": [("", text) for text in stories.held_out_stories(DOCUMENTS)]}


def losses(model: Any, tokenizer: Any, texts: dict[str, list[tuple[str, str]]]) -> dict[str, float]:
    """Mean loss per token of the answers of each kind, in nats."""
    from resources.evaluation.log_likelihood import log_likelihoods

    found = {}
    model.eval()
    for name, pairs in texts.items():
        encoded = []
        for prompt, answer in pairs:
            context = list(tokenizer(prompt).input_ids) if prompt else [tokenizer.bos_token_id]
            encoded.append((context, list(tokenizer(answer, add_special_tokens=False).input_ids)))
        scored = log_likelihoods(model, encoded, longest=255)
        found[name] = -sum(total for total, _, _ in scored) / sum(len(answer) for _, answer in encoded)
    return found


def start(arm: str, seed: int, folder: Path) -> Any:
    """The demo base with an adapter at its start, by PEFT, from what `rotoscale adapter-init` writes."""
    import peft

    from demo.shipped import CHECKPOINTS, load
    from demo.stages import PROJECTIONS
    from resources.adapter_init import write_adapter_start
    from resources.checkpoints import open_checkpoint
    from resources.factors import FactorStore

    torch.manual_seed(seed)
    if arm == PLAIN:
        settings = peft.LoraConfig(r=RANK, lora_alpha=RANK, target_modules=list(PROJECTIONS), task_type="CAUSAL_LM")
        return peft.get_peft_model(load(CHECKPOINTS / "demo-base"), settings)
    base = open_checkpoint(CHECKPOINTS / "demo-base")
    written = write_adapter_start(base, folder, FactorStore(folder.parent / "factors"), band=arm, rank=RANK, seed=seed)
    return peft.PeftModel.from_pretrained(load(written.base), str(written.adapter), is_trainable=True)


def run(arm: str, seed: int) -> dict[str, Any]:
    """Train one adapter; its loss curve and what it had learned and forgotten on the way."""
    from demo import tokenizer
    from demo.corpus import Sampler
    from demo.train import loss_of

    began = time.process_time()
    with tempfile.TemporaryDirectory() as scratch:
        model = start(arm, seed, Path(scratch) / "start")
    words, texts = tokenizer.build(), held_out()
    sampler = Sampler(MIXTURE, seed)
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=RATE, betas=(0.9, 0.98), weight_decay=0.0)
    torch.manual_seed(seed)  # which prose tokens count in the loss
    curve, measured = [], {0: losses(model, words, texts)}
    for step in range(STEPS):
        model.train()
        ids, weights = map(torch.from_numpy, sampler.batch(ROWS, step / STEPS))
        loss = loss_of(model, ids, weights)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / WARMUP) * 0.5 * (1 + math.cos(math.pi * step / STEPS))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        curve.append(loss.item())
        if step + 1 in MEASURED_AT:
            measured[step + 1] = losses(model, words, texts)
    return {
        "arm": arm, "seed": seed, "curve": curve, "measured": measured, "seconds": time.process_time() - began,
    }  # fmt: skip


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and half of its 95 % t-interval over the seeds."""
    n = len(values)
    return float(np.mean(values)), float(stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / n**0.5)


def at_end(runs: Sequence[dict[str, Any]], arm: str, what: str, step: int = STEPS) -> list[float]:
    """Of each seed of an arm: loss on held-out turns, or the rise of a forgotten kind's (or their mean's) loss."""
    found = []
    for one in sorted((one for one in runs if one["arm"] == arm), key=lambda one: one["seed"]):
        before, after = one["measured"]["0"], one["measured"][str(step)]
        kinds = FORGOTTEN if what == "forgotten" else (what,)
        rise = float(np.mean([after[kind] - before[kind] for kind in kinds]))
        found.append(after[what] if what == LEARNED else rise)
    return found


def report(runs: Sequence[dict[str, Any]], picture: Path | None) -> None:
    """Print the tables of docs/adapter-init.md; draw the curves."""
    print(
        "| start | loss on turns | less plain's | loss on the rest, rise | less plain's | stories | sums | questions |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for arm in ARMS:
        cells = []
        for what in (LEARNED, "forgotten"):
            values, plain = at_end(runs, arm, what), at_end(runs, PLAIN, what)
            cells.append("{:.3f} ± {:.3f}".format(*interval(values)))
            difference = [one - other for one, other in zip(values, plain, strict=True)]
            cells.append("" if arm == PLAIN else "{:+.3f} ± {:.3f}".format(*interval(difference)))
        cells += ["{:.3f} ± {:.3f}".format(*interval(at_end(runs, arm, kind))) for kind in FORGOTTEN]
        print(f"| {arm} | {' | '.join(cells)} |")
    print("\n| start | " + " | ".join(f"step {step}" for step in MEASURED_AT) + " |")
    print("|---" * (len(MEASURED_AT) + 1) + "|")
    for arm in ARMS:
        cells = ["{:.3f} ± {:.3f}".format(*interval(at_end(runs, arm, LEARNED, step))) for step in MEASURED_AT]
        print(f"| {arm} | {' | '.join(cells)} |")
    if picture is not None:
        draw(runs, picture)


def draw(runs: Sequence[dict[str, Any]], picture: Path) -> None:
    """Training loss, and what was forgotten, by step: means over seeds with their intervals."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    width = 10
    for number, arm in enumerate(ARMS):
        curves = np.array([one["curve"] for one in runs if one["arm"] == arm])
        binned = curves.reshape(len(curves), -1, width).mean(2)
        steps = np.arange(width, STEPS + 1, width)
        half = stats.t.ppf(0.975, len(curves) - 1) * binned.std(0, ddof=1) / len(curves) ** 0.5
        left.plot(steps, binned.mean(0), color=f"C{number}", label=arm)
        left.fill_between(steps, binned.mean(0) - half, binned.mean(0) + half, color=f"C{number}", alpha=0.15)
        there = [interval(at_end(runs, arm, "forgotten", step)) for step in MEASURED_AT[1:]]
        offset = np.array(MEASURED_AT[1:]) * 1.02**number
        right.errorbar(offset, [m for m, _ in there], [h for _, h in there], color=f"C{number}", label=arm, capsize=2)
    left.set(xlabel="step", ylabel="training loss (nats per token)", yscale="log")
    right.set(xlabel="step", ylabel="rise of held-out loss on the rest", xscale="log")
    left.legend(frameon=False)
    figure.savefig(picture, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="results, a line each; what is there is not run again")
    parser.add_argument("--report", type=Path, help="print the tables and draw this picture from what is there")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    runs = [json.loads(line) for line in chosen.out.read_text().splitlines()] if chosen.out.exists() else []
    if chosen.report:
        return report(runs, chosen.report)
    there = {(one["arm"], one["seed"]) for one in runs}
    for seed in SEEDS:
        for arm in ARMS:
            if (arm, seed) in there:
                continue
            made = run(arm, seed)
            with chosen.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(made) + "\n")
            last = made["measured"][STEPS]
            print(
                arm,
                seed,
                {name: round(value, 3) for name, value in last.items()},
                f"{made['seconds']:.0f} s",
                flush=True,
            )
    return None


if __name__ == "__main__":
    main()
