"""Group `structure`: decompositions, and what they say of a post-trained model against its references.

The comparison is one pass over the pairs of matrices (read, compare, drop), so that the three tables that come of it
are three assets of one step.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from assets import plots
from assets.checkpoints import ensure_catalogued
from assets.common import CODE_VERSION, WorkspaceResource, dashboard_link, failure, fill_missing, models, write
from assets.freshness import comparison_fingerprint, decomposition_fingerprint
from resources import comparison, progress
from resources.checkpoints import UNEXPLAINED
from resources.decomposing import DecompositionTask, decompose_matrix
from resources.pairs import PairTask, compare_matrices, layers_with_null
from resources.workspace import Workspace
from rotoscale.errors import RotoscaleError

LARGEST_RESIDUAL = 1e-6
LARGEST_ORTHOGONALITY_ERROR = 2e-6


def _check(asset: str, name: str, description: str) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(name, asset=asset, description=description, partitions_def=models)


@dg.asset(
    partitions_def=models,
    group_name="structure",
    kinds={"torch", "parquet"},
    deps=["checkpoints"],
    code_version=CODE_VERSION,
    automation_condition=fill_missing,
    check_specs=[
        _check("decompositions", "reconstruction", "Factors rebuild the weight to 1e-6 of its norm."),
        _check("decompositions", "orthogonality", "Singular vectors are orthonormal to 2e-6."),
    ],
)
def decompositions(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult:
    """Singular value decomposition of every principal matrix; factors go to the factor store."""
    space, model = workspace.open(), context.partition_key
    try:
        with progress.logging_to(context.log.info):
            rows = decompose_model(space, model)
        mark = decomposition_fingerprint(space, space.registry.model(model))
    except RotoscaleError as error:
        raise failure(error) from error
    path = write(context, space, "decompositions", model, rows, mark)
    residual = max(row["residual"] for row in rows)
    orthogonality = max(row["orthogonality_error"] for row in rows)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(rows),
            "by_matrix": plots.table(rows, ["stable_rank", "effective_rank", "spectral_norm", "seconds"]),
            "full_svd": sum(row["kernel"] == "full-svd" for row in rows),
            "spectra": plots.image(plots.spectra(rows)),
            "rows": dg.MetadataValue.path(path),
        },
        check_results=[
            _bounded("reconstruction", "residual", residual, LARGEST_RESIDUAL),
            _bounded("orthogonality", "orthogonality_error", orthogonality, LARGEST_ORTHOGONALITY_ERROR),
        ],
    )


def decompose_model(space: Workspace, model: str) -> list[dict[str, Any]]:
    """Rows of `decompositions` of one model; matrices whose factors are stored are not decomposed again."""
    space.facts(model)
    location = space.location(model)
    checkpoint = location.open()
    keys = checkpoint.matrices()
    tasks = [DecompositionTask(location, key, space.settings.factors, space.settings.device) for key in keys]
    shapes = [checkpoint.shape(key) for key in keys]
    rows = space.over_matrices(decompose_matrix, tasks, shapes, f"{model}: decomposing")
    return [{"model_id": model, **row} for row in rows]


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            name,
            deps=["decompositions"],
            group_name="structure",
            kinds={"torch", "parquet"},
            code_version=CODE_VERSION,
            partitions_def=models,
            automation_condition=fill_missing,
            description=text,
        )
        for name, text in (
            ("scale_statistics", "How the singular values were scaled against each reference."),
            ("rotation_statistics", "How the singular vectors were turned, against what noise would have done."),
            ("tensor_changes", "How far every tensor moved, and what became of each (table `coverage`)."),
        )
    ],
    check_specs=[
        _check("scale_statistics", "positive_scale", "Every scale factor is a positive finite number."),
        _check("rotation_statistics", "numerical_floor", "A model compared with itself has NF exactly 0."),
        _check("rotation_statistics", "possible_nf", "NF lies between 0 and 2, and each has its null."),
        _check("tensor_changes", "coverage", "Every tensor of either checkpoint is accounted for."),
    ],
)
def comparison_statistics(
    context: dg.AssetExecutionContext, workspace: WorkspaceResource
) -> Iterator[dg.MaterializeResult]:
    """Compare a model with each of its references, matrix by matrix."""
    space, model = workspace.open(), context.partition_key
    try:
        with progress.logging_to(context.log.info):
            for reference in space.registry.model(model).all_references:
                ensure_catalogued(context, space, reference)
            rows = compare_model(space, model)
        mark = comparison_fingerprint(space, space.registry.model(model))
    except RotoscaleError as error:
        raise failure(error) from error
    paths = {table: write(context, space, table, model, rows[table], mark) for table in rows}
    scale, rotation, changes = rows["scale_statistics"], rows["rotation_statistics"], rows["tensor_changes"]
    yield dg.MaterializeResult(
        asset_key="scale_statistics",
        metadata={
            "dagster/row_count": len(scale),
            "by_matrix": plots.table(scale, ["alpha_median", "alpha_least_squares", "ratio_cv", "unexplained"]),
            "ratio_spectrum": plots.image(plots.ratio_spectra(scale)),
            "rows": dg.MetadataValue.path(paths["scale_statistics"]),
            "dashboard": dashboard_link("scale", model),
        },
        check_results=[_positive_scale(scale)],
    )
    yield dg.MaterializeResult(
        asset_key="rotation_statistics",
        metadata={
            "dagster/row_count": len(rotation),
            "by_matrix": plots.table(rotation, ["relative_change", "nf", "nf_null_simulated", "nf_over_null", "leak"]),
            "nf_over_null": plots.image(plots.by_layer(rotation, "nf_over_null", "NF over its null", line=1.0)),
            "rows": dg.MetadataValue.path(paths["rotation_statistics"]),
            "dashboard": dashboard_link("rotation", model),
        },
        check_results=[_numerical_floor(rotation), _possible_nf(rotation)],
    )
    unexplained = sum(row["parameters"] for row in rows["coverage"] if UNEXPLAINED in row["reason"])
    analysed = sum(row["parameters"] for row in rows["coverage"] if row["state"] == "analysed")
    parameters = sum(row["parameters"] for row in rows["coverage"])
    yield dg.MaterializeResult(
        asset_key="tensor_changes",
        metadata={
            "dagster/row_count": len(changes),
            "parameters_analysed": analysed / parameters,
            "most_changed": plots.most_changed(changes),
            "rows": dg.MetadataValue.path(paths["tensor_changes"]),
        },
        check_results=[
            dg.AssetCheckResult(
                check_name="coverage",
                asset_key="tensor_changes",
                passed=unexplained == 0,
                metadata={"parameters": parameters, "unexplained": unexplained},
            )
        ],
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


def _bounded(check: str, name: str, value: float, bound: float) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(check_name=check, passed=value <= bound, metadata={name: value, "bound": bound})


def _positive_scale(rows: Sequence[dict[str, Any]]) -> dg.AssetCheckResult:
    values = [row["alpha_least_squares"] for row in rows if row["alpha_least_squares"] is not None]
    bad = [value for value in values if not 0 <= value < float("inf")]
    return dg.AssetCheckResult(
        check_name="positive_scale",
        asset_key="scale_statistics",
        passed=bool(values) and not bad,
        metadata={"matrices": len(values), "bad": len(bad)},
    )


def _numerical_floor(rows: Sequence[dict[str, Any]]) -> dg.AssetCheckResult:
    with_itself = [row["nf"] for row in rows if row["model_id"] == row["base_id"] and row["nf"] is not None]
    return dg.AssetCheckResult(
        check_name="numerical_floor",
        asset_key="rotation_statistics",
        passed=not any(with_itself),
        metadata={"compared_with_itself": len(with_itself), "largest_nf": max(with_itself, default=0.0)},
    )


def _possible_nf(rows: Sequence[dict[str, Any]]) -> dg.AssetCheckResult:
    impossible = [row for row in rows if row["nf"] is not None and not 0 <= row["nf"] <= 2]
    changed = [row for row in rows if row["relative_change"]]
    without_null = [row for row in changed if row["nf"] is not None and row["nf_over_null"] is None]
    return dg.AssetCheckResult(
        check_name="possible_nf",
        asset_key="rotation_statistics",
        passed=not impossible and not without_null,
        metadata={"impossible": len(impossible), "without_null": len(without_null)},
    )
