"""The circuit assets, really materialized on a family whose circuit is known by construction."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from assets.circuits.work import circuit_of, head_model, settings_of
from assets.freshness import pending
from assets.groups import tables_of
from assets.materializing import WorkspaceResource
from resources.circuits import sizes
from resources.circuits.finding import find_circuit
from resources.workspace import Workspace
from rotoscale.circuits.heads import Head
from tests.materialize import materialize
from tests.resources.circuits.wired import CIRCUIT
from tests.speakers import tokenizer
from tests.wired_family import BACKUP, make_wired_family

ASSETS = ("circuits", "circuit_faithfulness", "component_masks", "cross_model_patching")
STAMPS = {"run_id", "code_version", "materialized_at"}


@pytest.fixture(scope="module", autouse=True)
def few_prompts() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROTOSCALE_CIRCUIT_PROMPTS", "8")
        patch.setattr(sizes, "_FEWEST", 7)  # one of each box: the wired model is never wrong, more would say no more
        yield


class Project:
    """A data folder over the family, and what its runs gave."""

    def __init__(self, data: Path, families: Path) -> None:
        self.data, self.families = data, families
        self.results: dict[str, dg.ExecuteInProcessResult] = {}

    @property
    def space(self) -> Workspace:
        return WorkspaceResource(data=str(self.data), families=str(self.families)).open()

    def make(self, model: str, *assets: str) -> None:
        result = materialize(self.data, self.families, model, "checkpoints", *assets)
        assert result.success, [e.message for e in result.all_events if e.is_failure]
        self.results[model] = result

    def rows(self, table: str, model: str) -> list[dict[str, Any]]:
        found = self.space.tables.read(table, model)
        return [{name: value for name, value in row.items() if name not in STAMPS} for row in found]

    def said(self, model: str, asset: str) -> dict[str, Any]:
        (made,) = (
            event.materialization
            for event in self.results[model].get_asset_materialization_events()
            if event.asset_key == dg.AssetKey(asset)
        )
        return {name: value.value for name, value in made.metadata.items()}

    def checked(self, model: str) -> list[dg.AssetCheckEvaluation]:
        found = self.results[model].get_asset_check_evaluations()
        return [check for check in found if check.asset_key == dg.AssetKey("circuits")]


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_wired_family(tmp_path_factory.mktemp("wired"))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, families: Path) -> Project:
    made = Project(tmp_path_factory.mktemp("project"), families)
    for model in ("wired", "without-backup", "random"):
        made.make(model, *ASSETS)
    return made


def test_the_known_circuit_is_found(project: Project) -> None:
    kept = {
        (r["circuit_group"], Head(r["layer"], r["head"])) for r in project.rows("circuit_heads", "wired") if r["kept"]
    }
    assert kept == {(group, head) for group, heads in CIRCUIT.items() for head in heads}
    own = project.rows("circuit_heads", "without-backup")
    assert ("A", BACKUP) not in {(r["circuit_group"], Head(r["layer"], r["head"])) for r in own if r["kept"]}


def test_the_checks_hold_and_are_told_to_dagster(project: Project) -> None:
    checks = project.checked("wired")
    assert {check.check_name for check in checks} == {"clean_value", "everything", "whole_model"}
    assert all(check.passed and check.metadata["error"].value < 1e-3 for check in checks)


def test_the_base_circuit_is_followed(project: Project) -> None:
    rows = {row["circuit_model_id"]: row for row in project.rows("circuit_faithfulness", "without-backup")}
    assert set(rows) == {"wired", "without-backup"}
    assert rows["wired"]["n_heads"] == 5
    assert rows["without-backup"]["n_heads"] == 4
    assert rows["wired"]["accuracy_full_low"] <= rows["wired"]["accuracy_full"] <= rows["wired"]["accuracy_full_high"]
    edges = project.rows("followed_edges", "without-backup")
    of_backup = [row for row in edges if (row["sender_layer"], row["sender_head"]) == BACKUP]
    assert of_backup
    assert all(abs(row["probability_score"]) < 1e-5 for row in of_backup)  # it writes nothing any more
    overlap = {row["what"]: row for row in project.rows("circuit_overlap", "without-backup")}
    assert overlap["heads"]["precision"] == 1.0
    assert overlap["heads"]["recall"] == pytest.approx(4 / 5)


def test_the_pair_is_exchanged_both_ways(project: Project) -> None:
    rows = project.rows("cross_model_patching", "without-backup")
    pairs = {(row["recipient_id"], row["donor_id"]) for row in rows}
    assert pairs == {("wired", "without-backup"), ("without-backup", "wired")}
    assert {row["model_id"] for row in rows} == {"without-backup"}
    assert {row["component"] for row in rows} == {"A", "B", "C", "D"}
    assert project.rows("cross_model_patching", "wired") == []
    assert "a base is not followed into itself" in project.said("wired", "cross_model_patching")["reason"]


def test_an_unrelated_model_is_a_control_of_faithfulness_only(project: Project) -> None:
    (row,) = project.rows("circuit_faithfulness", "random")
    assert row["circuit_model_id"] == "wired"
    assert row["accuracy_circuit"] < 0.5
    assert not [t for a in ("circuits", "component_masks", "cross_model_patching") for t in tables_of(a)
                if project.rows(t, "random")]  # fmt: skip
    assert "unrelated" in project.said("random", "circuits")["reason"]


def test_masks_have_gains_against_the_base(project: Project) -> None:
    base = {(r["circuit_group"], r["desideratum"]): r["accuracy"] for r in project.rows("component_masks", "wired")}
    gains = project.rows("component_gains", "without-backup")
    assert {(row["circuit_group"], row["desideratum"]) for row in gains} == set(base)
    for row in gains:
        assert row["accuracy_base"] == base[row["circuit_group"], row["desideratum"]]
        assert row["gain"] == pytest.approx(row["accuracy"] - row["accuracy_base"])


def test_a_stored_circuit_is_the_one_that_was_found(project: Project) -> None:
    """What a descendant is compared with comes from rows; looked for anew it would be the same."""
    import torch

    space = project.space
    settings = settings_of(space)
    with head_model(space, "wired") as model:
        stored, found = circuit_of(space, model), find_circuit(model, settings=settings, tables=())
    assert stored.tables.keys() > found.tables.keys()  # it was read
    assert (stored.groups, stored.order, stored.reason) == (found.groups, found.order, found.reason)
    index = torch.tensor([0, 0, 3, 5])
    assert stored.chain.kept_edges(settings) == found.chain.kept_edges(settings) != set()
    assert stored.chain.kept_edges(settings, index) == found.chain.kept_edges(settings, index)
    assert stored.chain.kept_heads(settings, index) == found.chain.kept_heads(settings, index)


def test_the_order_of_base_and_descendant_does_not_matter(project: Project, families: Path, tmp_path: Path) -> None:
    """The automation may come to a descendant first: the base's circuit is then found on the way."""
    alone = Project(tmp_path, families)
    alone.make("without-backup", "circuits", "circuit_faithfulness")
    assert alone.rows("circuit_heads", "wired") == []
    for table in ("followed_edges", "circuit_overlap", "faithfulness_curves"):
        assert alone.rows(table, "without-backup") == project.rows(table, "without-backup"), table


