"""The page of releases: what was found and why, what is late by the rule of the checks, what waits in which order."""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from resources.warehouse.lateness import POLLED_WITHIN, RESULTS_WITHIN, late_polls, late_releases
from tests import synthetic
from tests.synthetic import open_store, publish

from .conftest import HOSTILE, words

App = Callable[..., AppTest]
NOW = datetime.datetime.now(datetime.UTC)
STAMP = {"run_id": "r", "code_version": "1"}


def release(model: str, decision: str, days: float, **more: Any) -> dict[str, Any]:
    found = NOW - datetime.timedelta(days=days)
    row = {"family": "f", "source": "hub", "model": model, "revision": "c", "relation": "finetune", "found_at": found}
    return {**row, "decision": decision, "reason": f"reason of {model}", "state_reason": "", **more}


def poll(watched: str, hours: float | None, message: str = "") -> dict[str, Any]:
    at = None if hours is None else NOW - datetime.timedelta(hours=hours)
    return {"family": "f", "watched": watched, "relation": "finetune", "succeeded_at": at, "message": message}


def waiting(place: int, model: str, tries: int = 0, held: str = "") -> dict[str, Any]:
    assets = [] if held else ["checkpoints", "decompositions"]
    row = {"place": place, "model": model, "family": "f", "assets": assets, "why": "missing", "tries": tries}
    return {**row, "held": ["checkpoints"] if held else [], "held_reason": held, "last_failure": "failed" * bool(tries)}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("releases")
    synthetic.write(folder, [synthetic.Model("b", "f", "base", "b", "base")], synthetic.Shape(layers=1))
    done = release("org/done", "taken", 4, state="results", model_id="done")
    done["results_at"] = done["found_at"] + datetime.timedelta(hours=3, minutes=30)
    rows = [
        done,
        release("org/left", "left", 1),
        release("org/late", "taken", 5, state="registered", model_id="late"),
        release("org/new", "taken", 0.1, state="registered", model_id="new"),
        release(HOSTILE[0], "left", 2),
    ]
    write(folder, "releases", "f", rows)
    write(folder, "release_polls", "f", [poll("org/base", 1), poll("org/silent", 90, "answers 504")])
    queue = [
        waiting(0, "new"),
        waiting(1, HOSTILE[2]),
        waiting(2, "weak", 1),
        waiting(3, "poison", 3, "3 tries failed"),
    ]
    write(folder, "backlog", "all", queue)
    return folder


@pytest.fixture
def data(tmp_path: Path, made: Path) -> Path:
    """A copy, which a test may change."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


def write(data: Path, table: str, key: str, rows: list[dict[str, Any]]) -> None:
    store = open_store(data)
    store.write(table, key, rows, **STAMP)
    publish(store, data / "published")


def frames(test: AppTest, column: str) -> list[Any]:
    return [frame.value for frame in test.dataframe if column in frame.value.columns]


def test_what_was_found_with_its_reason_and_its_hours(app: App, data: Path) -> None:
    test = app(data, "releases")
    assert not test.exception
    (found,) = frames(test, "decision")
    assert list(found["model"]) == ["org/new", "org/left", HOSTILE[0], "org/done", "org/late"]
    assert list(found.loc[found["model"] == "org/done", "hours"]) == [3.5]
    assert "reason of org/left" in set(found["reason"])
    assert {metric.label: metric.value for metric in test.metric} == {
        "Found": "5", "Taken": "3", "With results": "1", "Quarantined": "0", "Hours to results": "3.5", "Waiting": "4",
    }  # fmt: skip
    (left,) = frames(app(data, "releases", decided="left"), "decision")
    assert set(left["model"]) == {"org/left", HOSTILE[0]}


def test_what_is_late_is_named(app: App, data: Path) -> None:
    test = app(data, "releases")
    (said,) = [block.value for block in test.code]
    assert said.count("\n") == 1
    assert "org/silent (finetune) gave no answer since" in said
    assert "answers 504" in said
    assert "late of f waits 120 hours" in said
    assert ":orange-badge[late]" in words(test)
    write(data, "releases", "f", [release("org/new", "taken", 0.1, state="registered", model_id="new")])
    write(data, "release_polls", "f", [poll("org/base", 1)])
    assert ":orange-badge[late]" not in words(app(data, "releases"))


def test_the_queue_is_in_its_order_and_what_is_left_out_stands_apart(app: App, data: Path) -> None:
    test = app(data, "releases")
    turn, left_out = frames(test, "last_failure")
    assert list(turn["model"]) == ["new", HOSTILE[2], "weak"]
    assert list(left_out["model"]) == ["poison"]
    assert list(left_out["held_reason"]) == ["3 tries failed"]
    assert ":red[shout" not in words(test)
    models = app(data, "models")
    (failing,) = frames(models, "last_failure")
    assert list(zip(failing["model"], failing["tries"], strict=True)) == [("weak", 1), ("poison", 3)]


def test_nothing_found_yet_still_shows_the_queue(app: App, data: Path) -> None:
    write(data, "releases", "f", [])
    write(data, "release_polls", "f", [])
    test = app(data, "releases")
    assert "No family watches for releases yet" in words(test)
    assert len(frames(test, "last_failure")) == 2


def test_the_rules_of_lateness() -> None:
    edge = NOW - POLLED_WITHIN
    polls = [{**poll("w", 0), "succeeded_at": at} for at in (edge, edge - datetime.timedelta(seconds=1), None)]
    assert [bool(late_polls([one], NOW)) for one in polls] == [False, True, True]
    edge = NOW - RESULTS_WITHIN - datetime.timedelta(seconds=1)
    states = {"registered": True, "ready": True, "waiting": True, "results": False, "quarantined": False}
    for state, late in {**states, "forgotten": False}.items():
        row = {**release("m", "taken", 0, state=state, model_id="m"), "found_at": edge}
        assert bool(late_releases([row], NOW)) == late
        assert not late_releases([{**row, "found_at": NOW - RESULTS_WITHIN}], NOW)
        assert not late_releases([{**row, "decision": "left"}], NOW)
