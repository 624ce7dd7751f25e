"""How alike two models represent the same text: linear centred kernel alignment, in its unbiased form."""

from __future__ import annotations

import torch

from rotoscale.errors import RotoscaleError
from rotoscale.linalg import product

FEWEST = 4
"""The unbiased estimator divides by n - 3."""


class SimilarityError(RotoscaleError):
    """Representations that cannot be compared."""


def linear_cka(X: torch.Tensor, Y: torch.Tensor) -> float | None:
    """Unbiased linear CKA of representations X (n x d) and Y (n x e) of the same n inputs.

    `HSIC(X, Y) / sqrt(HSIC(X, X) HSIC(Y, Y))` (Kornblith et al. 2019) with the unbiased HSIC of Song et al. 2012,
    whose expectation is zero for independent representations however wide they are; the biased form approaches one as
    the width approaches the number of inputs. 1 for representations equal up to rotation, scale and shift; it can be
    slightly negative. None where a representation does not vary.

    Raises SimilarityError for different or too few inputs.
    """
    if X.shape[0] != Y.shape[0] or X.shape[0] < FEWEST:
        raise SimilarityError(f"{X.shape[0]} and {Y.shape[0]} inputs; give the same at least {FEWEST} to both")
    K, L = _kernel(X), _kernel(Y)
    xx, yy = _unbiased_hsic(K, K), _unbiased_hsic(L, L)
    if xx <= 0 or yy <= 0:
        return None
    return _unbiased_hsic(K, L) / (xx * yy) ** 0.5


def _kernel(X: torch.Tensor) -> torch.Tensor:
    """Inner products of the centred inputs, float64, with an empty diagonal (n x n)."""
    X = X.to(torch.float64)
    X = X - X.mean(0)  # leaves the estimator as it is and keeps it accurate where a mean dwarfs the variation
    K = product(X, X.T)
    K.fill_diagonal_(0.0)
    return K


def _unbiased_hsic(K: torch.Tensor, L: torch.Tensor) -> float:
    """`[tr(KL) + (1'K1)(1'L1) / ((n-1)(n-2)) - 2/(n-2) 1'KL1] / (n (n-3))` for kernels with an empty diagonal."""
    n = K.shape[0]
    k, ell = K.sum(0), L.sum(0)
    terms = float((K * L).sum()) + float(k.sum() * ell.sum()) / ((n - 1) * (n - 2)) - 2 / (n - 2) * float(k @ ell)
    return terms / (n * (n - 3))
