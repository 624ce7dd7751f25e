"""Runs on a Ray cluster with Postgres, a worker killed in the middle: the rows are those of a single machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import dagster as dg
import pytest

from benchmarks.kill_campaign import compare_rows, published_rows
from benchmarks.night import perturbed_copy
from resources.warehouse import current, read
from tests.cluster import PASSWORD, Ray, free_port, kill_all, postgres, postgres_programs
from tests.tiny import write_family

PROJECT = Path(__file__).resolve().parent.parent
MODELS = 4
PATIENCE_SECONDS = 3000.0
Found = TypeVar("Found")


@pytest.fixture
def families(tmp_path: Path, checkpoints: Path) -> Path:
    """Base, tuned, unrelated, and perturbed copies of tuned, without edits."""
    more = ""
    for number in range(MODELS - 3):
        perturbed_copy(checkpoints / "tuned", tmp_path / "models" / f"copy-{number}", number)
        more += f"  - {{id: copy-{number}, base: base, path: {tmp_path}/models/copy-{number}}}\n"
    return write_family(tmp_path / "families", checkpoints, more + "recipes: []\n")


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short path, as Ray's sockets need it, that Postgres' user can reach."""
    folder = Path(f"/tmp/rotoscale-{os.getpid()}")
    folder.mkdir(mode=0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


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


def write_instance(home: Path) -> None:
    """The instance of deploy/ for workers of one CPU, looked after more often."""
    home.mkdir(parents=True)
    here = {"num_cpus: 2": "num_cpus: 1", "poll_interval_seconds: 20": "poll_interval_seconds: 10"}
    copy_with(PROJECT / "deploy" / "dagster.yaml", home / "dagster.yaml", here)


def copy_with(source: Path, target: Path, here: dict[str, str]) -> None:
    """A shipped file with what is different here."""
    text = source.read_text(encoding="utf-8")
    for shipped, other in here.items():
        assert shipped in text
        text = text.replace(shipped, other)
    target.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def daemon(environment: dict[str, str], log: Path) -> Iterator[None]:
    """The code as a server, and Dagster's daemon: the queue, schedules, sensors and the monitoring of runs."""
    port, workspace = free_port(), log.with_name("workspace.yaml")
    here = {"host: code": "host: 127.0.0.1", "port: 4266": f"port: {port}"}
    copy_with(PROJECT / "deploy" / "workspace.yaml", workspace, here)
    programs = Path(sys.executable).parent
    commands = [
        [programs / "dagster", "code-server", "start", "-h", "127.0.0.1", "-p", str(port), "-m", "assets.definitions"],
        [programs / "dagster-daemon", "run", "-w", workspace],
    ]
    with open(log, "ab") as file, contextlib.ExitStack() as running:
        for command in commands:
            process = subprocess.Popen(
                command, cwd=PROJECT, env=environment, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
            )
            running.callback(kill_all, process)
        yield


def until(look: Callable[[], Found | None], what: str, log: Path) -> Found:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := look()):
        assert time.monotonic() < deadline, f"{what}: not in time; {log.read_text(errors='replace')[-4000:]}"
        time.sleep(0.5)
    return found


def finished(data: Path) -> dict[str, int]:
    """Models whose comparison is stored, and when it was written."""
    rows = data.glob("tables/tensor_changes/model=*/rows.parquet")
    return {path.parent.name.removeprefix("model="): path.stat().st_mtime_ns for path in rows}


def run_in_the_middle(instance: dg.DagsterInstance, data: Path) -> dg.DagsterRun | None:
    """A run that has decomposed its model and not yet compared it."""
    for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        model = run.tags.get("dagster/partition", "")
        decomposed = data / "tables" / "decompositions" / f"model={model}" / "rows.parquet"
        if decomposed.exists() and model not in finished(data):
            return run
    assert len(finished(data)) < MODELS, "everything was done before a worker could be killed"
    return None


def published_counts(data: Path) -> dict[str, int]:
    """How many rows each published table has; none before the first is published."""
    if current(data / "published") is None:
        return {}
    with read(data / "published") as connection:
        tables = [name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
        return {name: connection.sql(f'SELECT * FROM "{name}"').count("*").fetchall()[0][0] for name in tables}


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_killed_worker_changes_no_row(
    tmp_path: Path, short: Path, families: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("dagster_ray", reason="`make test-distributed` installs the extra `distributed`")
    pytest.importorskip("dagster_postgres", reason="`make test-distributed` installs the extra `distributed`")
    if postgres_programs() is None:
        pytest.skip("no Postgres (Debian: apt-get install postgresql)")
    single_machine(tmp_path / "single", families)

    data, log = tmp_path / "data", short / "daemon.log"
    write_instance(data / "dagster")
    environment = settings(data, families)
    environment |= {"DAGSTER_HOME": str(data / "dagster"), "ROTOSCALE_FILL": "nightly"}
    environment["ROTOSCALE_BACKFILL_CRON"] = "* * * * *"
    with postgres(short / "pg") as database, Ray(short / "ray", {**environment, **database}) as ray:
        for name, value in ray.environment.items():
            monkeypatch.setenv(name, value)
        for _ in range(2):
            ray.add_worker()
        with dg.DagsterInstance.get() as instance, daemon(ray.environment, log):
            run = until(lambda: run_in_the_middle(instance, data), "a run", log)
            victim = ray.worker_of(run.run_id)
            assert victim is not None
            kill_all(victim)
            before = finished(data)
            assert run.tags["dagster/partition"] not in before
            ray.add_worker()  # another machine takes its place
            wanted = published_counts(tmp_path / "single")
            assert wanted["claims"] > 0
            until(lambda: published_counts(data) == wanted, "as many rows as a single machine's in every table", log)

            killed = instance.get_run_by_id(run.run_id)
            assert killed is not None
            assert killed.status == dg.DagsterRunStatus.FAILURE
            again = instance.get_runs(dg.RunsFilter(tags={"dagster/parent_run_id": run.run_id}))
            assert [one.status for one in again] == [dg.DagsterRunStatus.SUCCESS]
            told = "".join(str(entry) for entry in instance.all_logs(run.run_id))
            assert PASSWORD not in told + ray.jobs() + log.read_text(errors="replace")
    assert before.items() <= finished(data).items(), "what was finished before the kill was made again"
    largest, problems = compare_rows(published_rows(tmp_path / "single"), published_rows(data))
    assert problems == []
    assert largest < 1e-9
