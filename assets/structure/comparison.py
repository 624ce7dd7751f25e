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
from resources.pairs import PairTask, compare_matrices, layers_with_null
from resources.workspace import Workspace

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
        spec("tensor_changes", "structure", "How far every tensor moved, and what became of each (table `coverage`)."),
    ],
    check_specs=[
        check_spec("scale_statistics", "positive_scale", "Every scale factor is a positive finite number."),
        check_spec("rotation_statistics", "numerical_floor", "A model compared with itself has NF exactly 0."),
        check_spec("rotation_statistics", "possible_nf", "NF lies between 0 and 2, and each has its null."),
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
    report = {"scale_statistics": _scale, "rotation_statistics": _rotation, "tensor_changes": _changes}
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
            "by_matrix": plots.table(rotation, ["relative_change", "nf", "nf_null_simulated", "nf_over_null", "leak"]),
            "nf_over_null": plots.image(plots.by_layer(rotation, "nf_over_null", "NF over its null", line=1.0)),
            "rows": run.table_path("rotation_statistics"),
            "dashboard": dashboard_link("rotation", run.model),
        },
        [checks.numerical_floor(rotation), checks.possible_nf(rotation)],
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


def compare_model(space: Workspace, model: str) -> dict[str, list[dict[str, Any]]]:
    """Rows of the comparison tables of one model against all its references."""
    entry = space.registry.model(model)
    rows: dict[str, list[dict[str, Any]]] = {
        name: [] for name in ("scale_statistics", "rotation_statistics", "tensor_changes", "coverage")
    }
    for reference in entry.all_references:
        for table, found in compare_pair(space, reference, model).items():
            rows[table] += [{"model_id": model, "base_id": reference, **row} for row in found]
    return rows


def compare_pair(space: Workspace, base_id: str, model: str) -> dict[str, list[dict[str, Any]]]:
    """Rows of the comparison tables of one model against one reference."""
    space.facts(base_id), space.facts(model)
    settings = space.settings
    base_location, post_location = space.location(base_id), space.location(model)
    base, post = base_location.open(), post_location.open()
    keys = comparison.common_matrices(base, post)
    shapes = [post.shape(key) for key in keys]
    with_null = layers_with_null(post.n_layers, shapes, settings.null_layers)
    tasks = [
        PairTask(
            base_location,
            post_location,
            key,
            settings.factors,
            settings.pairs,
            settings.device,
            key.layer in with_null,
            settings.seed,
        )
        for key in keys
    ]
    pairs = space.over_matrices(compare_matrices, tasks, shapes, f"{model}: comparing with {base_id}")
    tables = {
        name: [pair[name] for pair in pairs] for name in ("scale_statistics", "rotation_statistics", "tensor_changes")
    }
    tables["tensor_changes"] += comparison.other_changes(base, post, settings.pairs)
    tables["coverage"] = comparison.coverage(base, post)
    return tables
