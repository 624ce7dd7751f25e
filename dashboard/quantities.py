"""The quantities that pages and reports show of a matrix: one entry each, and the only expressions asked for.

An address names a quantity by its key; what is not in here is not asked of the database. The text that explains a
quantity is the published file's own text of its column. Where a quantity is shown stands in `places`:

- `map`: the heat map of its page offers it
- `matrix`: it is stated of a single matrix, on its page and in a report
- `report`: a report draws its heat map
- `family`: descendants of a family are compared by it, layer by layer
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Quantity:
    """One number per matrix: where it is, what to call it, and which value means that nothing happened."""

    page: str
    key: str
    label: str
    table: str
    column: str
    places: frozenset[str]
    expression: str
    centre: float | None = None
    digits: int = 4
    note: str = ""
    reach: float = 1.0
    """How far the fixed colour scale goes from the centre, or from 0: the same colour, the same value, everywhere."""


def _scale(column: str, label: str, places: str, centre: float | None = None, reach: float = 0.25) -> Quantity:
    where = frozenset(places.split())
    return Quantity("scale", column, label, "scale_statistics", column, where, f'"{column}"', centre, reach=reach)


def _rotation(
    column: str, label: str, places: str, centre: float | None = None, digits: int = 4, key: str = "",
    expression: str = "", note: str = "", reach: float = 1.0, table: str = "rotation_statistics",
) -> Quantity:  # fmt: skip
    return Quantity(
        "rotation", key or column, label, table, column, frozenset(places.split()),
        expression or f'"{column}"', centre, digits, note, reach,
    )  # fmt: skip


def _agreement(column: str, label: str, places: str, centre: float | None = None, **more: Any) -> Quantity:
    return _rotation(column, label, places, centre, table="agreement", **more)


QUANTITIES = {
    q.key: q
    for q in (
        _scale("alpha_median", "α median", "map matrix report family", 1),
        _scale("alpha_mean", "α mean", "map matrix", 1),
        _scale("alpha_least_squares", "α least squares", "map matrix", 1),
        _scale("alpha_frobenius", "α Frobenius", "map matrix", 1),
        _scale("alpha_top", "α top tenth", "map", 1),
        _scale("alpha_middle", "α middle tenth", "map", 1),
        _scale("alpha_bottom", "α bottom tenth", "map", 1),
        _scale("ratio_cv", "Unevenness, CV", "map matrix", reach=0.5),
        _scale("ratio_cv_noise", "CV of noise", "map matrix", reach=0.5),
        _scale("unexplained", "Unexplained by α", "map matrix", reach=0.5),
        _agreement("tau", "Agreement τ", "map matrix report family", 0, digits=3),
        _agreement("q_together", "q, together", "matrix", digits=2),
        _agreement("q_apart", "q, apart", "matrix", digits=2),
        _agreement("tau_without_gains", "τ without gains", "map matrix", 0, digits=3),
        _agreement(
            "principal_share", "Leading block", "map report", 1, digits=2, reach=4, key="principal",
            expression='principal_share / nullif("principal_share_expected", 0)',
            note="Shown over the share that white noise would put there.",
        ),
        _agreement("gains_share", "Gains", "map", digits=3),
        _rotation("nf_over_null", "NF / null", "map matrix report family", 1, digits=3),
        _rotation("nf", "NF", "map matrix", reach=1.5),
        _rotation("nf_null", "NF null, first-order", "matrix"),
        _rotation("nf_null_simulated", "NF null, simulated", "matrix"),
        _rotation("nf_unrelated", "NF unrelated", "matrix"),
        _rotation("leak", "Leak", "map matrix"),
        _rotation(
            "formula_error", "Formula / base", "map report", 1, key="formula_over_base",
            expression='formula_error / nullif("base_error", 0)',
            note="Below 1 the shared-rotation formula comes closer to the post model than the base does.",
        ),
        _rotation("formula_error", "Formula error", "matrix"),
        _rotation("base_error", "Base error", "matrix"),
        _rotation("relative_change", "Relative change", "map matrix report family"),
        _rotation("row_norm_ratio", "Row-norm ratio", "map", 1, reach=0.25),
        _rotation("row_cosine", "Row cosine", "map", 1),
        _rotation("intruders", "Intruders", "map matrix", digits=0, reach=10),
    )
}  # fmt: skip


def shown(place: str, page: str | None = None) -> dict[str, Quantity]:
    """The quantities shown in a place, of one page or of all, by key."""
    return {key: q for key, q in QUANTITIES.items() if place in q.places and page in (None, q.page)}
