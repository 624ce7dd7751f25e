"""The asset `component_masks`: what each group of the base's circuit carries in a model, and whether it got better."""

from typing import TYPE_CHECKING

import dagster as dg

from assets.circuits import plots
from assets.circuits.work import UNRELATED, Tables, circuit_of, head_model, metadata, nothing, or_reason, settings_of
from assets.freshness import is_current
from assets.groups import its_base, model_assets, tables_of
from assets.materializing import WorkspaceResource, materializing, spec
from resources.workspace import Workspace

if TYPE_CHECKING:
    from resources.circuits.finding import CircuitResult
    from resources.circuits.model import HeadModel

NAME = "component_masks"


@dg.multi_asset(
    specs=[
        spec(
            NAME,
            "circuits",
            "Which kind of information (object, position, letter) each group of the base's circuit carries in this "
            "model, by masks that are learned on counterfactual prompts, beside random masks of that size, and "
            "whether a group got better at it.",
            "torch",
        )
    ],
)
def component_masks(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult:
    """Learn masks on the groups of the base's circuit in one model."""
    with materializing(context, workspace, NAME) as run:
        rows, reason = masks_in(run.space, run.model)
        run.write(rows)
    return run.result(
        NAME,
        {
            **metadata(rows, reason, tables_of(NAME)),
            **({"masks": plots.mask_table(rows[NAME])} if rows[NAME] else {}),
            "rows": run.table_path(NAME),
        },
    )


def masks_in(space: Workspace, model_id: str) -> tuple[Tables, str]:
    """Rows of the masks of the base's groups in one model, and why there are none if so."""
    entry = space.registry.model(model_id)
    (base_id,) = its_base(entry)
    if entry.role == "unrelated":
        return nothing(NAME), UNRELATED

    def work() -> Tables:
        from resources.circuits.following import follow_circuit

        with head_model(space, base_id) as base:
            circuit = circuit_of(space, base)
            circuit.tables[NAME] = base_masks(space, base, circuit)
            if entry.role == "base":
                return nothing(NAME) | {NAME: circuit.tables[NAME]}
            with head_model(space, model_id) as model:
                return follow_circuit(circuit, base, model, tables=tables_of(NAME)).tables

    return or_reason(NAME, work)


def base_masks(space: Workspace, base: "HeadModel", circuit: "CircuitResult") -> list[dict]:
    """Masks of the base's groups in the base itself: its rows where they hold, else learned again."""
    from resources.circuits.measures import mask_rows
    from resources.circuits.prompts import PromptMaker

    if is_current(space, space.registry.model(base.model_id), model_assets()[NAME]):
        return space.tables.read(NAME, base.model_id)
    settings = settings_of(space)
    maker = PromptMaker(base.tokenizer, n_boxes=settings.n_boxes, context=base.context, device=base.device)
    return mask_rows(base, maker, circuit.groups, base.model_id, settings)
