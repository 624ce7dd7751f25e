"""The structure assets, really materialized on tiny checkpoints and checked against independent numpy numbers."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import numpy as np
import pytest
from safetensors.torch import load_file

from assets.definitions import defs
from assets.freshness import pending
from assets.groups import contract, model_assets, structural_assets
from assets.materializing import WorkspaceResource
from assets.structure import checks
from resources.warehouse import TableStore, read
from tests.materialize import materialize
from tests.tiny import truncated_copy, with_nan, write_family

STRUCTURE = structural_assets()
MODELS = ("base", "tuned", "unrelated")


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory, checkpoints: Path) -> Path:
    """Data folder in which the tiny family was materialized and published."""
    folder = tmp_path_factory.mktemp("structure")
    families = write_family(folder / "families", checkpoints)
    for model in MODELS:
        assert materialize(folder / "data", families, model, *STRUCTURE).success
    assert materialize(folder / "data", families, None, "warehouse").success
    return folder


def query(folder: Path, sql: str, *parameters: object) -> list[tuple]:
    with read(folder / "data" / "published") as connection:
        return connection.execute(sql, parameters).fetchall()


def test_every_model_has_its_rows_in_every_table(warehouse: Path) -> None:
    pairs = dict.fromkeys(("decompositions", "scale_statistics", "rotation_statistics", "agreement"), 21)
    for table, rows in {"models": 1, **pairs}.items():
        assert query(warehouse, f"SELECT model_id, count(*) FROM {table} GROUP BY 1 ORDER BY 1") == [
            (model, rows) for model in sorted(MODELS)
        ]
    for table in (*pairs, "tensor_changes", "coverage"):
        missing = query(warehouse, f"SELECT count(*) FROM {table} WHERE run_id IS NULL OR code_version IS NULL")
        assert missing == [(0,)]


def test_catalogued_facts_are_right(warehouse: Path) -> None:
    assert query(
        warehouse,
        "SELECT role, base_id, architecture, dtype, n_layers, hidden_size, n_heads, n_kv_heads, status "
        "FROM models WHERE model_id = 'unrelated'",
    ) == [("unrelated", "base", "llama", "bfloat16", 3, 32, 4, 2, "ready")]


@pytest.mark.parametrize(("layer", "matrix", "name"), [(0, "q", "self_attn.q_proj"), (2, "down", "mlp.down_proj")])
def test_statistics_agree_with_numpy(warehouse: Path, checkpoints: Path, layer: int, matrix: str, name: str) -> None:
    weights = [
        load_file(checkpoints / model / "model.safetensors")[f"model.layers.{layer}.{name}.weight"].double().numpy()
        for model in ("base", "tuned")
    ]
    (U, s, Vh), (U2, s2, Vh2) = (np.linalg.svd(W, full_matrices=False) for W in weights)
    nf = np.linalg.norm((U.T @ U2).T @ (Vh @ Vh2.T) - np.eye(len(s))) / np.sqrt(len(s))
    change = np.linalg.norm(weights[1] - weights[0]) / np.linalg.norm(weights[0])
    where = (layer, matrix)
    (found,) = query(
        warehouse,
        "SELECT nf, relative_change, nf_null, nf_over_null FROM rotation_statistics "
        "WHERE model_id = 'tuned' AND layer = ? AND matrix = ?",
        *where,
    )
    assert found[0] == pytest.approx(nf, abs=1e-6)
    assert found[1] == pytest.approx(change, rel=1e-9)
    assert found[3] == pytest.approx(found[0] / found[2])
    pairwise = (s[:, None] + s) ** -2.0
    e2 = np.linalg.norm(weights[1] - weights[0]) ** 2 / weights[0].size
    null = np.sqrt(2 * e2 / len(s) * (pairwise.sum() - np.trace(pairwise)))
    assert found[2] == pytest.approx(null, rel=1e-9)
    (scale,) = query(
        warehouse,
        "SELECT alpha_median, alpha_least_squares, ratio FROM scale_statistics "
        "WHERE model_id = 'tuned' AND layer = ? AND matrix = ?",
        *where,
    )
    assert scale[0] == pytest.approx(np.median((s2 / s)[s > 1e-3 * s[0]]), rel=1e-9)
    assert scale[1] == pytest.approx(s @ s2 / (s @ s), rel=1e-9)
    np.testing.assert_allclose(scale[2], s2 / s, rtol=1e-6)


@pytest.mark.parametrize(("layer", "matrix", "name"), [(0, "q", "self_attn.q_proj"), (2, "down", "mlp.down_proj")])
def test_agreement_agrees_with_numpy(warehouse: Path, checkpoints: Path, layer: int, matrix: str, name: str) -> None:
    base, post = (
        load_file(checkpoints / model / "model.safetensors")[f"model.layers.{layer}.{name}.weight"].double().numpy()
        for model in ("base", "tuned")
    )
    U, _, Vh = np.linalg.svd(base, full_matrices=False)
    change = post - base
    D = U.T @ change @ Vh.T
    off = D - np.diag(np.diag(D))
    energy = np.sum(change**2)
    scale = np.sum(change * base) ** 2 / np.sum(base**2)
    (found,) = query(
        warehouse,
        "SELECT tau, share_scale, share_diagonal, share_shared, share_apart, share_outside, depth FROM agreement "
        "WHERE model_id = 'tuned' AND layer = ? AND matrix = ?",
        layer,
        matrix,
    )
    expected = [
        np.sum(off * off.T) / np.sum(off**2),
        scale / energy,
        (np.sum(np.diag(D) ** 2) - scale) / energy,
        np.sum((off + off.T) ** 2) / 4 / energy,
        np.sum((off - off.T) ** 2) / 4 / energy,
        1 - np.sum(D**2) / energy,
    ]
    np.testing.assert_allclose(found[:-1], expected, atol=1e-9)
    assert found[-1] == "full"


def test_q_values_are_corrected_over_the_matrices_of_one_model(warehouse: Path) -> None:
    for tail in ("together", "apart"):
        rows = query(warehouse, f"SELECT p_{tail}, q_{tail} FROM agreement WHERE model_id = 'tuned' ORDER BY p_{tail}")
        p, q = np.array(rows).T
        n = len(p)
        expected = np.minimum.accumulate((p * n / np.arange(1, n + 1))[::-1])[::-1]
        np.testing.assert_allclose(q, expected)
    assert query(warehouse, "SELECT count(tau), count(q_together) FROM agreement WHERE model_id = 'base'") == [(0, 0)]


def test_principal_matrices_are_found_by_their_place_among_the_changes(warehouse: Path) -> None:
    assert query(
        warehouse,
        "SELECT count(*), count(*) FILTER (c.relative_change = r.relative_change) FROM tensor_changes c "
        "JOIN rotation_statistics r USING (model_id, base_id, layer, matrix, expert) WHERE model_id = 'tuned'",
    ) == [(21, 21)]


def test_standard_depth_says_so_in_rows_and_checks(
    tmp_path: Path, families: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROTOSCALE_DEPTH", "standard")
    for model in ("base", "tuned"):
        result = materialize(tmp_path / "data", families, model, *STRUCTURE)
        assert result.success
    space = WorkspaceResource(data=str(tmp_path / "data"), families=str(families)).open()
    assert {row["depth"] for row in space.tables.read("agreement", "tuned")} == {"standard"}
    assert all(row["nf"] is None for row in space.tables.read("rotation_statistics", "tuned"))
    assert {row["kernel"] for row in space.tables.read("decompositions", "tuned")} <= {"gram-values", "svd-values"}
    found = {e.asset_check_evaluation_data.check_name: e.asset_check_evaluation_data for e in checks_of(result)}
    for name in ("reconstruction", "orthogonality", "possible_nf", "numerical_floor"):
        assert found[name].passed
        assert "nothing to compare" in found[name].metadata["note"].value
    assert found["possible_tau"].metadata["compared"].value == 21
    monkeypatch.setenv("ROTOSCALE_DEPTH", "full")
    assert set(pending(WorkspaceResource(data=str(tmp_path / "data"), families=str(families)).open(), "tuned")) >= {
        "decompositions",
        "rotation_statistics",
        "agreement",
    }


def checks_of(result: dg.ExecuteInProcessResult) -> list[dg.DagsterEvent]:
    return [e for e in result.all_events if e.event_type_value == "ASSET_CHECK_EVALUATION"]


@pytest.mark.parametrize(
    ("row", "passed"),
    [
        ({"tau": 0.5, "p_together": 0.01, "p_apart": 1.0}, True),
        ({"tau": 1.5, "p_together": 0.01, "p_apart": 1.0}, False),
        ({"tau": 0.5, "p_together": 0.0, "p_apart": 1.0}, False),
    ],
)
def test_an_impossible_tau_fails_its_check(row: dict[str, float], passed: bool) -> None:
    assert checks.possible_tau([row]).passed == passed


def test_shares_that_do_not_sum_to_one_fail_their_check() -> None:
    row = dict.fromkeys(checks.SHARES, 0.2)
    assert checks.whole_budget([row]).passed
    assert not checks.whole_budget([row, {**row, "share_apart": 0.3}]).passed
    assert "nothing" in str(checks.whole_budget([dict.fromkeys(checks.SHARES)]).metadata["note"].value)


def test_a_base_compared_with_itself_is_the_exact_floor(warehouse: Path) -> None:
    assert query(
        warehouse,
        "SELECT max(nf), max(relative_change), min(alpha_median), max(alpha_mean), max(leak), max(unexplained) "
        "FROM rotation_statistics JOIN scale_statistics USING (model_id, base_id, layer, matrix, expert) "
        "WHERE model_id = 'base'",
    ) == [(0, 0, 1, 1, 0, 0)]


def test_the_unrelated_model_sits_at_the_unrelated_level_and_the_descendant_far_below(warehouse: Path) -> None:
    level = dict(query(warehouse, "SELECT model_id, median(nf / nf_unrelated) FROM rotation_statistics GROUP BY 1"))
    assert level["unrelated"] == pytest.approx(1, abs=0.1)
    assert level["tuned"] < 0.5


def test_every_tensor_is_accounted_for_and_every_change_recorded(warehouse: Path, checkpoints: Path) -> None:
    stored = load_file(checkpoints / "tuned" / "model.safetensors")
    changes = query(warehouse, "SELECT tensor, principal, identical_share FROM tensor_changes WHERE model_id = 'tuned'")
    assert {row[0] for row in changes} == set(stored)
    assert sum(row[1] for row in changes) == 21
    states = dict(query(warehouse, "SELECT state, sum(parameters) FROM coverage WHERE model_id = 'tuned' GROUP BY 1"))
    assert set(states) == {"analysed", "skipped"}
    assert sum(states.values()) == sum(tensor.numel() for tensor in stored.values())


def test_nothing_is_pending_after_a_run_until_a_weight_changes(
    warehouse: Path, checkpoints: Path, tmp_path: Path
) -> None:
    space = WorkspaceResource(data=str(warehouse / "data"), families=str(warehouse / "families")).open()
    assert [pending(space, model, STRUCTURE) for model in MODELS] == [[], [], []]
    assert set(STRUCTURE) < set(model_assets())
    rebased = write_family(tmp_path / "families", tmp_path)
    for model in MODELS:
        (tmp_path / model).symlink_to(checkpoints / ("unrelated" if model == "tuned" else model))
    elsewhere = WorkspaceResource(data=str(warehouse / "data"), families=str(rebased)).open()
    assert "checkpoints" in pending(elsewhere, "tuned")


def test_materializations_carry_tables_pictures_and_checks(tmp_path: Path, families: Path) -> None:
    for model in ("base", "tuned"):
        result = materialize(tmp_path / "data", families, model, *STRUCTURE)
    for asset in ("decompositions", "scale_statistics", "rotation_statistics", "agreement"):
        metadata = result.asset_materializations_for_node(
            "decompositions" if asset == "decompositions" else "comparison_statistics"
        )
        (found,) = [m for m in metadata if m.asset_key == dg.AssetKey(asset)]
        assert found.metadata["dagster/row_count"].value == 21
        assert "| q | 3 |" in found.metadata["by_matrix"].value
        assert any("data:image/png;base64," in str(value.value) for value in found.metadata.values())
    found = {e.asset_check_evaluation_data.check_name: e for e in checks_of(result)}
    assert set(found) == {
        "finite_weights",
        "reconstruction",
        "orthogonality",
        "positive_scale",
        "numerical_floor",
        "possible_nf",
        "possible_tau",
        "whole_budget",
        "coverage",
    }
    assert all(event.asset_check_evaluation_data.passed for event in found.values())


@pytest.mark.parametrize(
    ("damage", "words"), [(truncated_copy, ("model.safetensors", "bytes")), (with_nan, ("layers.1", "up", "NaN"))]
)
def test_a_bad_model_is_quarantined_with_its_reason_and_the_others_go_on(
    tmp_path: Path,
    checkpoints: Path,
    damage,
    words: tuple[str, ...],  # type: ignore[no-untyped-def]
) -> None:
    damage(checkpoints / "tuned", tmp_path / "bad")
    more = f"  - {{id: bad, base: base, method: instruct, path: {tmp_path}/bad}}\n"
    families = write_family(tmp_path / "families", checkpoints, more)
    outcomes = {
        model: materialize(tmp_path / "data", families, model, *STRUCTURE).success for model in ("base", "bad", "tuned")
    }
    assert outcomes == {"base": True, "bad": False, "tuned": True}
    (row,) = TableStore(tmp_path / "data" / "tables", contract()).read("models", "bad")
    assert row["status"] == "quarantined"
    for word in words:
        assert word in row["status_reason"]


def test_rows_of_all_assets_fit_the_contract_without_unknown_tables(warehouse: Path) -> None:
    written = {folder.name for folder in (warehouse / "data" / "tables").iterdir()}
    assert written <= set(contract())


def test_missing_partitions_are_requested_by_automation(
    tmp_path: Path, families: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROTOSCALE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("ROTOSCALE_FAMILIES", str(families))
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("models", ["base", "tuned"])
        result = dg.evaluate_automation_conditions(defs=defs, instance=instance)
        requested = result.get_requested_partitions(dg.AssetKey("checkpoints"))
        assert requested == {"base", "tuned"}
        # The whole chain at once, so that one model is one run.
        assert result.get_requested_partitions(dg.AssetKey("rotation_statistics")) == {"base", "tuned"}


def test_a_descendant_that_runs_before_its_base_catalogues_the_base_itself(tmp_path: Path, families: Path) -> None:
    assert materialize(tmp_path / "data", families, "tuned", *STRUCTURE).success
    tables = TableStore(tmp_path / "data" / "tables", contract())
    assert tables.read("models", "base")[0]["status"] == "ready"
    assert tables.models("decompositions") == ["tuned"]
    space = WorkspaceResource(data=str(tmp_path / "data"), families=str(families)).open()
    assert pending(space, "base", STRUCTURE)[0] == "decompositions"


def test_the_sensor_adds_registered_models(tmp_path: Path, families: Path) -> None:
    sensor = defs.get_sensor_def("registered_models")
    resource = WorkspaceResource(data=str(tmp_path), families=str(families))
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(instance=instance, resources={"workspace": resource})
        result = sensor(context)
        assert [list(r.partition_keys) for r in result.dynamic_partitions_requests] == [["base", "tuned", "unrelated"]]
        instance.add_dynamic_partitions("models", ["base", "tuned", "unrelated"])
        assert not sensor(context).dynamic_partitions_requests


def test_a_family_file_with_a_mistake_is_reported_by_the_sensor(tmp_path: Path, families: Path) -> None:
    (families / "broken.yaml").write_text("family: broken\nmodles: []\n")
    sensor = defs.get_sensor_def("registered_models")
    resource = WorkspaceResource(data=str(tmp_path), families=str(families))
    with dg.DagsterInstance.ephemeral() as instance:
        result = sensor(dg.build_sensor_context(instance=instance, resources={"workspace": resource}))
    assert "modles" in str(result.skip_reason)
