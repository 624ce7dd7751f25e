"""Comparing matrices: finished pairs are recognised without reading, and results do not depend on how work was cut."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from resources.checkpoints import NonFiniteWeights
from resources.comparison import other_changes
from resources.decomposing import DecompositionTask, decompose_matrix
from resources.depth import depth_of
from resources.location import Location
from resources.pairs import PairTask, compare_matrices
from resources.staged import Staged, each
from resources.weight_hashes import WeightHashes

SMALL, LARGE = [(64, 64)] * 7, [(9000, 1500)] * 200


@pytest.mark.parametrize(
    ("setting", "shapes", "depth"),
    [
        ("auto", SMALL, "full"),
        ("auto", LARGE, "standard"),
        ("full", LARGE, "full"),
        ("standard", SMALL, "standard"),
    ],
)
def test_the_depth_is_what_is_asked_for_or_goes_by_size(
    setting: str, shapes: list[tuple[int, int]], depth: str
) -> None:
    assert depth_of(setting, shapes) == depth


@pytest.fixture
def models(tmp_path: Path, checkpoints: Path) -> tuple[Location, Location]:
    """A base and its descendant of this test's own."""
    return tuple(Location(shutil.copytree(checkpoints / name, tmp_path / name)) for name in ("base", "tuned"))  # type: ignore[return-value]


def tasks_of(models: tuple[Location, Location], data: Path, depth: str = "full", null_draws: int = 2) -> list[PairTask]:
    base, post = models
    keys = post.open().matrices()
    return [PairTask(base, post, key, data / "factors", data / "pairs", "cpu", depth, null_draws, 0) for key in keys]


def decompositions_of(model: Location, data: Path) -> list[DecompositionTask]:
    return [DecompositionTask(model, key, data / "factors", "cpu") for key in model.open().matrices()]


def rows_of(tasks: Sequence[PairTask]) -> list[Any]:
    return [compare_matrices(task) for task in tasks]


def spoil(model: Location) -> None:
    """Overwrite every weight with NaN, leaving header, size and time of the files: reading any of them is an error."""
    for file in model.path.glob("*.safetensors"):
        facts = file.stat()
        with file.open("r+b") as content:
            header = 8 + int.from_bytes(content.read(8), "little")
            content.seek(header)
            content.write(b"\xff" * (facts.st_size - header))
        os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def test_a_finished_pair_is_recognised_without_reading_a_weight(
    models: tuple[Location, Location], tmp_path: Path
) -> None:
    tasks = tasks_of(models, tmp_path)
    decompositions = [decompose_matrix(task) for task in decompositions_of(models[1], tmp_path)]
    rows, others = rows_of(tasks), other_changes(models[0].open(), models[1].open(), tmp_path / "pairs")
    for model in models:
        spoil(model)
    with pytest.raises(NonFiniteWeights):
        models[1].open().read(tasks[0].key)
    assert rows_of(tasks) == rows
    assert [decompose_matrix(task) for task in decompositions_of(models[1], tmp_path)] == decompositions
    assert other_changes(models[0].open(), models[1].open(), tmp_path / "pairs") == others


def test_hashes_that_a_pass_over_the_files_found_spare_reading_them_again(
    models: tuple[Location, Location], tmp_path: Path
) -> None:
    tasks = tasks_of(models, tmp_path)
    rows = rows_of(tasks)
    shutil.rmtree(tmp_path / "factors")
    for model in models:
        checkpoint = model.open()
        hashes = WeightHashes(checkpoint, tmp_path / "elsewhere")
        found = {key: hashes.of(key, checkpoint.read(key)) for key in checkpoint.matrices()}
        WeightHashes(checkpoint, tmp_path / "factors").save(found)
        spoil(model)
    assert rows_of(tasks) == rows


