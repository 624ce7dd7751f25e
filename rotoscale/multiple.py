"""Many tests at once: the false discovery rate, and when a matrix is said to have changed together or apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rotoscale.agreement_statistics import AgreementStatistics

LEVEL = 0.05
"""A matrix is called at q below this."""

WORTH_SAYING = 0.05
"""And at |tau| above this: on a large matrix far smaller ones are significant."""


def benjamini_hochberg(p_values: Sequence[float | None]) -> list[float | None]:
    """q values of the tests in their order (Benjamini and Hochberg 1995); None stays None and does not count."""
    known = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    q: list[float | None] = [None] * len(p_values)
    smallest = 1.0
    for rank in range(len(known), 0, -1):
        p, i = known[rank - 1]
        smallest = min(smallest, p * len(known) / rank)
        q[i] = smallest
    return q


def corrected(rows: Sequence[AgreementStatistics]) -> list[AgreementStatistics]:
    """The rows of one model with q_together and q_apart, each tail corrected over the model's matrices."""
    together = benjamini_hochberg([row.p_together for row in rows])
    apart = benjamini_hochberg([row.p_apart for row in rows])
    return [replace(row, q_together=t, q_apart=a) for row, t, a in zip(rows, together, apart, strict=True)]


def called_together(tau: float | None, q_together: float | None) -> bool:
    """Whether left and right are said to have changed together: tau > 0.05 and q < 0.05."""
    return tau is not None and q_together is not None and tau > WORTH_SAYING and q_together < LEVEL


def called_apart(tau: float | None, q_apart: float | None) -> bool:
    """Whether left and right are said to have changed apart: tau < -0.05 and q < 0.05."""
    return tau is not None and q_apart is not None and tau < -WORTH_SAYING and q_apart < LEVEL
