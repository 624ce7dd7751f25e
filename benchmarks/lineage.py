"""Lineage under stress: every attack, unrelated models, the statistics' own null, and the time that a 7B layer takes.

    .venv/bin/python -m benchmarks.lineage --train-others 5 --steps 300 --continue-steps 200   # first, half an hour
    .venv/bin/python -m benchmarks.lineage                                                     # then, the tables

Attacks are made on `demo-math` and held against `demo-base`. Unrelated are the demo's base, its `demo-scratch`, and
models of other seeds that `--train-others` trains for the purpose with the demo's own trainer, in `--models`, outside
the repository. AWM and MDIR stand beside our two statistics (`benchmarks.lineage_peers`).
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats

from benchmarks.lineage_peers import awm, mdir
from demo.shipped import CHECKPOINTS
from resources.lineage.comparing import lineage
from resources.location import Location
from rotoscale.lineage import exact, invariant
from rotoscale.lineage.basis import residual_map
from rotoscale.lineage.control import merged
from rotoscale.lineage.exact import order_test
from rotoscale.lineage.invariant import GATED, agreement_test, neuron_order
from rotoscale.lineage.tails import excess_kurtosis
from tests import attacks
from tests.attacks import Weights, load, save

BASE = CHECKPOINTS / "demo-base"
CONTINUED = "continued"


def location(folder: Path) -> Location:
    return Location(folder, BASE if (folder / "adapter_config.json").exists() else None)


def stressed(models: Path, work: Path) -> dict[str, Path]:
    """Folders of what was done to a descendant, by what it is."""
    tuned, scratch = load(CHECKPOINTS / "demo-math"), load(CHECKPOINTS / "demo-scratch")
    made: dict[str, Callable[[Weights], Weights]] = {
        "half of the weights pruned": attacks.pruned,
        "rounded to 8 bits and back": attacks.rounded,
        **{name: (lambda w, f=attack: f(w, 1)) for name, attack in attacks.SAME_FUNCTION.items()},
        "half and half with an unrelated model": lambda w: attacks.half_and_half(w, scratch),
        "64 more tokens": attacks.grown,
    }
    found = {
        "fine-tuned (math)": CHECKPOINTS / "demo-math",
        "fine-tuned (instruct)": CHECKPOINTS / "demo-instruct",
        "fine-tuned (reasoning)": CHECKPOINTS / "demo-reasoning",
        "adapter": CHECKPOINTS / "demo-math-lora",
    }
    if (models / CONTINUED).exists():
        found["trained on"] = models / CONTINUED
    for name, attack in made.items():
        found[name] = save(attack(tuned), work / name.replace(" ", "-"), BASE)
    return found


def row(a: Path, b: Path) -> dict[str, Any]:
    """What the four methods say of a pair, and how long each took."""
    began = time.perf_counter()
    ours = lineage(location(a).open(), location(b).open())
    seconds = time.perf_counter() - began
    weights = [load(one, location(one).base) for one in (a, b)]
    began = time.perf_counter()
    score = awm(*weights)
    between = time.perf_counter()
    by_embedding, by_queries = mdir(*weights)
    return {
        "ours": ours, "awm": score, "mdir": by_embedding, "mdir_queries": by_queries, "seconds": seconds,
        "awm_seconds": between - began, "mdir_seconds": time.perf_counter() - between,
    }  # fmt: skip


def stress_table(models: Path, others: dict[str, dict[str, Any]]) -> None:
    """Every attack; an AWM score counts as found above that of every unrelated pair, MDIR's p below 1e-6."""
    highest = max(one["awm"] for one in others.values())
    print(f"\n| what was done | verdict | p_exact | p_match | distance | AWM (unrelated: up to {highest:.3f}) "
          "| MDIR log10 p: embedding, queries | seconds: ours, AWM, MDIR |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as work:
        for name, folder in stressed(models, Path(work)).items():
            one = row(BASE, folder)
            ours = one["ours"]
            awm_found = "" if one["awm"] > highest else " (missed)"
            seconds = ", ".join(f"{one[key]:.2f}" for key in ("seconds", "awm_seconds", "mdir_seconds"))
            print(f"| {name} | {ours.verdict} | {_p(ours.p_exact)} | {_p(ours.p_match)} | {ours.distance:.3f} "
                  f"| {one['awm']:.3f}{awm_found} | {one['mdir']:.0f}, {one['mdir_queries']:.0f} | {seconds} |",
                  flush=True)  # fmt: skip


def unrelated_pairs(models: Path) -> dict[str, dict[str, Any]]:
    """Every two of the unrelated models that there are."""
    folders = [BASE, CHECKPOINTS / "demo-scratch", *sorted(models.glob("other-*"))]
    print(f"{len(folders)} unrelated models, {len(folders) * (len(folders) - 1) // 2} pairs")
    return {f"{a.name} and {b.name}": row(a, b) for a, b in itertools.combinations(folders, 2)}


def false_positives(pairs: dict[str, dict[str, Any]]) -> None:
    print("\n| unrelated pair | verdict | p_exact | p_match | AWM | MDIR log10 p: embedding, queries |")
    print("|---|---|---|---|---|---|")
    for name, one in pairs.items():
        ours = one["ours"]
        print(f"| {name} | {ours.verdict} | {_p(ours.p_exact)} | {_p(ours.p_match)} | {one['awm']:.3f} "
              f"| {one['mdir']:.1f}, {one['mdir_queries']:.1f} |")  # fmt: skip
    control = [one["ours"].control_smallest_p for one in pairs.values()]
    print(f"smallest p_match of 12 unrelated pairs of layers each: {min(control):.2g}")


def own_null(pairs: int, shape: tuple[int, int] = (160, 64)) -> None:
    """Both statistics, one layer each, on matrices drawn independently: Gaussian, and with a few strong directions."""
    print(f"\n| {pairs} pairs of {shape[0]} x {shape[1]} | below 0.05 | below 0.01 | below 0.001 | smallest | KS p |")
    print("|---|---|---|---|---|---|")

    def gaussian(generator: torch.Generator) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    def spiked(generator: torch.Generator) -> torch.Tensor:
        W = gaussian(generator)
        return W + 2 * torch.randn(shape[0], 3, generator=generator) @ torch.eye(3, shape[1])

    for kind in (gaussian, spiked):
        p: dict[str, list[float]] = {"p_exact": [], "p_match": []}
        for seed in range(pairs):
            generator = torch.Generator().manual_seed(seed)
            W, X, Y, Z = (kind(generator) for _ in range(4))
            of_order = order_test(W, X, seed)
            of_match = agreement_test(*(neuron_order(*two, part, GATED, seed)
                                        for two, part in zip(((W, X), (Y, Z)), GATED, strict=True)))  # fmt: skip
            assert of_order is not None
            assert of_match is not None
            p["p_exact"].append(of_order.p)
            p["p_match"].append(of_match.p)
        for name, values in p.items():
            rates = " | ".join(f"{np.mean(np.array(values) < level):.4f}" for level in (0.05, 0.01, 0.001))
            print(
                f"| {name}, {kind.__name__} | {rates} | {min(values):.1e} | {stats.kstest(values, 'uniform')[1]:.2f} |"
            )


def seven_billion() -> None:
    """Processor seconds of the parts on synthetic matrices of a 7B model, and what a pair of four layers then takes."""
    d, m = 4096, 11008
    generator = torch.Generator().manual_seed(0)
    found: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        began = time.process_time()
        result = work()
        found[name] = time.process_time() - began
        return result

    E, F = (torch.randn(8192, d, generator=generator) for _ in range(2))
    Q = timed("map of the residual bases, 8192 tokens", lambda: residual_map(E, F))
    W, X = (torch.randn(m, d, generator=generator) for _ in range(2))
    rows = torch.linspace(0, m - 1, exact.MOST_ROWS).long()
    some = timed("512 vectors mapped", lambda: invariant.in_basis(W[: invariant.MOST_ROWS], X[0], Q))
    timed("norm folded into a whole matrix", lambda: invariant.in_basis(X, X[0]))
    timed("tails of a whole matrix", lambda: excess_kurtosis(X))
    timed("exact test, 1024 rows, unrelated", lambda: order_test(W[rows], X[rows]))
    timed("exact test, 1024 rows, merged", lambda: order_test(W[rows], merged(W[rows], X[rows])))
    timed("512 of 11008 matched, unrelated", lambda: neuron_order(some, X, "gate", GATED))
    timed("512 of 11008 matched, merged", lambda: neuron_order(some, merged(some, X), "gate", GATED))
    print("\n| part, 4096 x 11008 | processor seconds |\n|---|---|")
    for name, seconds in found.items():
        print(f"| {name} | {seconds:.1f} |")
    parts = list(found.values())
    of_layer = 2 * parts[1] + 2 * parts[2] + 4 * parts[3] + parts[4] + parts[5] + 2 * (4 * parts[6] + parts[7])
    whole = parts[0] + 4 * of_layer
    print(f"a pair of 7B models, four layers: about {whole:.0f} processor seconds of arithmetic, reading not counted")


def train(models: Path, others: int, steps: int, continue_steps: int) -> None:
    """Models of other seeds, and the math model trained on; finished ones are left as they are."""
    from demo.stages import STAGES
    from demo.train import fit, new_model, save, start_of

    for seed in range(101, 101 + others):
        stage = replace(STAGES["demo-base"], id=f"other-{seed}", seed=seed, stop=steps, settle=0)
        if not (models / stage.id / "tokenizer.json").exists():
            model = new_model(stage)
            fit(stage, model)
            save(stage, model, models / stage.id)
    if continue_steps and not (models / CONTINUED / "tokenizer.json").exists():
        stage = replace(STAGES["demo-math"], id=CONTINUED, base="demo-math", seed=99, steps=continue_steps,
                        learning_rate=4e-4)  # fmt: skip
        model = start_of(stage)
        fit(stage, model)
        save(stage, model, models / CONTINUED)


def _p(value: float | None) -> str:
    return "" if value is None else f"{value:.1e}" if value < 1e-3 else f"{value:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, default=Path(tempfile.gettempdir()) / "lineage-others")
    parser.add_argument("--train-others", type=int, default=0, metavar="N")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--continue-steps", type=int, default=0)
    parser.add_argument("--pairs", type=int, default=2000, help="pairs of matrices for the statistics' own null")
    parser.add_argument("--skip-7b", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.train_others or given.continue_steps:
        train(given.models, given.train_others, given.steps, given.continue_steps)
        return
    others = unrelated_pairs(given.models)
    false_positives(others)
    stress_table(given.models, others)
    own_null(given.pairs)
    if not given.skip_7b:
        seven_billion()


if __name__ == "__main__":
    main()
