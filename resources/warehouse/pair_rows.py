"""What is stored of one model against one reference, matrix by matrix, and the sentences that it is read by.

One function makes the sentences from rows. They are stored in `findings`, and whoever shows them reads them there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb

    from rotoscale.pair_summary import PairSummary

Row = Mapping[str, Any]

_PLACE = ("layer", "matrix", "expert")
_BESIDE = {
    "scale_statistics": ("alpha_median", "alpha_least_squares", "ratio_cv", "ratio_cv_noise"),
    "rotation_statistics": ("nf", "nf_unrelated", "nf_over_null"),
    "tensor_changes": ("relative_change", "cosine", "identical_share", "base_norm"),
}
"""Columns of other tables that stand beside those of `agreement`."""


@dataclass(frozen=True)
class PairRows:
    """One model against one reference.

    matrices: one row per principal matrix, columns named as in the tables. changes: the rows of `tensor_changes`.
    dtype: the format in which the model is stored. lineage: the pair's row of `lineage`, if there is one.
    """

    model: str
    base: str
    matrices: list[dict[str, Any]] = field(default_factory=list)
    changes: list[dict[str, Any]] = field(default_factory=list)
    dtype: str | None = None
    lineage: Row | None = None

    @property
    def summary(self) -> PairSummary:
        """The numbers that the pair is read by."""
        from rotoscale.pair_summary import summarise

        found = summarise(self.matrices, self.dtype)
        if self.lineage is None:
            return found
        return replace(found, lineage=self.lineage["verdict"], lineage_reason=self.lineage["reason"])


def read_pair_rows(connection: duckdb.DuckDBPyConnection, model: str, base: str) -> PairRows:
    """The stored rows of `model` against `base`; none where the two were not compared."""

    def rows(table: str, where: str = "model_id = ? AND base_id = ?") -> list[dict[str, Any]]:
        cursor = connection.execute(f"SELECT * FROM {table} WHERE {where}", [model, base])
        names = [column[0] for column in cursor.description or []]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    tables = {name: rows(name) for name in ("agreement", *_BESIDE)}
    dtype = connection.execute("SELECT dtype FROM models WHERE model_id = ?", [model]).fetchone()
    known = connection.execute("SELECT 1 FROM table_texts WHERE table_name = 'lineage'").fetchone()
    lineage = rows("lineage", "? IN (model_a, model_b) AND ? IN (model_a, model_b)") if known else []
    return pair_rows(model, base, tables, dtype[0] if dtype else None, lineage)


def pair_rows(
    model: str, base: str, tables: Mapping[str, Sequence[Row]], dtype: str | None, lineage: Sequence[Row] = ()
) -> PairRows:
    """The rows of one pair brought together, from the rows of each table (those of other pairs are left out)."""
    mine = {
        name: [row for row in rows if row["model_id"] == model and row["base_id"] == base]
        for name, rows in tables.items()
    }
    found = {tuple(row[name] for name in _PLACE): dict(row) for row in mine["agreement"]}
    for table, columns in _BESIDE.items():
        for row in mine[table]:
            matrix = found.get(tuple(row[name] for name in _PLACE))
            if matrix is not None:
                matrix |= {name: row[name] for name in columns}
    ordered = [found[place] for place in sorted(found)]
    changes = [dict(row) for row in mine["tensor_changes"]]
    tested = next((row for row in lineage if {row["model_a"], row["model_b"]} == {model, base}), None)
    return PairRows(model, base, ordered, changes, dtype, tested)


def pair_sentences(rows: PairRows) -> list[str]:
    """The reading of a pair: how much changed and where, scale, agreement, what is bit-identical, what is not known."""
    from rotoscale.agreement_reading import read_pair

    sentences = read_pair(rows.summary)
    where = len(sentences) - 1 if sentences[-1].startswith("Not known") else len(sentences)
    return [*sentences[:where], *_untouched(rows.changes), *sentences[where:]]


def energy_by_type(rows: Sequence[Row]) -> dict[str, float]:
    """Which share of the change's energy, over all principal matrices, lies in each matrix type; empty for none."""
    found: dict[str, float] = {}
    for row in rows:
        energy = ((row["relative_change"] or 0.0) * row["base_norm"]) ** 2
        found[row["matrix"]] = found.get(row["matrix"], 0.0) + energy
    total = sum(found.values())
    return {kind: energy / total for kind, energy in found.items()} if total else {}


def _untouched(changes: Sequence[Row]) -> list[str]:
    """What was left bit-identical, over all tensors that both models have."""
    sizes = [math.prod(row["shape"]) for row in changes]
    if not sum(sizes):
        return []
    share = sum(size * row["identical_share"] for size, row in zip(sizes, changes, strict=True)) / sum(sizes)
    whole = sum(row["identical_share"] == 1 for row in changes)
    tensors = f"{whole} of {len(changes)} tensors are bit-identical as a whole" if whole else "no tensor as a whole"
    shown = "all" if share == 1 else "none" if share == 0 else f"{100 * share:.3g} %"
    if 0.9995 < share < 1:
        shown = "more than 99.9 %"
    return [f"Of all compared parameters {shown} are bit-identical; {tensors}."]
