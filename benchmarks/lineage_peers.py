"""Two published ways to tell relatives by their weights, written anew from public descriptions of them.

**AWM** (arXiv 2510.06738): a signed permutation of the residual dimensions is found by linear assignment between the
embeddings' columns, the attention matrices are aligned by it and compared by unbiased linear CKA, which sees no
rotation inside the heads. A score between 0 and 1, read against a threshold.

**MDIR** (arXiv 2508.06309), its idea: the orthogonal matrix that leads from one embedding to the other is near a signed
permutation only if the two are related; how near its trace can come by chance is bounded by a large deviation of Haar
matrices. The same of the queries after that map. A p value.

What those leave open is our choice: which matrices (q and k of AWM, the embedding
and q of MDIR), the same layers as our own tests, and the bound below.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from rotoscale.lineage.basis import residual_map
from tests.attacks import Weights

EMBEDDING = "model.embed_tokens.weight"


def _embeddings(a: Weights, b: Weights) -> tuple[torch.Tensor, torch.Tensor]:
    tokens = min(len(a.state[EMBEDDING]), len(b.state[EMBEDDING]))
    return a.state[EMBEDDING][:tokens].double(), b.state[EMBEDDING][:tokens].double()


def awm(a: Weights, b: Weights) -> float:
    """Mean unbiased CKA of q and k over layers, the residual dimensions aligned by a signed permutation."""
    E, F = (X / X.norm(dim=0).clamp_min(1e-30) for X in _embeddings(a, b))
    cosines = (E.T @ F).numpy()
    _, order = linear_sum_assignment(np.abs(cosines), maximize=True)
    signs = torch.from_numpy(np.sign(cosines[np.arange(len(order)), order]))
    found = []
    for layer in a.layers:
        for part in "qk":
            X = a.state[a.name(layer, part)].double().T
            Y = b.state[b.name(layer, part)].double().T[order] * signs[:, None]
            found.append(unbiased_cka(X, Y))
    return float(np.mean(found))


def unbiased_cka(X: torch.Tensor, Y: torch.Tensor) -> float:
    """Linear CKA (n x p, n x q: things by features) with the unbiased estimate of HSIC of Song et al."""
    n = len(X)

    def hsic(K: torch.Tensor, L: torch.Tensor) -> float:
        K, L = K - torch.diag(K.diagonal()), L - torch.diag(L.diagonal())
        whole = K.sum() * L.sum() / ((n - 1) * (n - 2))
        mixed = 2 * (K.sum(0) @ L.sum(0)) / (n - 2)
        return float(((K * L).sum() + whole - mixed) / (n * (n - 3)))

    K, L = X @ X.T, Y @ Y.T
    norm = hsic(K, K) * hsic(L, L)
    return hsic(K, L) / math.sqrt(norm) if norm > 0 else 0.0


def mdir(a: Weights, b: Weights) -> tuple[float, float]:
    """log10 of the bound on p by the embeddings, and by the queries after their map (smallest layer, times layers)."""
    Q = residual_map(*_embeddings(a, b))
    by_queries = []
    for layer in a.layers:
        A, B = (w.state[w.name(layer, "q")].double() for w in (a, b))
        U, _, Vh = torch.linalg.svd((A @ Q) @ B.T)
        by_queries.append(log_p(U @ Vh))
    return log_p(Q), min(0.0, min(by_queries) + math.log10(len(by_queries)))


def log_p(U: torch.Tensor) -> float:
    """log10 of a bound on the chance that a Haar matrix U (n x n) comes as near to a signed permutation as this one.

    A union over n! 2^n signed permutations of `P(tr U >= x n) ~ exp(-n^2 I(x))`, with the rate of the orthogonal group:
    `I = x^2 / 2` up to x = 1/2, `1/8 - log(2 (1 - x)) / 4` above. From the free energy of Gross and Witten's model.
    """
    n = len(U)
    absolute = U.abs().numpy()
    rows, columns = linear_sum_assignment(absolute, maximize=True)
    x = min(float(absolute[rows, columns].mean()), 1 - 1e-12)
    rate = x * x / 2 if x <= 0.5 else 1 / 8 - math.log(2 * (1 - x)) / 4
    return max(min(0.0, (math.lgamma(n + 1) + n * math.log(2) - n * n * rate) / math.log(10)), -300.0)
