"""The asset `decompositions`: spectra in the warehouse, factors in the factor store."""

from typing import Any

import dagster as dg

from assets.materializing import WorkspaceResource, materializing, spec
from assets.structure import plots
from assets.structure.scalars import known
from resources import structure
from resources.workspace import Workspace


@dg.multi_asset(
    specs=[
        spec(
            "decompositions",
            "structure",
            "Singular value decomposition of every principal matrix in float64. The spectra and what is made of them "
            "are rows; the vectors go to the factor store, where they are found by the content of the weight, so "
            "that a base is decomposed once for all its descendants. Of a descendant at standard depth, values alone.",
            "torch",
        )
    ],
)
def decompositions(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult:
    """Decompose every principal matrix of one model."""
    with materializing(context, workspace, "decompositions") as run:
        rows = decompose_model(run.space, run.model)
        run.write({"decompositions": rows})
    return run.result(
        "decompositions",
        {
            "dagster/row_count": len(rows),
            **known(median_stable_rank=plots.median([row["stable_rank"] for row in rows])),
            "by_matrix": plots.table(rows, ["stable_rank", "effective_rank", "spectral_norm", "seconds"]),
            "full_svd": sum(row["kernel"] in ("full-svd", "svd-values") for row in rows),
            "values_alone": sum(row["residual"] is None for row in rows),
            **run.figure("spectra", lambda: plots.image(plots.spectra(rows))),
            "rows": run.table_path("decompositions"),
        },
    )


def decompose_model(space: Workspace, model: str) -> list[dict[str, Any]]:
    """Rows of `decompositions` of one model; matrices whose factors are stored are not decomposed again."""
    space.facts(model)
    rows = space.over(structure.decomposing(space, model), f"{model}: decomposing")
    return [{"model_id": model, **row} for row in rows]
