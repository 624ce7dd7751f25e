"""Changes of a matrix whose truth is known, for tests and for the table of `benchmarks/calibration.py`."""

from __future__ import annotations

from collections.abc import Callable

import torch

from rotoscale.decomposition import Decomposition

Change = Callable[[torch.Generator, torch.Tensor, Decomposition], torch.Tensor]


def gaussian(generator: torch.Generator, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def orthogonal(generator: torch.Generator, size: int) -> torch.Tensor:
    return torch.linalg.qr(gaussian(generator, size, size))[0]


def small_rotation(generator: torch.Generator, size: int, angle: float) -> torch.Tensor:
    """exp of an antisymmetric Gaussian matrix, |Q - I|_F / sqrt(size) about `angle`."""
    X = gaussian(generator, size, size)
    return torch.matrix_exp((X - X.T) * angle / (2 * size) ** 0.5)


def sized(change: torch.Tensor, W: torch.Tensor, size: float = 0.01) -> torch.Tensor:
    """`change`, its norm made `size` of W's."""
    return change * (size * W.norm() / change.norm())


def white(generator: torch.Generator, W: torch.Tensor, base: Decomposition) -> torch.Tensor:
    return sized(gaussian(generator, *W.shape), W)


def rank_four(generator: torch.Generator, W: torch.Tensor, base: Decomposition) -> torch.Tensor:
    return sized(gaussian(generator, W.shape[0], 4) @ gaussian(generator, 4, W.shape[1]), W)


def top_block(generator: torch.Generator, W: torch.Tensor, base: Decomposition) -> torch.Tensor:
    """Noise among the eight leading components alone."""
    return sized(base.left(W)[:, :8] @ gaussian(generator, 8, 8) @ base.right(W)[:, :8].T, W)


def uneven(generator: torch.Generator, W: torch.Tensor, base: Decomposition) -> torch.Tensor:
    """Noise whose rows and columns have sizes of their own."""
    rows, columns = (gaussian(generator, size).exp() for size in W.shape)
    return sized(rows[:, None] * gaussian(generator, *W.shape) * columns, W)


def relative(generator: torch.Generator, W: torch.Tensor, base: Decomposition) -> torch.Tensor:
    """Errors in proportion to each element, as rounding makes."""
    return sized(W * gaussian(generator, *W.shape), W)


def rounding(generator: torch.Generator, W: torch.Tensor, base: Decomposition) -> torch.Tensor:
    """The error of storing W in bfloat16."""
    return W.bfloat16().double() - W


def decayed(generator: torch.Generator, W: torch.Tensor, base: Decomposition) -> torch.Tensor:
    """0.95 W and 1 % of noise."""
    return white(generator, W, base) - 0.05 * W


NOISE: dict[str, Change] = {
    "white noise": white,
    "noise of rank 4": rank_four,
    "noise in the top 8 x 8 block": top_block,
    "noise of uneven rows and columns": uneven,
    "errors relative to each element": relative,
    "rounding to bfloat16": rounding,
    "0.95 W and 1 % noise": decayed,
}
"""Changes without any agreement of the two sides."""


def shared(share: float) -> Change:
    """Noise, but `share` of its energy is symmetric in the base's vectors."""

    def change(generator: torch.Generator, W: torch.Tensor, base: Decomposition) -> torch.Tensor:
        X = gaussian(generator, base.numerical_rank, base.numerical_rank)
        agreeing = base.left(W) @ (X + X.T) @ base.right(W).T
        noise = gaussian(generator, *W.shape)
        return sized(agreeing * (share**0.5 / agreeing.norm()) + noise * ((1 - share) ** 0.5 / noise.norm()), W)

    return change


def independent_rotations(generator: torch.Generator, W: torch.Tensor, base: Decomposition) -> torch.Tensor:
    """A small rotation of the left vectors and another one of the right vectors."""
    U, V, s = base.left(W), base.right(W), base.singular_values
    return (U @ small_rotation(generator, len(s), 0.02) * s) @ (V @ small_rotation(generator, len(s), 0.02)).T - W
