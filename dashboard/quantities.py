"""The quantities that the heat maps can show: one entry each, and the only expressions a choice can lead to.

An address names a quantity by its key; what is not in here is not asked of the database. The text that explains a
quantity is the contract's own text of its column.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Quantity:
    """One number per matrix: where it is, what to call it, and which value means that nothing happened."""

    key: str
    label: str
    table: str
    column: str
    expression: str
    centre: float | None = None
    digits: int = 3
    note: str = ""


def _plain(table: str, column: str, label: str, centre: float | None = None, note: str = "") -> Quantity:
    return Quantity(column, label, table, column, f'"{column}"', centre, note=note)


_S, _R = "scale_statistics", "rotation_statistics"

SCALE = {
    q.key: q
    for q in (
        _plain(_S, "alpha_median", "α median", 1),
        _plain(_S, "alpha_mean", "α mean", 1),
        _plain(_S, "alpha_least_squares", "α least squares", 1),
        _plain(_S, "alpha_frobenius", "α Frobenius", 1),
        _plain(_S, "alpha_top", "α top tenth", 1),
        _plain(_S, "alpha_middle", "α middle tenth", 1),
        _plain(_S, "alpha_bottom", "α bottom tenth", 1),
        _plain(_S, "ratio_cv", "Unevenness (CV)"),
        _plain(_S, "unexplained", "Unexplained by α"),
    )
}

ROTATION = {
    q.key: q
    for q in (
        _plain(_R, "nf_over_null", "NF / null", 1),
        _plain(_R, "nf", "NF"),
        _plain(_R, "leak", "Leak"),
        Quantity(
            "formula_over_base",
            "Formula error / base error",
            _R,
            "formula_error",
            'formula_error / nullif("base_error", 0)',
            1,
            note="Below 1 the shared-rotation formula comes closer to the post model than the base does.",
        ),
        _plain(_R, "relative_change", "Relative change"),
        _plain(_R, "row_norm_ratio", "Row-norm ratio", 1),
        _plain(_R, "row_cosine", "Row cosine"),
        _plain(_R, "intruders", "Intruders"),
    )
}

QUANTITIES = SCALE | ROTATION

PRINCIPAL = ("q", "k", "v", "o", "gate", "up", "down")


def in_order(matrices: list[str]) -> list[str]:
    """Matrix types as they follow each other in a block; an architecture's own words come last, by name."""
    return sorted(matrices, key=lambda m: (PRINCIPAL.index(m) if m in PRINCIPAL else len(PRINCIPAL), m))
