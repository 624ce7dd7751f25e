"""Several machines: runs on a Ray cluster with Postgres, a worker killed in the middle, a single machine's rows."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.kill_campaign import compare_rows, published_rows
from benchmarks.night import perturbed_copy
from resources.warehouse import current, read
from tests.cluster import Ray, kill_all, postgres, postgres_programs
from tests.tiny import write_family

PROJECT = Path(__file__).resolve().parent.parent
MODELS = 4
PATIENCE_SECONDS = 3000.0


@pytest.fixture
def families(tmp_path: Path, checkpoints: Path) -> Path:
    """Base, tuned, unrelated, and perturbed copies of tuned, without edits."""
    more = ""
    for number in range(MODELS - 3):
        perturbed_copy(checkpoints / "tuned", tmp_path / "models" / f"copy-{number}", number)
        more += f"  - {{id: copy-{number}, base: base, path: {tmp_path}/models/copy-{number}}}\n"
    return write_family(tmp_path / "families", checkpoints, more + "recipes: []\n")


def settings(data: Path, families: Path) -> dict[str, str]:
    one = {"OMP_NUM_THREADS": "1", "ROTOSCALE_WORKERS": "1", "HF_HUB_OFFLINE": "1", "COLUMNS": "200"}
    # A job of Ray starts `dagster` as the worker's path finds it.
    one["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, **one, "ROTOSCALE_DATA": str(data), "ROTOSCALE_FAMILIES": str(families)}


def single_machine(data: Path, families: Path) -> None:
    command = [sys.executable, "-m", "command_line", "run"]
    done = subprocess.run(
        command, cwd=PROJECT, env=settings(data, families), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


def until(look: Callable[[], object], what: str, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not look():
        assert time.monotonic() < deadline, f"{what}: not in time; {log.read_text(errors='replace')[-4000:]}"
        time.sleep(0.5)


def all_is_published(data: Path) -> bool:
    if current(data / "published") is None:
        return False
    with read(data / "published") as connection:
        (waiting,) = connection.execute("SELECT count(*) FROM backlog").fetchone() or (1,)
        (models,) = connection.execute("SELECT count(DISTINCT model_id) FROM tensor_changes").fetchone() or (0,)
    return waiting == 0 and models == MODELS


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_killed_worker_changes_no_row(tmp_path: Path, families: Path) -> None:
    pytest.importorskip("dagster_ray", reason="the extra `distributed` is not installed")
    pytest.importorskip("dagster_postgres", reason="the extra `distributed` is not installed")
    if postgres_programs() is None:
        pytest.skip("Postgres is not installed (Debian: apt-get install postgresql)")
    single_machine(tmp_path / "single", families)

    data = tmp_path / "data"
    home = data / "dagster"
    home.mkdir(parents=True)
    # Ray's sockets need a short path; Postgres' user has to reach its folder.
    short = Path(f"/tmp/rotoscale-{os.getpid()}")
    short.mkdir(mode=0o755)
    log = short / "daemon.log"
    environment = settings(data, families)
    environment |= {"DAGSTER_HOME": str(home), "ROTOSCALE_FILL": "nightly", "ROTOSCALE_BACKFILL_CRON": "* * * * *"}
    try:
        with postgres(short / "pg") as database, Ray(short / "ray", {**environment, **database}) as ray:
            environment |= {**database, "ROTOSCALE_RAY": ray.address}
            text = (PROJECT / "deploy" / "dagster.yaml").read_text(encoding="utf-8")
            assert "num_cpus: 2" in text
            assert "        - ROTOSCALE_DATA\n" in text
            more = "".join(f"        - {name}\n" for name in ("OMP_NUM_THREADS", "ROTOSCALE_WORKERS", "HF_HUB_OFFLINE"))
            text = text.replace("num_cpus: 2", "num_cpus: 1").replace(
                "        - ROTOSCALE_DATA\n", more + "        - ROTOSCALE_DATA\n"
            )
            (home / "dagster.yaml").write_text(text, encoding="utf-8")
            for _ in range(2):
                ray.add_worker()
            with open(log, "wb") as file:
                daemon = subprocess.Popen(
                    [str(Path(sys.executable).with_name("dagster-daemon")), "run", "-w", "workspace.yaml"],
                    cwd=PROJECT, env=environment, stdout=file, stderr=subprocess.STDOUT, start_new_session=True,
                )  # fmt: skip
            try:
                until(lambda: list(data.glob("tables/decompositions/*/rows.parquet")) and ray.busy(), "a run", log)
                victim = ray.busy()
                assert victim is not None
                kill_all(victim)
                finished = {path: path.stat().st_mtime_ns for path in data.glob("tables/tensor_changes/*/rows.parquet")}
                assert len(finished) < MODELS
                until(lambda: all_is_published(data), "everything published", log)
            finally:
                kill_all(daemon)
            assert {path: path.stat().st_mtime_ns for path in finished} == finished
        largest, problems = compare_rows(published_rows(tmp_path / "single"), published_rows(data))
        assert problems == []
        assert largest < 1e-9
    finally:
        shutil.rmtree(short, ignore_errors=True)
