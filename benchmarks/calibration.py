"""Calibration and power of left-right agreement on changes whose truth is known, by simulation with fixed seeds.

Prints the table of docs/methods.md, section 2b: for each kind of change the share of seeds called together and apart
at nominal 5 % (one-sided, one matrix, no correction), the mean of tau, and for comparison the share called together
by the plain z alone and by NF below 0.9 of its simulated null.

    .venv/bin/python -m benchmarks.calibration [--seeds 200]
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from rotoscale import decompose
from rotoscale.agreement import agreement
from rotoscale.noise_null import noise_nf
from tests.rotoscale.known_changes import NOISE, Change, gaussian, independent_rotations, shared

SHAPES = [(96, 96), (128, 64)]
CHANGES: dict[str, Change] = NOISE | {
    "10 % of the energy shared": shared(0.10),
    "3 % of the energy shared": shared(0.03),
    "1 % of the energy shared": shared(0.01),
    "independent small rotations": independent_rotations,
}
NULL_DRAWS = 3


def nf(W: torch.Tensor, X: torch.Tensor) -> float:
    """NF by the book."""
    (U, s, Vh), (U2, _, Vh2) = (np.linalg.svd(Y.numpy(), full_matrices=False) for Y in (W, X))
    return float(np.linalg.norm((U.T @ U2).T @ (Vh @ Vh2.T) - np.eye(len(s))) / len(s) ** 0.5)


def measured(change: Change, shape: tuple[int, int], seeds: int) -> list[float]:
    """Shares called together, apart, by z alone, by NF, and the means of tau and of tau without gains."""
    found = []
    for seed in range(seeds):
        generator = torch.Generator().manual_seed(seed)
        W = gaussian(generator, *shape)
        base = decompose(W)
        dW = change(generator, W, base)
        row = agreement(base, W, W + dW, seed=seed, draws=9_999, gains=True)
        null = np.median([noise_nf(base, float(dW.norm()), draw, W) for draw in range(NULL_DRAWS)])
        called = [row.p_together < 0.05, row.p_apart < 0.05, row.z > 1.645, nf(W, W + dW) / null < 0.9]
        found.append([*called, row.tau, row.tau_without_gains])
    return np.mean(np.array(found, dtype=float), 0).tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=200)
    seeds = parser.parse_args().seeds
    torch.set_num_threads(1)
    print("| change | shape | together | apart | by z alone | NF below 0.9 of its null | mean tau | without gains |")
    print("|---|---|---|---|---|---|---|---|")
    for name, change in CHANGES.items():
        for shape in SHAPES:
            *shares, tau, without = measured(change, shape, seeds)
            cells = [name, f"{shape[0]} x {shape[1]}", *(f"{100 * x:.0f} %" for x in shares)]
            print(f"| {' | '.join(cells)} | {tau:.3f} | {without:.3f} |", flush=True)


if __name__ == "__main__":
    main()
