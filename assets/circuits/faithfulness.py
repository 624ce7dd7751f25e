"""The asset `circuit_faithfulness`: what the base's circuit, and the model's own, do inside a model."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from assets.circuits import plots
from assets.circuits.work import Tables, circuit_of, head_model, metadata, nothing, or_reason, settings_of
from assets.groups import its_base, tables_of
from assets.materializing import WorkspaceResource, materializing, spec
from assets.structure.plots import image
from resources.workspace import Workspace

NAME = "circuit_faithfulness"


@dg.multi_asset(
    specs=[
        spec(
            NAME,
            "circuits",
            "How faithfully the base's circuit does the job in this model when all other heads are replaced by their "
            "means, beside random circuits with as many heads, and how faithfully the model's own circuit does.",
            "torch",
        )
    ],
)
def circuit_faithfulness(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult:
    """Run circuits inside one model."""
    with materializing(context, workspace, NAME) as run:
        rows, reason = run_in(run.space, run.model)
        run.write(rows)
    curves = rows["faithfulness_curves"]
    return run.result(
        NAME,
        {
            **metadata(rows, reason, tables_of(NAME)),
            **_numbers(rows[NAME], run.base),
            **({"curves": image(plots.curves(curves))} if curves else {}),
            "rows": run.table_path(NAME),
        },
    )


def _numbers(rows: Sequence[Mapping[str, Any]], base: str) -> dict[str, float]:
    """How faithful the base's circuit is in this model, for Dagster's plots over partitions."""
    of_base = [row for row in rows if row["circuit_model_id"] == base]
    names = ("f", "faithfulness", "accuracy_full", "accuracy_circuit", "accuracy_random")
    return {name: row[name] for row in of_base for name in names if row[name] is not None}


def run_in(space: Workspace, model_id: str) -> tuple[Tables, str]:
    """Rows of the faithfulness of circuits in one model, and why there are none if so.

    An unrelated model has no circuit of its own here: it is the control of the base's.
    """
    entry = space.registry.model(model_id)
    (base_id,) = its_base(entry)

    def work() -> Tables:
        from resources.circuits.finding import own_means
        from resources.circuits.following import follow_circuit
        from resources.circuits.measures import curve_rows, faithfulness_row
        from resources.circuits.prompts import PromptMaker

        settings = settings_of(space)
        made = nothing(NAME)
        with head_model(space, model_id) as model:
            own = None if entry.role == "unrelated" else circuit_of(space, model)
            if own is not None:
                maker = PromptMaker(
                    model.tokenizer, n_boxes=settings.n_boxes, context=model.context, device=model.device
                )
                means = own_means(model, maker, settings)
                made[NAME].append(faithfulness_row(model, maker, own.groups, model_id, means, settings))
                if entry.role == "base":
                    made["faithfulness_curves"] = curve_rows(model, maker, own.order, model_id, means, settings)
                    return made
            wanted = [NAME, "faithfulness_curves", *(["circuit_edges", "circuit_overlap"] if own else [])]
            with head_model(space, base_id) as base:
                found = follow_circuit(circuit_of(space, base), base, model, settings, own=own, tables=wanted).tables
        made[NAME] += found[NAME]
        made["faithfulness_curves"] = found["faithfulness_curves"]
        made["followed_edges"] = found.get("circuit_edges", [])
        made["circuit_overlap"] = found.get("circuit_overlap", [])
        return made

    return or_reason(NAME, work)