def test_weights_written_over_are_compared_again(models: tuple[Location, Location], tmp_path: Path) -> None:
    tasks = tasks_of(models, tmp_path)
    rows = rows_of(tasks)
    shutil.copy(models[0].path / "model.safetensors", models[1].path / "model.safetensors")
    again = rows_of(tasks)
    assert all(row["rotation_statistics"]["nf"] == 0 for row in again)
    assert not any(row["rotation_statistics"]["nf"] == 0 for row in rows)


def test_a_damaged_record_is_computed_again_to_the_same_bits(models: tuple[Location, Location], tmp_path: Path) -> None:
    tasks = tasks_of(models, tmp_path)[:3]
    rows = rows_of(tasks)
    for record in (tmp_path / "pairs").rglob("*.json"):
        record.write_text(record.read_text().replace('"nf":0', '"nf":1'), encoding="utf-8")
    assert rows_of(tasks) == rows
    for record in (tmp_path / "pairs").rglob("*.json"):
        record.write_text(json.dumps({"sha256": 3}), encoding="utf-8")
    assert rows_of(tasks) == rows


def test_results_are_the_same_bits_however_the_work_was_cut(models: tuple[Location, Location], tmp_path: Path) -> None:
    """With factors made on the way or stored before, forwards or backwards, next to others or alone."""
    whole = rows_of(tasks_of(models, tmp_path / "whole"))
    for model in models:
        for task in decompositions_of(model, tmp_path / "resumed"):
            decompose_matrix(task)
    tasks = tasks_of(models, tmp_path / "resumed")
    rows_of(tasks[2:5])
    for file in sorted((tmp_path / "resumed" / "factors").rglob("*.safetensors"))[::3]:
        file.unlink()
    assert rows_of(tasks[::-1])[::-1] == whole


THREADS = """
from resources import workers

def threads(task):
    import numpy, scipy.linalg, torch
    from threadpoolctl import threadpool_info
    return {pool["num_threads"] for pool in threadpool_info()} | {torch.get_num_threads()}

sizes = [workers.Work.on_matrix(%d, 10)] * 2
batch = workers.Batch(threads, [0, 1], sizes)
print(workers.run(batch, workers=1, memory_bytes=1e15, report=lambda done, total: None))
"""


@pytest.mark.parametrize("size", [10, 10**12])
def test_a_matrix_has_one_thread_however_much_there_is_to_do(size: int) -> None:
    """In a process of its own, where the libraries are loaded by the work itself."""
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    result = subprocess.run(
        [sys.executable, "-c", THREADS % size], capture_output=True, text=True, check=True, env=environment
    )
    assert result.stdout.strip() == "[{1}, {1}]"


def test_on_a_device_the_next_task_is_read_while_one_is_computed() -> None:
    """The second task is loaded before the first one is computed to its end; results keep their order."""
    import threading

    second = threading.Event()

    def load(task: Any) -> int:
        if task.number == 1:
            second.set()
        return task.number

    def compute(task: Any, loaded: int) -> int:
        assert loaded or second.wait(timeout=60)
        return loaded * 10

    tasks = [_OnDevice(number) for number in range(4)]
    assert list(each(Staged(load, compute, lambda task, computed: computed + 1), tasks)) == [1, 11, 21, 31]
    assert list(each(lambda task: task.number, tasks)) == [0, 1, 2, 3]


class _OnDevice:
    device = "cuda"

    def __init__(self, number: int) -> None:
        self.number = number


def test_different_seeds_are_different_records(models: tuple[Location, Location], tmp_path: Path) -> None:
    task = tasks_of(models, tmp_path)[0]
    first, second = compare_matrices(task), compare_matrices(replace(task, seed=1))
    for table, column in (("rotation_statistics", "null_seed"), ("agreement", "seed")):
        assert first[table][column] != second[table][column]


