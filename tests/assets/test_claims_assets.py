"""The assets `claims` and `findings`: stored rows of a registered family in, verdicts and their sentences out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from assets.claims.evidence import gather, keys
from assets.claims.group import READ
from assets.freshness import is_waiting, pending_keys
from assets.groups import contract, open_workspace, shared_assets
from resources.settings import load_settings
from resources.workspace import Workspace
from rotoscale.claims import CLAIMS, tables_read
from tests.materialize import materialize
from tests.tiny import write_family

STAMP = {"run_id": "made-up", "code_version": "made-up"}


def write(space: Workspace, table: str, key: str, rows: list[dict[str, Any]], version: str = "1") -> None:
    space.tables.write(table, key, rows, **STAMP, fingerprint=version)


def catalogued(space: Workspace, model: str, role: str, status: str = "ready") -> None:
    row = {"model_id": model, "family": "tiny", "role": role, "base_id": "base", "method": "instruct", "status": status}
    write(space, "models", model, [row], version=f"{role} {status}")


def contrast(model: str, difference: float) -> dict[str, Any]:
    return {
        "subject_id": model, "reference_id": "base", "model_id": model, "task": "entity_tracking", "metric": "acc",
        "filter": "none", "relation": "post against base", "higher_is_better": True, "is_primary": True,
        "difference": difference, "stderr": 0.01, "p_value": 1e-6, "test": "mcnemar", "n": 500,
    }  # fmt: skip


@pytest.fixture
def space(tmp_path: Path, checkpoints: Path) -> Workspace:
    """A family whose descendant and unrelated model were compared with the base on entity tracking."""
    families = write_family(tmp_path / "families", checkpoints)
    space = open_workspace(load_settings(data=tmp_path / "data", families=families))
    for model, role in (("base", "base"), ("tuned", "descendant"), ("unrelated", "unrelated")):
        catalogued(space, model, role)
    write(space, "evaluation_contrasts", "tuned", [contrast("tuned", 0.2)])
    write(space, "evaluation_contrasts", "unrelated", [contrast("unrelated", -0.3)])
    return space


def made(space: Workspace) -> None:
    for asset in ("claims", "findings"):
        assert materialize(space.settings.data, space.settings.families, None, asset).success


def family(space: Workspace) -> str:
    return space.registry.model("tuned").family


def test_verdicts_and_sentences_of_every_descendant_and_its_family(space: Workspace) -> None:
    made(space)
    verdicts = space.tables.read("claims", "tuned")
    assert [row["claim"] for row in verdicts] == [name for name, claim in CLAIMS.items() if claim.scope == "model"]
    (ep1,) = [row for row in verdicts if row["claim"] == "EP1"]
    assert (ep1["verdict"], ep1["estimate"], ep1["control"], ep1["n"]) == ("supported", 0.2, -0.3, 500)
    assert json.loads(ep1["rests_on"])[0]["table"] == "evaluation_contrasts"
    assert {row["verdict"] for row in verdicts if row["claim"] != "EP1"} == {"not tested"}
    assert all(row["reason"] and row["refuted_by"] and row["rule_version"] for row in verdicts)
    (of_family,) = space.tables.read("claims", f"@{family(space)}")
    assert (of_family["claim"], of_family["model_id"]) == ("HC6", "")
    sentences = space.tables.read("findings", "tuned")
    assert {row["page"] for row in sentences} == {"claims"}
    assert [row["rank"] for row in sentences] == list(range(len(verdicts)))
    for row, verdict in zip(sentences, verdicts, strict=True):
        assert row["sentence"].startswith(f"tuned, {verdict['claim']} {verdict['verdict']}: ")
        assert verdict["reason"] in row["sentence"]


def test_only_what_changed_is_judged_again(space: Workspace) -> None:
    made(space)
    assert not any(is_waiting(space, shared_assets()[name]) for name in ("claims", "findings"))
    write(space, "evaluation_contrasts", "tuned", [contrast("tuned", -0.2)], version="2")
    assert [pending_keys(space, shared_assets()[name]) for name in ("claims", "findings")] == [["tuned"]] * 2
    made(space)
    assert [r["verdict"] for r in space.tables.read("claims", "tuned") if r["claim"] == "EP1"] == ["refuted"]
    assert any("EP1 refuted" in row["sentence"] for row in space.tables.read("findings", "tuned"))


def test_an_unrelated_model_that_arrives_is_a_control(space: Workspace) -> None:
    made(space)
    write(space, "evaluation_contrasts", "unrelated", [contrast("unrelated", 0.1)], version="2")
    assert pending_keys(space, shared_assets()["claims"]) == ["tuned"]
    assert "evaluation_contrasts" in gather(space, "tuned").tables
    assert gather(space, "tuned").unrelated == ["unrelated"]


def test_rows_of_models_that_are_gone_go_too(space: Workspace) -> None:
    made(space)
    catalogued(space, "tuned", "descendant", "quarantined")
    assert keys(space) == []
    assert is_waiting(space, shared_assets()["claims"])
    made(space)
    assert space.tables.models("claims") == []
    assert space.tables.models("findings") == ["unrelated"]  # nothing is claimed of it, and there may be much to say


def test_sentences_wait_for_the_verdicts_that_they_are_made_of(space: Workspace) -> None:
    assert materialize(space.settings.data, space.settings.families, None, "findings").success
    assert space.tables.models("findings") == ["unrelated"]
    made(space)
    assert space.tables.read("findings", "tuned")


def test_incomplete_rows_are_judged_again_when_they_are_written_again(space: Workspace) -> None:
    write(space, "evaluation_contrasts", "tuned", [contrast("tuned", 0.2)], version="")
    made(space)
    assert pending_keys(space, shared_assets()["claims"]) == []
    write(space, "evaluation_contrasts", "tuned", [contrast("tuned", -0.2)], version="")
    assert pending_keys(space, shared_assets()["claims"]) == ["tuned"]


def test_claims_come_after_every_asset_that_they_read() -> None:
    assert {contract()[table].asset for table in tables_read() if table in contract()} <= set(READ)


def test_the_reading_of_a_pair_is_stored_with_the_verdicts(tmp_path: Path, checkpoints: Path) -> None:
    """On real statistics of a real pair; the sentences are those that `rotoscale compare` makes of the same rows."""
    from assets.groups import structural_assets
    from resources.warehouse.pair_rows import pair_rows, pair_sentences

    families = write_family(tmp_path / "families", checkpoints)
    for model in ("base", "tuned"):
        assert materialize(tmp_path / "data", families, model, *structural_assets()).success
    space = open_workspace(load_settings(data=tmp_path / "data", families=families))
    made(space)
    read = {row["claim"]: row for row in space.tables.read("claims", "tuned")}
    assert read["HC1"]["verdict"] != "not tested"
    assert (read["HC3"]["verdict"], read["HC3"]["n"]) == ("refuted", 21)
    tables = {t: space.tables.read(t, "tuned") for t in ("agreement", "scale_statistics", "rotation_statistics")}
    tables["tensor_changes"] = space.tables.read("tensor_changes", "tuned")
    expected = pair_sentences(pair_rows("tuned", "base", tables, space.facts("tuned")["dtype"]))
    stored = [row["sentence"] for row in space.tables.read("findings", "tuned") if row["page"] == "pair"]
    assert stored == expected
    taus = sorted(row["tau"] for row in tables["agreement"] if row["tau"] is not None)
    assert read["HC3"]["estimate"] == taus[len(taus) // 2]