def test_freshness_follows_the_number_of_prompts(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pending(project.space, "without-backup", ASSETS) == []
    monkeypatch.setenv("ROTOSCALE_CIRCUIT_PROMPTS", "9")
    assert set(pending(project.space, "without-backup", ASSETS)) == set(ASSETS)


def test_a_tokenizer_without_the_words_is_no_failure(families: Path, tmp_path: Path) -> None:
    shutil.copytree(families.parent / "wired", tmp_path / "speaker")
    tokenizer().save_pretrained(tmp_path / "speaker")
    own = tmp_path / "families"
    own.mkdir()
    text = f"family: s\nmodels:\n  - {{id: speaker, role: base, path: {tmp_path}/speaker}}\n"
    (own / "s.yaml").write_text(text, encoding="utf-8")
    made = Project(tmp_path / "data", own)
    made.make("speaker", *ASSETS)
    assert "speaker: only 0 objects are single tokens" in made.said("speaker", "circuits")["reason"]
    assert made.rows("circuit_screens", "speaker") == []
    checks = made.checked("speaker")
    assert {check.check_name for check in checks} == {"clean_value", "everything", "whole_model"}
    assert all(check.passed and "nothing to check" in check.metadata["note"].value for check in checks)
    assert pending(made.space, "speaker", ASSETS) == []
