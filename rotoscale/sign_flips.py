"""An exact test of `sum C` against random sign flips `e^T C e`: 99,999 flips for about the price of reading C.

If the signs of singular components carry nothing, flipping them, `D -> diag(e) D diag(e')`, changes nothing in
distribution, and `C = D o D^T` becomes `diag(f) C diag(f)` with random signs f. Drawn one by one, n flips cost
`n r^2`. Here they are a group: the components get distinct random numbers of L bits, and flip k of 2^L has the signs
`h_k(i) = (-1)^popcount(i & k)`. Then `h_k^T C h_k` for all k is the Walsh-Hadamard transform of the sums of C_ij over
the pairs with equal `i xor j`.

A test against all flips of a group is exact, whatever the group, because the observed value is one of its orbit and
under the null equally likely to be any of them (it remains so for a random part of the orbit that contains it). So p is
small enough for a correction over hundreds of matrices from the start, and no matrix needs a second draw.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

DRAWS = 99_999
"""Flips for one matrix."""

_ELEMENTS_AT_A_TIME = 1 << 22
_TIE = 1e-12


@dataclass(frozen=True)
class SignFlipTest:
    """One-sided p values of `sum C` being large (together) and small (apart), and the flips behind them."""

    p_together: float
    p_apart: float
    draws: int


def sign_flip_test(
    C: torch.Tensor, seed: int, *, centres: tuple[float, float] = (0.0, 0.0), draws: int = DRAWS
) -> SignFlipTest:
    """Sign-flip p values of a symmetric C (r x r, diagonal empty, float64): `p = (1 + #) / (1 + draws)`.

    `centres`: what chance is known to add to `sum C`, for `together` and for `apart`; the flips are drawn about it.
    """
    observed = float(C.sum())
    tie = _TIE * float(C.abs().sum())
    flipped = flipped_sums(C, seed, draws)
    above = int((flipped >= observed - centres[0] - tie).sum())
    below = int((flipped <= observed - centres[1] + tie).sum())
    return SignFlipTest((1 + above) / (1 + draws), (1 + below) / (1 + draws), draws)


def flipped_sums(C: torch.Tensor, seed: int, draws: int = DRAWS) -> torch.Tensor:
    """`e^T C e` (draws,) for draws random signs e other than the identity, C symmetric (r x r, float64)."""
    r = C.shape[0]
    bits = max((r - 1).bit_length(), draws.bit_length())  # distinct numbers, and enough flips beside the identity
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.randperm(1 << bits, generator=generator)[:r].to(C.device)
    kept = torch.randperm((1 << bits) - 1, generator=generator)[:draws] + 1  # flip 0 is the identity
    sums = C.new_zeros(1 << bits)
    rows = max(1, _ELEMENTS_AT_A_TIME // r)
    for some, part in zip(numbers.split(rows), C.split(rows), strict=True):
        pairs = (some[:, None] ^ numbers).flatten()
        sums += torch.bincount(pairs, part.flatten(), 1 << bits)
    return _hadamard(sums)[kept.to(C.device)]


def _hadamard(x: torch.Tensor) -> torch.Tensor:
    """Walsh-Hadamard transform of x (N,), N a power of two."""
    half = 1
    while half < len(x):
        x = x.reshape(-1, 2, half)
        x = torch.stack((x[:, 0] + x[:, 1], x[:, 0] - x[:, 1]), 1).flatten()
        half *= 2
    return x
