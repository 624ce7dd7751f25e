"""Number formats: whether values lie on one's grid, and how far rounding to it moves them."""

from __future__ import annotations

import torch

FORMATS = ("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")
"""Formats that weights are rounded to, finest first (by bits of the significand)."""

_BLOCK = 1 << 20


def dtype_of(name: str) -> torch.dtype:
    """The torch dtype of a format; of a name that is none of FORMATS, float32, which everything is read as."""
    return getattr(torch, name) if name in FORMATS else torch.float32


def unit_roundoff(name: str) -> float:
    """Largest relative error of one rounding to a format, u."""
    return float(torch.finfo(dtype_of(name)).eps) / 2


def is_finer(one: str, other: str) -> bool:
    """Whether rounding to `one` moves a number less than rounding to `other`."""
    return unit_roundoff(one) < unit_roundoff(other)


def spacing(X: torch.Tensor, name: str) -> torch.Tensor:
    """Distance between neighbours of a format around each element, float64, in the shape of `X`.

    At a power of two, where the two sides differ, the wider one.
    """
    info = torch.finfo(dtype_of(name))
    _, exponent = torch.frexp(X.double())
    lowest = torch.frexp(torch.tensor(info.smallest_normal, dtype=torch.float64)).exponent
    exponent = torch.where(X == 0, lowest, exponent.clamp(min=int(lowest)))
    return torch.ldexp(torch.full_like(exponent, info.eps, dtype=torch.float64), exponent - 1)


def on_grid(X: torch.Tensor, name: str) -> bool:
    """Whether every element is a number of the format."""
    dtype = dtype_of(name)
    return all(torch.equal(x.to(dtype).to(x.dtype), x) for x in X.flatten().split(_BLOCK))


def formats_of(X: torch.Tensor, stored: str) -> list[str]:
    """Formats that `X` may have been rounded to last: the one it is stored in, and coarser ones whose grid it lies on.

    Finest first.
    """
    stored = stored if stored in FORMATS else "float32"
    return [stored] + [name for name in FORMATS if is_finer(stored, name) and on_grid(X, name)]
