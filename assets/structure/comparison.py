"""The comparison of a model with its references: one pass over the pairs of matrices (read, compare, drop).

What comes of the pass are several tables, and so several assets of one step, which can be asked for singly.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from assets.materializing import Materialization, WorkspaceResource, check_spec, dashboard_link, materializing, spec
from assets.structure import checks, plots
from assets.structure.group import COMPARED
from resources import comparison
from resources.depth import depth_of
from resources.pairs import PairTask, compare_matrices
from resources.workspace import Workspace
from rotoscale.multiple import benjamini_hochberg, called_apart, called_together

Rows = list[dict[str, Any]]


@dg.multi_asset(
    specs=[
        spec("scale_statistics", "structure", "How the singular values were scaled against each reference.", "torch"),
        spec(
            "rotation_statistics",
            "structure",
            "How the singular vectors were rotated, against what noise would have done.",
            "torch",
        ),
        spec(
            "agreement",
            "structure",
            "Whether left and right changed together, and where the energy of the change lies, at two depths.",
            "torch",
        ),
        spec("tensor_changes", "structure", "How far every tensor moved, and what became of each (table `coverage`)."),
    ],
    check_specs=[
        check_spec("scale_statistics", "positive_scale", "Every scale factor is a positive finite number."),
        check_spec("rotation_statistics", "numerical_floor", "A model compared with itself has NF exactly 0."),
        check_spec("rotation_statistics", "possible_nf", "NF lies between 0 and 2, and each has its null."),
        check_spec("agreement", "possible_tau", "Tau lies between -1 and 1, and has its p values."),
        check_spec("agreement", "whole_budget", "The shares of the change's energy sum to one."),
        check_spec("tensor_changes", "coverage", "Every tensor of either checkpoint is accounted for."),
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
            "by_matrix": plots.table(scale, ["alpha_median", "alpha_least_squares", "ratio_cv", "unexplained"]),
            "ratio_spectrum": plots.image(plots.ratio_spectra(scale)),
            "rows": run.table_path("scale_statistics"),
            "dashboard": dashboard_link("scale", run.model),
        },
        [checks.positive_scale(scale)],
    )


def _rotation(run: Materialization, rows: dict[str, Rows]) -> dg.MaterializeResult:
    rotation = rows["rotation_statistics"]
    return run.result(
        "rotation_statistics",
        {
            "dagster/row_count": len(rotation),
            "by_matrix": plots.table(rotation, ["relative_change", "nf", "nf_over_null", "leak"]),
            "nf_over_null": plots.image(plots.by_layer(rotation, "nf_over_null", "NF over its null", line=1.0)),
            "rows": run.table_path("rotation_statistics"),
            "dashboard": dashboard_link("rotation", run.model),
        },
        [checks.numerical_floor(rotation), checks.possible_nf(rotation)],
    )


def _agreement(run: Materialization, rows: dict[str, Rows]) -> dg.MaterializeResult:
    found = rows["agreement"]
    return run.result(
        "agreement",
        {
            "dagster/row_count": len(found),
            "depth": ", ".join(sorted({row["depth"] for row in found})),
            "changed_together": sum(called_together(row["tau"], row["q_together"]) for row in found),
            "changed_apart": sum(called_apart(row["tau"], row["q_apart"]) for row in found),
            "by_matrix": plots.table(found, ["tau", "q_together", "share_scale", "share_shared", "share_apart"]),
            "tau": plots.image(plots.by_layer(found, "tau", "left-right agreement tau", line=0.0)),
            "rows": run.table_path("agreement"),
        },
        [checks.possible_tau(found), checks.whole_budget(found)],
    )


def _changes(run: Materialization, rows: dict[str, Rows]) -> dg.MaterializeResult:
    coverage = rows["coverage"]
    analysed = sum(row["parameters"] for row in coverage if row["state"] == "analysed")
    return run.result(
        "tensor_changes",
        {
            "dagster/row_count": len(rows["tensor_changes"]),
            "parameters_analysed": analysed / max(1, sum(row["parameters"] for row in coverage)),
            "most_changed": plots.most_changed(rows["tensor_changes"]),
            "rows": run.table_path("tensor_changes"),
        },
        [checks.coverage(coverage)],
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
    settings = space.settings
    base_location, post_location = space.location(base_id), space.location(model)
    base, post = base_location.open(), post_location.open()
    keys = comparison.common_matrices(base, post)
    shapes = [post.shape(key) for key in keys]
    tasks = [
        PairTask(
            base_location,
            post_location,
            key,
            settings.factors,
            settings.pairs,
            settings.device,
            depth_of(settings.depth, shapes),
            settings.null_draws,
            settings.seed,
        )
        for key in keys
    ]
    pairs = space.over_matrices(compare_matrices, tasks, shapes, f"{model}: comparing with {base_id}")
    tables = {name: [pair[name] for pair in pairs] for name in COMPARED}
    tables["agreement"] = _corrected(tables["agreement"])
    tables["tensor_changes"] += comparison.other_changes(base, post, settings.pairs)
    tables["coverage"] = comparison.coverage(base, post)
    return tables


def _corrected(rows: Rows) -> Rows:
    """The rows with q values: Benjamini and Hochberg's over the matrices of one model against one base, by tail."""
    q = {tail: benjamini_hochberg([row[f"p_{tail}"] for row in rows]) for tail in ("together", "apart")}
    return [row | {f"q_{tail}": values[i] for tail, values in q.items()} for i, row in enumerate(rows)]
