"""Attention temperature: what scaled query and key matrices should do, and how sharp attention is.

See docs/methods.md, section 1.
"""

from __future__ import annotations

import torch

from rotoscale.errors import MatrixError


def attention_temperature(alpha_q: float, alpha_k: float) -> float:
    """`T = 1 / (alpha_q alpha_k)`: attention logits grow by both factors, as if divided by T.

    docs/methods.md, section 1. Below one attention is sharpened, above one flattened. Only approximate where q or k
    have biases, and void where the model normalises them.

    Raises MatrixError for a factor that is not positive.
    """
    if not (alpha_q > 0 and alpha_k > 0):
        raise MatrixError(f"scale factors {alpha_q} and {alpha_k} give no temperature; both must be positive")
    return 1 / (alpha_q * alpha_k)


def attention_entropy(weights: torch.Tensor) -> torch.Tensor:
    """Mean entropy `-sum_j a_ij ln a_ij` in nats of attention weights (heads x queries x keys), by head (heads,).

    The first query is left out: it sees itself alone, and its entropy is zero in every model.
    """
    a = weights[:, 1:].to(torch.float64)
    return -torch.special.xlogy(a, a).sum(-1).mean(-1)
