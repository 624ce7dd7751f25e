"""A real `dagster dev` with its daemon: a release appears on a Hub, and its rows appear in the published file."""

from __future__ import annotations

import datetime
import time
from pathlib import Path

import pytest

from resources.warehouse import current, read
from tests.command_line.test_ui import free_ports, running
from tests.resources.hub_server import GOOD_TOKEN, HubServer

PATIENCE = 540.0  # seconds


def published(data: Path, query: str) -> list[tuple]:
    """The answer of the published file; nothing while there is none with these tables."""
    if current(data / "published") is None:
        return []
    with read(data / "published") as connection:
        return connection.execute(query).fetchall()


def files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_release_is_found_analysed_and_published_by_itself(
    tmp_path: Path, checkpoints: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, families = tmp_path / "data", tmp_path / "families"
    families.mkdir()
    family = "family: tiny\nmodels:\n- {id: base, role: base, hub: lab/base}\nwatch: {hub: true, authors: [lab]}\n"
    (families / "tiny.yaml").write_text(family)
    port, dashboard_port = free_ports(2)
    with HubServer() as hub:
        hub.add("lab/base", files(checkpoints / "base"))
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.setenv("HF_TOKEN", GOOD_TOKEN)
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
        monkeypatch.setenv("ROTOSCALE_WATCH_CRON", "* * * * *")
        arguments = ("ui", "--port", port, "--dashboard-port", dashboard_port)
        with running(*arguments, data=data, families=families) as command:
            command.until("a first poll", lambda: "/api/models" in [path for _, path, _ in hub.requests], PATIENCE)
            now = {"created_at": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%M:%S.000Z}"}
            commit = hub.descend("lab/poet", "lab/base", files(checkpoints / "tuned"), **now)
            hub.descend("other/poet", "lab/base", files(checkpoints / "unrelated"), **now)
            appeared = time.monotonic()
            rows = command.until(
                "rows of the release",
                lambda: published(data, "SELECT DISTINCT base_id FROM scale_statistics WHERE model_id = 'lab--poet'"),
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
    written = [file for folder in (data, families) for file in folder.rglob("*") if file.is_file()]
    assert any("runs" in file.parts or file.suffix == ".db" for file in written)  # Dagster's own books among them
    assert not [file for file in written if GOOD_TOKEN.encode() in file.read_bytes()]
    print(f"from the Hub to the published file: {took:.0f} s")
