"""Spectra of attention products: an indication for models that cannot be tested (docs/methods.md, section 5).

After GhostSpec (arXiv 2511.06390): what a head computes depends on `W_q^T W_k` and `W_o W_v` alone, whose singular
values see neither a rotated residual basis, nor another basis inside the head, nor the order of the heads. They can be
laid beside each other whatever the models' shapes and tokenizers, and have no null: models of one recipe look alike.
"""

from __future__ import annotations

import numpy as np
import torch

QUANTILES = 64


def product_spectrum(left: torch.Tensor, right: torch.Tensor, heads: int, kv_heads: int) -> np.ndarray | None:
    """Quantiles (64,) of the log singular values of `left_h^T right_g` over all heads h, g the group that serves h.

    left is q (heads*size x d) and right k (kv_heads*size x d); or o^T (heads*size x d) and v (kv_heads*size x d). The
    scale is taken out, because q and k may be scaled against each other. None where all products are zero, or the
    matrices do not divide into heads. docs/methods.md, section 5.
    """
    if heads % kv_heads or left.shape[0] % heads or right.shape[0] % kv_heads:
        return None
    of_left = _triangles(left, heads)
    of_right = _triangles(right, kv_heads).repeat_interleave(heads // kv_heads, 0)
    if of_left.shape[1:] != of_right.shape[1:]:
        return None
    values = torch.linalg.svdvals(of_left @ of_right.mT).flatten().sort(descending=True).values
    values = values[values > 1e-12 * values[0]]
    if not len(values):
        return None
    logs = values.log().cpu().numpy()
    return np.quantile(logs - logs.mean(), np.linspace(0, 1, QUANTILES))


def spectral_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Root mean squared difference of two sets of quantiles (64,) of log singular values."""
    return float(np.sqrt(np.square(a - b).mean()))


def _triangles(W: torch.Tensor, heads: int) -> torch.Tensor:
    """R (heads x size x size) of each head's `W_h^T = Q R`: `R_left R_right^T` has the values of the heads' product."""
    of_heads = W.double().reshape(heads, W.shape[0] // heads, W.shape[1]).mT
    return torch.linalg.qr(of_heads, mode="r").R
