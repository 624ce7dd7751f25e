"""A capability is one folder: a group that is put beside the others is found by everything that lists them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from assets.groups import contract, groups, model_assets, tables_of
from resources.warehouse import read
from tests.tiny import write_family

PROJECT = Path(__file__).resolve().parents[2]

GROUP = '''
"""Group `toy`: the number of layers, counted once more."""

from assets.groups import Asset, Group
from resources.warehouse import table

GROUP = Group(
    "toy",
    assets=(Asset("layer_counts", "toy-1", after=("checkpoints",)),),
    tables=(table("layer_counts", "layer_counts", "model_id", "Layers.", "model_id VARCHAR Id.\\nn INTEGER Layers."),),
)
'''
DEFINITIONS = """
import dagster as dg

from assets.materializing import WorkspaceResource, materializing, spec


@dg.multi_asset(specs=[spec("layer_counts", "toy", "Layers, counted once more.")])
def layer_counts(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult:
    with materializing(context, workspace, "layer_counts") as run:
        n = run.space.checkpoint(run.model).n_layers
        run.write({"layer_counts": [{"model_id": run.model, "n": n}]})
    return run.result("layer_counts", {"layers": n})


defs = dg.Definitions(assets=[layer_counts])
"""
FACTS = """
import json
from assets.definitions import defs
from assets.freshness import pending
from assets.groups import open_workspace
from resources.settings import load_settings

space = open_workspace(load_settings())
repository = defs.get_repository_def()
graph = repository.asset_graph
key = next(key for key in graph.get_all_asset_keys() if key.to_user_string() == "layer_counts")
print(json.dumps({
    "group": graph.get(key).group_name,
    "published_after": "layer_counts" in [k.to_user_string() for k in graph.get(type(key)(["warehouse"])).parent_keys],
    "automatic": graph.get(key).automation_condition is not None,
    "pending": pending(space, "base"),
}))
"""

MODELS_PAGE = """
import json
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

test = AppTest.from_file("dashboard/app.py", default_timeout=120).run()
test.query_params["model"] = "base"
test._page_hash = calc_hash("models")
test.run()
assert not test.exception, test.exception
print(json.dumps([frame.value.astype(str).values.tolist() for frame in test.dataframe]))
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, checkpoints: Path) -> Path:
    """A copy of the project with one more folder in it."""
    copy = tmp_path_factory.mktemp("house")
    for room in ("assets", "command_line", "dashboard", "resources", "rotoscale"):
        shutil.copytree(PROJECT / room, copy / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "dagster.yaml", copy)
    toy = copy / "assets" / "toy"
    toy.mkdir()
    (toy / "__init__.py").touch()
    (toy / "group.py").write_text(GROUP, encoding="utf-8")
    (toy / "definitions.py").write_text(DEFINITIONS, encoding="utf-8")
    write_family(copy / "families", checkpoints)
    return copy


def in_house(house: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *command], cwd=house, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def facts(house: Path) -> dict:
    return json.loads(in_house(house, "-c", FACTS).splitlines()[-1])


def test_a_new_group_is_one_folder(house: Path) -> None:
    found = facts(house)
    assert (found["group"], found["published_after"], found["automatic"]) == ("toy", True, True)
    assert "layer_counts" in found["pending"]
    in_house(house, "-m", "command_line", "run", "base")
    assert facts(house)["pending"] == []
    with read(house / "data" / "published") as connection:
        assert connection.execute("SELECT model_id, n, code_version FROM layer_counts").fetchall() == [
            ("base", 3, "toy-1")
        ]
        texts = connection.execute(
            "SELECT asset, group_name, key FROM table_texts WHERE table_name = 'layer_counts'"
        ).fetchall()
        assert texts == [("layer_counts", "toy", ["model_id"])]
    assert '"layer_counts"' in in_house(house, "-c", MODELS_PAGE)


def test_every_table_names_an_asset_of_its_group_and_every_asset_fills_one() -> None:
    for group in groups():
        own = {*(asset.name for asset in (*group.assets, *group.shared)), *group.others}
        assert {table.asset for table in group.tables} == own
    assert all(tables_of(name) for name in model_assets())
    assert len(contract()) == sum(len(group.tables) for group in groups())


def test_assets_come_after_what_they_need() -> None:
    order = list(model_assets())
    for name, asset in model_assets().items():
        assert all(order.index(needed) < order.index(name) for needed in asset.after)
