"""The comparison of a model with its references: one pass over the pairs of matrices (read, compare, drop).

What comes of the pass are several tables, and so several assets of one step, which can be asked for singly.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from assets.materializing import Materialization, WorkspaceResource, materializing, spec
from assets.structure import plots, scalars
from assets.structure.group import COMPARED
from resources import comparison, structure
from resources.workspace import Workspace
from rotoscale.multiple import benjamini_hochberg

Rows = list[dict[str, Any]]


@dg.multi_asset(
    specs=[
        spec(
            "scale_statistics",
            "structure",
            "How the singular values of every principal matrix were scaled against each reference. The ratio of post "
            "to base singular values is summarised by several scale factors, by how unevenly it applies along the "
            "spectrum, and by what noise of the change's size would give. A factor below 1 is also what weight decay "
            "leaves.",
            "torch",
        ),
        spec(
            "rotation_statistics",
            "structure",
            "How the singular vectors were rotated: He and Cao's NF of every principal matrix beside what noise of "
            "the change's size, and an unrelated matrix, would give. A small NF alone proves nothing, so it gets no "
            "verdict; whether both sides changed together is the question of `agreement`. At standard depth the "
            "change's size alone.",
            "torch",
        ),
        spec(
            "agreement",
            "structure",
            "Whether the left and the right singular vectors of a matrix changed together (tau: 1 is one rotation for "
            "both sides, 0 is noise), with p by sign flips and q over the matrices of the model, and where the energy "
            "of the change lies, beside the shares of white noise.",
            "torch",
        ),
        spec(
            "tensor_changes",
            "structure",
            "How far every tensor moved, principal matrices, embeddings, norms and biases alike, what share of its "
            "elements is bit-identical, and what became of every tensor of either checkpoint: analysed, skipped with a "
            "reason, only in one of the two, or of another shape.",
        ),
    ],
    can_subset=True,
)
def comparison_statistics(
    context: dg.AssetExecutionContext, workspace: WorkspaceResource
) -> Iterator[dg.MaterializeResult]:
    """Compare a model with each of its references, matrix by matrix."""
    with materializing(context, workspace, *COMPARED) as run:
        rows = compare_model(run.space, run.model)
        run.write(rows)
    report = {
        "scale_statistics": _scale,
        "rotation_statistics": _rotation,
        "agreement": _agreement,
        "tensor_changes": _changes,
    }
    for asset in run.assets:
        yield report[asset](run, rows)


def _scale(run: Materialization, rows: dict[str, Rows]) -> dg.MaterializeResult:
    scale = rows["scale_statistics"]
    return run.result(
        "scale_statistics",
        {
            "dagster/row_count": len(scale),
            **scalars.scale(scale, run.base),
            "by_matrix": plots.table(scale, ["alpha_median", "ratio_cv", "unexplained"], "alpha_median"),
            **run.figure("ratio_spectrum", lambda: plots.image(plots.ratio_spectra(scale))),
            "rows": run.table_path("scale_statistics"),
        },
    )


def _rotation(run: Materialization, rows: dict[str, Rows]) -> dg.MaterializeResult:
    rotation = rows["rotation_statistics"]
    return run.result(
        "rotation_statistics",
        {
            "dagster/row_count": len(rotation),
            **scalars.rotation(rotation, run.base),
            "by_matrix": plots.table(rotation, ["relative_change", "nf", "nf_over_null", "leak"], "nf_over_null"),
            **run.figure(
                "nf_over_null",
                lambda: plots.image(plots.by_layer(rotation, "nf_over_null", "NF over its null", line=1.0)),
            ),
            "rows": run.table_path("rotation_statistics"),
        },
    )


def _agreement(run: Materialization, rows: dict[str, Rows]) -> dg.MaterializeResult:
    found = rows["agreement"]
    return run.result(
        "agreement",
        {
            "dagster/row_count": len(found),
            "depth": ", ".join(sorted({row["depth"] for row in found})),
            **scalars.agreement(found, run.base),
            "by_matrix": plots.table(found, ["tau", "q_together", "share_scale", "share_shared", "share_apart"], "tau"),
            **run.figure(
                "tau", lambda: plots.image(plots.by_layer(found, "tau", "left-right agreement tau", line=0.0))
            ),
            "rows": run.table_path("agreement"),
        },
    )


def _changes(run: Materialization, rows: dict[str, Rows]) -> dg.MaterializeResult:
    coverage = rows["coverage"]
    analysed = sum(row["parameters"] for row in coverage if row["state"] == "analysed")
    return run.result(
        "tensor_changes",
        {
            "dagster/row_count": len(rows["tensor_changes"]),
            **scalars.changes(rows["tensor_changes"], run.base),
            "parameters_analysed": analysed / max(1, sum(row["parameters"] for row in coverage)),
            "most_changed": plots.most_changed(rows["tensor_changes"]),
            "rows": run.table_path("tensor_changes"),
        },
    )


def compare_model(space: Workspace, model: str) -> dict[str, Rows]:
    """Rows of the comparison tables of one model against all its references."""
    entry = space.registry.model(model)
    rows: dict[str, Rows] = {name: [] for name in (*COMPARED, "coverage")}
    for reference in entry.all_references:
        for table, found in compare_pair(space, reference, model).items():
            rows[table] += [{"model_id": model, "base_id": reference, **row} for row in found]
    return rows


def compare_pair(space: Workspace, base_id: str, model: str) -> dict[str, Rows]:
    """Rows of the comparison tables of one model against one reference."""
    space.facts(base_id), space.facts(model)
    base, post = space.checkpoint(base_id), space.checkpoint(model)
    pairs = space.over(structure.comparing(space, base_id, model), f"{model}: comparing with {base_id}")
    tables = {name: [pair[name] for pair in pairs] for name in COMPARED}
    tables["agreement"] = _corrected(tables["agreement"])
    others = structure.comparing_others(space, base_id, model)
    tables["tensor_changes"] += space.over(others, f"{model}: comparing other tensors with {base_id}")[0]
    tables["coverage"] = comparison.coverage(base, post)
    return tables


def _corrected(rows: Rows) -> Rows:
    """The rows with q values: Benjamini and Hochberg's over the matrices of one model against one base, by tail."""
    q = {tail: benjamini_hochberg([row[f"p_{tail}"] for row in rows]) for tail in ("together", "apart")}
    return [row | {f"q_{tail}": values[i] for tail, values in q.items()} for i, row in enumerate(rows)]