def test_standard_depth_needs_no_vectors_of_the_post_model(models: tuple[Location, Location], tmp_path: Path) -> None:
    rows = rows_of(tasks_of(models, tmp_path, "standard"))
    for row in rows:
        assert row["agreement"]["depth"] == "standard"
        assert -1 < row["agreement"]["tau"] < 1
        assert row["scale_statistics"]["alpha_median"] > 0
        assert row["scale_statistics"]["ratio_cv_noise"] > 0
        assert row["rotation_statistics"]["relative_change"] == row["tensor_changes"]["relative_change"] > 0
        missing = ("nf", "nf_null", "nf_over_null", "formula_error", "leak", "left_top", "intruders", "null_draws")
        assert not any(row["rotation_statistics"][name] for name in missing)
        assert row["agreement"]["principal_angle"] is row["agreement"]["change_stable_rank"] is None
    kept = list((tmp_path / "factors").glob("??/*.safetensors"))
    assert len(kept) == 2 * len(rows)
    assert sum(path.stem.endswith("-values") for path in kept) == len(rows)


def test_full_depth_afterwards_computes_only_what_is_missing(models: tuple[Location, Location], tmp_path: Path) -> None:
    standard = rows_of(tasks_of(models, tmp_path, "standard"))
    records = {path: path.stat().st_ino for path in (tmp_path / "pairs").rglob("*.json")}
    later = rows_of(tasks_of(models, tmp_path, "full"))
    assert {path: path.stat().st_ino for path in records} == records  # nothing was written again
    assert len(list((tmp_path / "pairs").rglob("*.json"))) == 2 * len(records)
    at_once = rows_of(tasks_of(models, tmp_path / "elsewhere", "full"))
    for was, row, direct in zip(standard, later, at_once, strict=True):
        assert row["scale_statistics"] == was["scale_statistics"]
        assert row["tensor_changes"] == was["tensor_changes"]
        full_only = ("depth", "principal_angle", "change_stable_rank", "change_rank_90", "change_top_energy")
        assert {name: value for name, value in row["agreement"].items() if name not in full_only} == {
            name: value for name, value in was["agreement"].items() if name not in full_only
        }
        assert row["agreement"]["depth"] == "full"
        for table in ("agreement", "rotation_statistics"):
            for name, value in direct[table].items():
                assert row[table][name] == (pytest.approx(value, rel=1e-9) if isinstance(value, float) else value)
    spoiled = rows_of(tasks_of(models, tmp_path, "standard"))
    assert spoiled == standard  # and standard depth is still there


@pytest.mark.parametrize("depth", ["standard", "full"])
def test_one_weight_twice_is_not_read(models: tuple[Location, Location], tmp_path: Path, depth: str) -> None:
    """A base beside itself: its factors say everything."""
    base = models[0]
    for task in decompositions_of(base, tmp_path):
        decompose_matrix(task)
    spoil(base)
    for row in rows_of(tasks_of((base, base), tmp_path, depth)):
        assert row["tensor_changes"]["relative_change"] == row["rotation_statistics"]["relative_change"] == 0
        assert row["rotation_statistics"]["nf"] == (0 if depth == "full" else None)
        assert row["agreement"]["depth"] == depth
        assert row["agreement"]["tau"] is row["agreement"]["share_scale"] is None
        assert (row["scale_statistics"]["alpha_median"], row["scale_statistics"]["ratio_cv"]) == (1, 0)


def test_simulated_nulls_are_for_every_matrix_or_for_none(models: tuple[Location, Location], tmp_path: Path) -> None:
    for draws, simulated in ((0, False), (2, True)):
        for row in rows_of(tasks_of(models, tmp_path, "full", draws)):
            rotation = row["rotation_statistics"]
            null = rotation["nf_null_simulated"] if simulated else rotation["nf_null"]
            assert rotation["nf_over_null"] == pytest.approx(rotation["nf"] / null)
            assert rotation["null_draws"] == (draws or None)
            assert (rotation["nf_null_simulated"] is not None) == simulated
            if simulated:
                assert rotation["nf_null_low"] < rotation["nf_null_simulated"] < rotation["nf_null_high"]
