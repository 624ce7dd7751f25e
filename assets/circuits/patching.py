"""The asset `cross_model_patching`: the heads of a model in its base and the other way round, group by group."""

import dagster as dg

from assets.circuits import plots
from assets.circuits.work import ITSELF, UNRELATED, Tables, circuit_of, head_model, metadata, nothing, or_reason
from assets.groups import its_base, tables_of
from assets.materializing import WorkspaceResource, materializing, spec
from resources.workspace import Workspace

NAME = "cross_model_patching"


@dg.multi_asset(
    specs=[
        spec(
            NAME,
            "circuits",
            "Accuracy of a model with its base's heads in it, and of the base with this model's, group by group and "
            "both ways, beside as many random heads: which part of the circuit explains what fine-tuning gained?",
            "torch",
        )
    ],
)
def cross_model_patching(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult:
    """Exchange heads between one model and its base."""
    with materializing(context, workspace, NAME) as run:
        rows, reason = exchange(run.space, run.model)
        run.write(rows)
    return run.result(
        NAME,
        {
            **metadata(rows, reason, tables_of(NAME)),
            **({"exchanged": plots.exchange_table(rows[NAME])} if rows[NAME] else {}),
            "rows": run.table_path(NAME),
        },
    )


def exchange(space: Workspace, model_id: str) -> tuple[Tables, str]:
    """Rows of the exchange between one model and its base, both ways, and why there are none if so."""
    entry = space.registry.model(model_id)
    if entry.role != "descendant":
        return nothing(NAME), ITSELF if entry.role == "base" else UNRELATED
    (base_id,) = its_base(entry)

    def work() -> Tables:
        from resources.circuits.following import follow_circuit

        with head_model(space, base_id) as base, head_model(space, model_id) as model:
            found = follow_circuit(circuit_of(space, base), base, model, tables=(NAME,)).tables[NAME]
        return {NAME: [{"model_id": model_id, **row} for row in found]}

    return or_reason(NAME, work)
