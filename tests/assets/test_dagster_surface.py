"""What Dagster's own pages show: texts, schemas, jobs, numbers to plot, and checks that run alone."""

from __future__ import annotations

import statistics
from pathlib import Path

import dagster as dg
import pytest

from assets.definitions import defs
from assets.groups import contract, model_assets, shared_assets, structural_assets, tables_of
from assets.materializing import WorkspaceResource, dashboard_page
from resources.workspace import Workspace
from tests.materialize import materialize
from tests.tiny import write_family


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, checkpoints: Path) -> tuple[Workspace, dg.ExecuteInProcessResult]:
    """A workspace in which the structure of base and tuned was materialized, and the result of the second."""
    folder = tmp_path_factory.mktemp("surface")
    families = write_family(folder / "families", checkpoints)
    results = [materialize(folder / "data", families, model, *structural_assets()) for model in ("base", "tuned")]
    assert all(result.success for result in results)
    return WorkspaceResource(data=str(folder / "data"), families=str(families)).open(), results[-1]


def specs() -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs() if spec.group_name != "settings"}


@pytest.mark.parametrize("name", [*model_assets(), *shared_assets()])
def test_an_asset_says_what_it_is_and_what_its_columns_mean(name: str) -> None:
    spec = specs()[name]
    assert len(spec.description or "") > 150
    assert all(f"`{table}`" in (spec.description or "") for table in tables_of(name))
    assert spec.owners
    assert "rotoscale/scope" in spec.tags
    schema = spec.metadata["dagster/column_schema"]
    table = name if name in contract() else tables_of(name)[0]
    assert [(c.name, c.description) for c in schema.columns] == [(c.name, c.text) for c in contract()[table].columns]
    assert all(spec.metadata[f"columns_of_{other}"] for other in tables_of(name) if other != table)


def test_jobs_have_the_names_that_people_look_for() -> None:
    selected = {
        job.name: {key.to_user_string() for key in job.asset_layer.executable_asset_keys}
        for job in defs.resolve_all_job_defs()
        if not job.name.startswith("__")
    }
    wanted = {
        "everything_for_one_model": set(model_assets()),
        "structure_only": set(structural_assets()),
        "publish": {"claims", "findings", "warehouse"},
        "backfill_models": set(model_assets()),
        "check_stored_rows": set(),
    }
    assert {name: selected.get(name) for name in wanted} == wanted
    assert {name for name in selected if len(defs.resolve_job_def(name).description or "") < 80} == set()


def test_what_runs_by_itself_says_what_it_does() -> None:
    assert {sensor.name for sensor in defs.sensors or [] if not sensor.description} == set()
    assert {schedule.name for schedule in defs.schedules or [] if not schedule.description} == set()


@pytest.mark.parametrize("name", [*model_assets(), *shared_assets()])
def test_an_asset_leads_to_the_page_that_shows_it(name: str) -> None:
    from dashboard.pages import discover

    page = (model_assets().get(name) or shared_assets()[name]).page
    assert page in {page.url for page in discover()}
    assert str(specs()[name].metadata["dashboard_page"].value).endswith(f"/{page}")


def test_links_to_the_dashboard_have_the_address_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROTOSCALE_DASHBOARD_URL", "https://numbers.example/")
    assert dashboard_page("scale")["dashboard_page"].value == "https://numbers.example/scale"
    of_model = dashboard_page("scale", "a b", name="dashboard")["dashboard"]
    assert of_model.value == "https://numbers.example/scale?model=a%20b"
    assert dashboard_page("") == {}


def test_numbers_to_plot_are_those_of_the_rows(made: tuple[Workspace, dg.ExecuteInProcessResult]) -> None:
    space, result = made
    told = {
        event.asset_key.to_user_string(): event.materialization.metadata
        for event in result.get_asset_materialization_events()
        if event.asset_key
    }
    agreement = space.tables.read("agreement", "tuned")
    assert told["agreement"]["median_tau"].value == statistics.median(
        row["tau"] for row in agreement if row["tau"] is not None
    )
    assert told["agreement"]["matrices_with_tau"].value == 21
    assert told["agreement"]["share_shared_noise"].value == statistics.median(
        row["share_shared_expected"] for row in agreement
    )
    assert {asset for asset, metadata in told.items() if "dashboard" not in metadata} == set()
    alphas = [row["alpha_median"] for row in space.tables.read("scale_statistics", "tuned")]
    assert told["scale_statistics"]["alpha"].value == pytest.approx(statistics.median(alphas))
    changes = [row for row in space.tables.read("tensor_changes", "tuned") if row["principal"]]
    square = sum((row["relative_change"] * row["base_norm"]) ** 2 for row in changes)
    whole = sum(row["base_norm"] ** 2 for row in changes)
    assert told["tensor_changes"]["relative_change"].value == pytest.approx((square / whole) ** 0.5)
    for metadata in told.values():
        assert not any(isinstance(value.value, float) and value.value != value.value for value in metadata.values())


