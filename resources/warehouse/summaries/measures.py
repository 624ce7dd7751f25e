"""The aggregates that summaries are made of, as SQL: every one leaves out what is missing or not finite."""

from __future__ import annotations

from collections.abc import Iterable

from rotoscale.multiple import LEVEL, WORTH_SAYING

PRINCIPAL = ("q", "k", "v", "o", "gate", "up", "down")
"""Matrix types as they follow each other in a block."""

ORDER_OF_TYPES = f"list_position({list(PRINCIPAL)!r}, matrix) NULLS LAST, matrix"
"""The same for ORDER BY; an architecture's own words come last, by name."""

TOGETHER = f"(tau > {WORTH_SAYING} AND q_together < {LEVEL})"
APART = f"(tau < -{WORTH_SAYING} AND q_apart < {LEVEL})"
"""When a matrix is said to have changed together or apart: `rotoscale.multiple`, as a condition on `agreement`."""

FORGOTTEN = "forgotten"
"""Status of a model whose rows were removed on request: it stays registered and out of every list."""


def in_order(matrices: Iterable[str]) -> list[str]:
    """Matrix types as they follow each other in a block; an architecture's own words come last, by name."""
    return sorted(matrices, key=lambda m: (PRINCIPAL.index(m) if m in PRINCIPAL else len(PRINCIPAL), m))


def median(value: str) -> str:
    """Median of the finite values of an expression."""
    return f"median({value}) FILTER (isfinite({value}))"


def quantile(value: str, share: float) -> str:
    """Quantile of the finite values of an expression, interpolated linearly."""
    return f"quantile_cont({value}, {share}) FILTER (isfinite({value}))"


def largest(value: str) -> str:
    """Largest of the finite values of an expression."""
    return f"max({value}) FILTER (isfinite({value}))"


_SQUARES = "sum(({}) ** 2) FILTER (isfinite(relative_change * base_norm))"

RELATIVE_CHANGE = f"sqrt({_SQUARES.format('relative_change * base_norm')} / nullif({_SQUARES.format('base_norm')}, 0))"
"""|post - base| / |base| of several tensors taken as one vector: root of the summed squares of the changes over that of
the base's norms. The rows have `relative_change` of a single tensor and `base_norm`, its Frobenius norm in the base."""

WHERE_TEXT = "The matrix type and the layer that changed most, each with |post - base| / |base| over all its matrices."

RELATIVE_CHANGE_TEXT = "|post - base| / |base| over all principal matrices together: root of the summed squares."
