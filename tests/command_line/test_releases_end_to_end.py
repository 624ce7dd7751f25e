"""A real `dagster dev` with its daemon: a release appears on a Hub, and its rows appear in the published file, once.

Everything is killed in the middle of the release's analysis and started again, as after a power cut.
"""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.kill_campaign import Row, compare_rows, held, published_rows
from resources.warehouse import current, read
from tests.command_line.test_ui import assert_gone, free_ports, running
from tests.resources.hub_server import GOOD_TOKEN, HubServer

PATIENCE = 900.0  # seconds, of each start; on two cores that others use as well it took 560
COMPARED = ("decompositions", "scale_statistics", "rotation_statistics", "agreement", "tensor_changes")


def published(data: Path, query: str) -> list[tuple]:
    """The answer of the published file; nothing while there is none with these tables."""
    if current(data / "published") is None:
        return []
    with read(data / "published") as connection:
        return connection.execute(query).fetchall()


def compared(data: Path) -> dict[str, list[Row]]:
    """The published rows of the release beside its base, in the tables that the comparison of weights fills."""
    everything = published_rows(data)
    return {table: [row for row in everything[table] if "lab--poet" in row[0]] for table in COMPARED}


def undisturbed(folder: Path, checkpoints: Path) -> dict[str, list[Row]]:
    """The same rows of the same weights, made by one `rotoscale run` that nobody kills."""
    (folder / "families").mkdir(parents=True)
    models = f"- {{id: base, role: base, path: {checkpoints}/base}}\n"
    models += f"- {{id: lab--poet, base: base, path: {checkpoints}/tuned}}\n"
    (folder / "families" / "tiny.yaml").write_text(f"family: tiny\nrecipes: []\nmodels:\n{models}")
    environment = {**os.environ, "ROTOSCALE_DATA": f"{folder}/data", "ROTOSCALE_FAMILIES": f"{folder}/families"}
    subprocess.run([sys.executable, "-m", "command_line", "run"], env=environment, check=True, capture_output=True)
    return compared(folder / "data")


def files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_a_release_is_found_analysed_and_published_by_itself_once_though_all_is_killed_in_the_middle(
    tmp_path: Path, checkpoints: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, families = tmp_path / "data", tmp_path / "families"
    families.mkdir()
    family = "family: tiny\nrecipes: []\nmodels:\n- {id: base, role: base, hub: lab/base}\n"
    (families / "tiny.yaml").write_text(family + "watch: {hub: true, authors: [lab]}\n")
    port, dashboard_port = free_ports(2)
    arguments = ("ui", "--port", port, "--dashboard-port", dashboard_port)
    with HubServer() as hub:
        hub.add("lab/base", files(checkpoints / "base"))
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.setenv("HF_TOKEN", GOOD_TOKEN)
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
        monkeypatch.setenv("ROTOSCALE_WATCH_CRON", "* * * * *")
        with running(*arguments, data=data, families=families) as command:
            command.until("a first poll", lambda: "/api/models" in [path for _, path, _ in hub.requests], PATIENCE)
            now = {"created_at": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%M:%S.000Z}"}
            commit = hub.descend("lab/poet", "lab/base", files(checkpoints / "tuned"), **now)
            hub.descend("other/poet", "lab/base", files(checkpoints / "unrelated"), **now)
            appeared = time.monotonic()
            decomposed = data / "tables" / "decompositions" / "model=lab--poet" / "rows.parquet"
            command.until("the middle of its analysis", decomposed.exists, PATIENCE)
            children = command.family()
            command.kill()
            assert_gone(children | command.family())
        finished = {file: file.stat().st_mtime_ns for file in data.glob("tables/*/model=lab--poet/rows.parquet")}
        assert decomposed in finished
        assert published(data, "SELECT 1 FROM tensor_changes WHERE model_id = 'lab--poet'") == []
        with running(*arguments, data=data, families=families) as command:
            rows = command.until(
                "rows of the release",
                lambda: published(data, "SELECT DISTINCT base_id FROM tensor_changes WHERE model_id = 'lab--poet'"),
                PATIENCE,
            )
            took = time.monotonic() - appeared
            assert rows == [("base",)]
            question = "SELECT state, revision, results_at > found_at FROM releases WHERE model_id = 'lab--poet'"
            expected = [("results", commit, True)]
            command.until("its state", lambda: published(data, question) == expected, PATIENCE)
            left = published(data, "SELECT decision, reason FROM releases WHERE model = 'other/poet'")
            assert left == [("left", "The account other is not among those that the family names.")]
            weights = [
                path for method, path, _ in hub.requests if method == "GET" and path.endswith("model.safetensors")
            ]
            assert sorted(path.split("/resolve/")[0] for path in weights) == ["/lab/base", "/lab/poet"]  # each once
            assert command.stop() == 0
        assert f"Bearer {GOOD_TOKEN}" in hub.tokens
    assert list(held(data)) == []
    assert {file: file.stat().st_mtime_ns for file in finished} == finished  # nothing was made twice
    deviation, differences = compare_rows(undisturbed(tmp_path / "undisturbed", checkpoints), compared(data))
    assert (deviation, differences) == (0, [])
    written = [file for folder in (data, families) for file in folder.rglob("*") if file.is_file()]
    assert any("runs" in file.parts or file.suffix == ".db" for file in written)  # Dagster's own books among them
    assert not [file for file in written if GOOD_TOKEN.encode() in file.read_bytes()]
    print(f"from the Hub to the published file, with the kill: {took:.0f} s")