def test_checks_run_with_their_assets(made: tuple[Workspace, dg.ExecuteInProcessResult]) -> None:
    _, result = made
    found = {(check.asset_key.to_user_string(), check.check_name) for check in result.get_asset_check_evaluations()}
    assert found >= {
        ("checkpoints", "finite_weights"), ("decompositions", "reconstruction"), ("agreement", "whole_budget"),
        ("tensor_changes", "coverage"), ("rotation_statistics", "numerical_floor"),
    }  # fmt: skip


CHECKS = sorted(
    (
        key
        for one in (*(defs.asset_checks or []), *(defs.assets or []))
        for key in getattr(one, "check_keys", ())
        if key.asset_key.to_user_string() in model_assets()
    ),
    key=str,
)


@pytest.mark.parametrize("key", CHECKS, ids=lambda key: key.name)
def test_every_check_can_be_asked_for_alone(key: dg.AssetCheckKey) -> None:
    graph = defs.get_repository_def().asset_graph
    assert graph.get_execution_set_asset_and_check_keys(key) == {key}


@pytest.mark.parametrize(
    ("asset", "check", "model"),
    [
        ("agreement", "possible_tau", "tuned"),
        ("decompositions", "orthogonality", "tuned"),
        ("checkpoints", "finite_weights", "tuned"),
        ("agreement", "possible_tau", None),  # as the button "Execute all" does
    ],
)
def test_a_check_alone_judges_what_is_stored_and_makes_nothing(
    made: tuple[Workspace, dg.ExecuteInProcessResult], asset: str, check: str, model: str | None
) -> None:
    space, _ = made
    before = {file: file.stat().st_mtime_ns for file in space.settings.tables.rglob("*.parquet")}
    key = dg.AssetCheckKey(dg.AssetKey(asset), check)
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("models", ["tuned"])
        # As in an instance that made the rows: Dagster looks up what was judged.
        instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition="tuned"))
        result = dg.materialize(
            [*(defs.assets or []), *(defs.asset_checks or [])],
            selection=dg.AssetSelection.checks(key),
            instance=instance,
            tags={"dagster/partition": model} if model else None,
            resources={
                "workspace": WorkspaceResource(data=str(space.settings.data), families=str(space.settings.families))
            },
        )
        (evaluation,) = result.get_asset_check_evaluations()
    assert evaluation.passed
    assert evaluation.partition == model
    assert (evaluation.asset_key.to_user_string(), evaluation.check_name) == (asset, check)
    assert not result.get_asset_materialization_events()
    assert {file: file.stat().st_mtime_ns for file in space.settings.tables.rglob("*.parquet")} == before


def test_the_job_of_checks_judges_one_model_where_a_run_says_so(
    made: tuple[Workspace, dg.ExecuteInProcessResult],
) -> None:
    space, _ = made
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("models", ["tuned"])
        result = defs.resolve_job_def("check_stored_rows").execute_in_process(
            tags={"dagster/partition": "tuned"},
            instance=instance,
            resources={
                "workspace": WorkspaceResource(data=str(space.settings.data), families=str(space.settings.families))
            },
            raise_on_error=False,
        )
    found = {(e.asset_key.to_user_string(), e.check_name): e for e in result.get_asset_check_evaluations()}
    assert found["agreement", "possible_tau"].partition == "tuned"
    assert len(found) >= len(CHECKS)
    assert not result.get_asset_materialization_events()


def test_a_check_that_compared_nothing_says_so_in_its_description() -> None:
    from assets.behaviour.checks import damage_is_matched, restored_is_closer, same_documents
    from assets.structure.checks import numerical_floor, possible_tau

    for found in (
        damage_is_matched([]), restored_is_closer([]), same_documents([], []), numerical_floor([]), possible_tau([])
    ):  # fmt: skip
        assert (found.description or "").startswith("Compared nothing: ")
        assert found.metadata["compared"].value == 0


def test_figures_are_short_enough_to_be_shown_without_a_click(
    made: tuple[Workspace, dg.ExecuteInProcessResult],
) -> None:
    """Dagster's UI shows Markdown of less than 1,000 characters as it is, and hides the rest behind a link."""
    _, result = made
    shown = {
        event.asset_key.to_user_string(): str(event.materialization.metadata["by_matrix"].value)
        for event in result.get_asset_materialization_events()
        if event.asset_key and "by_matrix" in event.materialization.metadata
    }
    for asset in ("scale_statistics", "rotation_statistics", "agreement"):
        assert len(shown[asset]) < 1000
        assert "by layer" in shown[asset]
        assert set("▁▂▃▄▅▆▇█") & set(shown[asset])


def test_bars_keep_one_scale_and_stay_short() -> None:
    from assets.structure.plots import table

    rows = [
        {"layer": layer, "matrix": matrix, "tau": None if layer == 2 else layer + 10 * (matrix == "k")}
        for layer in range(4)
        for matrix in ("q", "k")
    ]
    lines = str(table(rows, ["tau"], "tau").value).splitlines()
    assert "tau by layer, 0 to 13" in lines[0]
    assert lines[2].endswith("| ▁▂·▃ |")
    assert lines[3].endswith("| ▆▇·█ |")
    deep = [{"layer": layer, "matrix": "q", "tau": layer / 100} for layer in range(100)]
    assert len(str(table(deep, ["tau"], "tau").value).splitlines()[2].split("|")[-2].strip()) == 20
