"""The asset `circuits`: the heads and edges of a model that do entity tracking."""

import dagster as dg

from assets.circuits import plots
from assets.circuits.work import UNRELATED, Tables, head_model, metadata, nothing, or_reason, settings_of
from assets.groups import tables_of
from assets.materializing import WorkspaceResource, materializing, spec
from assets.structure.plots import image
from resources.workspace import Workspace

NAME = "circuits"
_MEASURED = ("circuit_stability", "attention_knockouts", "attention_patterns", "circuit_checks")


@dg.multi_asset(
    specs=[
        spec(
            NAME,
            "circuits",
            "The attention heads that do entity tracking in this model, found by path patching step by step, and the "
            "edges between them, with how stable the search is and interventions whose result is known. A model that "
            "the task cannot be put to has no rows, and the reason stands in the metadata.",
            "torch",
        )
    ],
)
def circuits(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult:
    """Find one model's own circuit."""
    with materializing(context, workspace, NAME) as run:
        rows, reason = find_in(run.space, run.model)
        run.write(rows)
    heads = rows["circuit_heads"]
    return run.result(
        NAME,
        {
            **metadata(rows, reason, tables_of(NAME)),
            **(
                {"heads_in_circuit": len({(row["layer"], row["head"]) for row in heads if row["kept"]})}
                if heads
                else {}
            ),
            **({"groups": plots.group_table(rows)} if rows["circuit_screens"] else {}),
            **({"heads": image(plots.head_grid(heads))} if heads else {}),
            "rows": run.table_path("circuit_heads"),
        },
    )


def find_in(space: Workspace, model_id: str) -> tuple[Tables, str]:
    """Rows of the circuit of one model, and why there are none if so.

    A quick look leaves out the stability of descendants: each resample is a search of its own.
    """
    entry = space.registry.model(model_id)
    if entry.role == "unrelated":
        return nothing(NAME), UNRELATED

    def work() -> Tables:
        from resources.circuits.finding import find_circuit
        from resources.circuits.sizes import in_full

        settings = settings_of(space)
        measured = _MEASURED if entry.role == "base" or in_full(settings) else _MEASURED[1:]
        with head_model(space, model_id) as model:
            found = find_circuit(model, settings=settings, tables=measured)
        return nothing(NAME) | found.tables

    return or_reason(NAME, work)
