"""Killing `run`, `compare`, `edit` and `publish` at seeded moments, and seeing whether the next run puts all right.

Makes tiny checkpoints, runs the commands once undisturbed, then again and again in fresh folders: a few are killed
(most with SIGKILL, some interrupted with SIGINT or SIGTERM) at a moment drawn by time or by how many files were made,
each going on where the last stopped, and then all commands run to their end. Afterwards

  rows         of every published table equal those of the undisturbed run, none lost or doubled, numbers to 1e-9
  weights      of the edited checkpoint are the same bytes
  leftovers    no temporary file, no lock or slot of a pool that is held, no run that is unfinished, no process
  messages     an interrupted command ends soon and without a traceback
  doctor       finds nothing damaged

It prints a line per folder and a summary; the exit code is 1 if anything did not hold.

    .venv/bin/python benchmarks/kill_campaign.py --kills 200 [--seed 0] [--commands run compare edit publish] [--keep]
"""

from __future__ import annotations

import argparse
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

COMMANDS = ("run", "compare", "edit", "publish")
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
PATIENCE_SECONDS = 120
RELATIVE, ABSOLUTE = 1e-9, 1e-12
"""The digits that are promised: numbers of a resumed run differ from an undisturbed one's by no more."""
UNCOMPARED = ("run_id", "materialized_at", "seconds", "path", "published_at", "version")
"""Columns about the making of a row, and not about the models."""


@dataclass
class Kill:
    """What became of one command that was to be killed."""

    command: str
    signal: signal.Signals | None
    """None when it had ended by itself before its moment."""
    problems: list[str] = field(default_factory=list)


@dataclass
class Summary:
    """What the campaign found."""

    kills: Counter[str] = field(default_factory=Counter)
    """By command and signal."""
    problems: list[str] = field(default_factory=list)
    leftovers: int = 0
    """Temporary files that the kills left, all of which the next runs have to sweep."""
    folders: int = 0
    deviation: float = 0.0
    """Largest relative difference of a number from the undisturbed run's."""
    seconds: float = 0.0

    def __str__(self) -> str:
        table = ", ".join(f"{number} x {what}" for what, number in sorted(self.kills.items()))
        lines = [
            f"{self.kills.total()} kills in {self.folders} folders, {self.seconds:.0f} s: {table}",
            f"{self.leftovers} temporary files left by the kills; largest relative difference {self.deviation:.1e}",
            f"{len(self.problems)} problems",
        ]
        return "\n".join([*lines, *(f"  {problem}" for problem in self.problems)])


class Campaign:
    """Kills of some commands on one set of tiny checkpoints."""

    def __init__(self, folder: Path, checkpoints: Path, commands: Sequence[str] = COMMANDS, seed: int = 0) -> None:
        from tests.tiny import FAMILY

        self.folder = folder
        self.generator = random.Random(seed)
        self.families = folder / "families"
        self.families.mkdir(parents=True)
        pair = [str(checkpoints / "base"), str(checkpoints / "tuned")]
        self.arguments = {
            "run": ["run"],
            "compare": ["compare", *pair],
            "edit": ["edit", *pair, "--recipe", "disrupt-left", "--out", "{data}/edited"],
            "publish": ["publish"],
        }
        self.commands = [name for name in COMMANDS if name in commands]
        # One edit, so that a run takes seconds; it is made by a resumed run like any number of them.
        family = FAMILY.format(checkpoints).replace("models:", "recipes: [disrupt-left]\nmodels:", 1)
        (self.families / "tiny.yaml").write_text(family, encoding="utf-8")
        self.seconds: dict[str, float] = {}
        self.files: dict[str, int] = {}

    def run(self, kills: int, kills_per_folder: int = 6, keep: bool = False) -> Summary:
        """Kill `kills` commands, at most so many in one folder, and finish what they began."""
        start = time.monotonic()
        summary = Summary()
        reference = self.folder / "undisturbed"
        self._undisturbed(reference, summary)
        expected = published_rows(reference)
        while summary.kills.total() < kills:
            data = self.folder / f"{summary.folders:03d}"
            found = len(summary.problems)
            goal = min(kills, summary.kills.total() + self.generator.randint(1, kills_per_folder))
            for _ in range(3 * kills_per_folder):  # the more is done already, the more often a command ends first
                if summary.kills.total() >= goal:
                    break
                kill = self._kill(data)
                if kill.signal is not None:
                    summary.kills[f"{kill.command} {kill.signal.name}"] += 1
                summary.problems += [f"{data.name} {kill.command}: {problem}" for problem in kill.problems]
            summary.leftovers += len(list(temporary_files(data)))
            problems = [*self._finish(data), *held(data)]
            if not problems:
                deviation, differences = compare_rows(expected, published_rows(data))
                summary.deviation = max(summary.deviation, deviation)
                problems += [*differences, *self._compare_weights(reference, data)]
            summary.problems += [f"{data.name}: {problem}" for problem in problems]
            summary.folders += 1
            print(f"{data.name}: {summary.kills.total()} kills, {len(summary.problems) - found} problems", flush=True)
            for problem in summary.problems[found:]:
                print(f"  {problem}", flush=True)
            if not keep and len(summary.problems) == found:
                shutil.rmtree(data)
        summary.seconds = time.monotonic() - start
        return summary

    def _undisturbed(self, data: Path, summary: Summary) -> None:
        """All commands once: what they take and make, to draw moments from."""
        for name in self.commands:
            before, start = count_files(data), time.monotonic()
            process, errors = self._start(name, data)
            if process.wait():
                raise SystemExit(f"undisturbed {name} failed:\n{errors.read_text()}")
            self.seconds[name], self.files[name] = time.monotonic() - start, count_files(data) - before
        summary.problems += [f"undisturbed: {problem}" for problem in held(data)]

    def _start(self, name: str, data: Path) -> tuple[subprocess.Popen[bytes], Path]:
        arguments = [argument.format(data=data) for argument in self.arguments[name]]
        environment = {
            **os.environ,
            "ROTOSCALE_DATA": str(data),
            "ROTOSCALE_FAMILIES": str(self.families),
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "200",
        }
        errors = self.folder / "errors.txt"
        with open(errors, "wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "command_line", *arguments],
                cwd=PROJECT,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=file,
                start_new_session=True,
            )
        return process, errors

    def _kill(self, data: Path) -> Kill:
        """Start one command and kill it at its moment, as a terminal or `kill` would."""
        name, number = self.generator.choice(self.commands), self.generator.choice(SIGNALS)
        by_files = self.generator.random() < 0.5
        deadline = time.monotonic() + (PATIENCE_SECONDS if by_files else self.generator.random() * self.seconds[name])
        goal = count_files(data) + self.generator.randint(1, max(1, self.files[name]))
        pause = self.generator.random() * 0.1
        process, errors = self._start(name, data)
        kill = Kill(name, None)
        while process.poll() is None and time.monotonic() < deadline and not (by_files and count_files(data) >= goal):
            time.sleep(0.005)
        if by_files:
            time.sleep(pause)
        if process.poll() is not None:
            if process.returncode:
                kill.problems.append(f"ended by itself with {process.returncode}: {errors.read_text()[-2000:]}")
            return kill
        kill.signal = number
        # Ctrl-C reaches all processes of a terminal, `kill` only the one that it names.
        (os.kill if number == signal.SIGTERM else os.killpg)(process.pid, number)
        try:
            process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            kill.problems.append(f"still runs {PATIENCE_SECONDS} s after {number.name}")
        if not group_ends(process.pid):
            kill.problems.append(f"left processes behind after {number.name}")
        process.wait()
        if number != signal.SIGKILL and "Traceback" in errors.read_text(errors="replace"):
            kill.problems.append(f"{number.name} printed {errors.read_text(errors='replace')[-3000:]}")
        return kill

    def _finish(self, data: Path) -> Iterator[str]:
        """Run every command to its end."""
        for name in self.commands:
            process, errors = self._start(name, data)
            try:
                process.wait(self.seconds[name] * 3 + PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                yield f"{name} did not end: {errors.read_text()[-2000:]}"
                continue
            if process.returncode:
                yield f"{name} failed with {process.returncode}: {errors.read_text()[-3000:]}"
        environment = {**os.environ, "ROTOSCALE_DATA": str(data), "ROTOSCALE_FAMILIES": str(self.families)}
        doctor = [sys.executable, "-m", "command_line", "doctor"]
        healthy = subprocess.run(doctor, cwd=PROJECT, env=environment, capture_output=True, text=True)
        if healthy.returncode:
            yield f"doctor: {healthy.stdout}{healthy.stderr}"

    def _compare_weights(self, reference: Path, data: Path) -> Iterator[str]:
        for file in reference.glob("edited/*.safetensors"):
            if (data / "edited" / file.name).read_bytes() != file.read_bytes():
                yield f"edited/{file.name} differs"


def count_files(folder: Path) -> int:
    """Files below a folder, temporary ones included."""
    return sum(len(files) for _, _, files in os.walk(folder))


def temporary_files(folder: Path) -> Iterator[Path]:
    """What is only there while somebody writes: temporary files, journals, folders of half-written checkpoints."""
    for path in folder.rglob(".*"):
        if path.name.endswith((".tmp", ".tmp.wal")) or ".partial-" in path.name or path.name.startswith(".scratch-"):
            yield path


def group_ends(group: int, patience: float = 10.0) -> bool:
    """Whether all processes of a group are gone in a while; they are killed otherwise."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    os.killpg(group, signal.SIGKILL)
    return False


def held(data: Path) -> Iterator[str]:
    """What nobody may hold or leave after all has ended."""
    import dagster as dg
    from filelock import FileLock, Timeout

    for path in temporary_files(data):
        yield f"left {path.relative_to(data)}"
    for path in [*data.rglob("*.lock"), *data.glob("factors/locks/*")]:
        try:
            with FileLock(path, timeout=0):
                pass
        except Timeout:
            yield f"{path.relative_to(data)} is locked"
    if not (data / "dagster").exists():
        return
    from assets.slots import free_dead_slots

    with dg.DagsterInstance.from_config(str(data / "dagster")) as instance:
        free_dead_slots(instance)  # as whoever needs Dagster next does; a command with nothing to do does not open it
        storage = instance.event_log_storage
        for pool in storage.get_concurrency_keys():
            for slot in storage.get_concurrency_info(pool).claimed_slots:
                yield f"run {slot.run_id} holds a slot of {pool}"
        ended = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
        for run in instance.get_runs():
            if run.status not in (*ended, dg.DagsterRunStatus.QUEUED):  # what is queued waits for the next daemon
                yield f"run {run.run_id} is {run.status.value} for ever"


Row = tuple[tuple[Any, ...], tuple[float, ...]]


def published_rows(data: Path) -> dict[str, list[Row]]:
    """Rows by table, sorted: of each what has to be equal, and its numbers."""
    from resources.warehouse import read

    found = {}
    with read(data / "published") as connection:
        for (table,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
            cursor = connection.execute(f'SELECT * FROM "{table}"')
            names = [column[0] for column in cursor.description]
            kept = [i for i, name in enumerate(names) if name not in UNCOMPARED]
            found[table] = sorted((_row([row[i] for i in kept]) for row in cursor.fetchall()), key=repr)
    return found


def _row(values: Sequence[Any]) -> Row:
    exact: list[Any] = []
    numbers: list[float] = []
    for value in values:
        parts = value if isinstance(value, list | tuple) else [value]
        numeric = [part for part in parts if isinstance(part, float)]
        numbers += numeric
        exact.append(("numbers", len(numeric)) if numeric else value)
    return tuple(exact), tuple(numbers)


def compare_rows(expected: dict[str, list[Row]], found: dict[str, list[Row]]) -> tuple[float, list[str]]:
    """The largest relative difference of a number, and everything that is not as promised."""
    largest, problems = 0.0, []
    for table, rows in expected.items():
        others = found.get(table, [])
        if [repr(row[0]) for row in rows] != [repr(row[0]) for row in others]:
            problems.append(f"{table}: {len(rows)} rows expected, {len(others)} found, or other keys")
            continue
        for row, other in zip(rows, others, strict=True):
            for a, b in zip(row[1], other[1], strict=True):
                if a == b or (math.isnan(a) and math.isnan(b)):
                    continue
                if not abs(a - b) <= RELATIVE * max(abs(a), abs(b)) + ABSOLUTE:
                    problems.append(f"{table}: {a!r} expected, {b!r} found in {row[0]}")
                if abs(a - b) > ABSOLUTE:
                    largest = max(largest, abs(a - b) / max(abs(a), abs(b)))
    return largest, problems


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=COMMANDS)
    parser.add_argument("--keep", action="store_true", help="keep all folders, not only those with problems")
    options = parser.parse_args()
    from tests.tiny import make_family

    folder = Path(tempfile.mkdtemp(prefix="kill-campaign-"))
    campaign = Campaign(folder / "work", make_family(folder / "checkpoints"), options.commands, options.seed)
    summary = campaign.run(options.kills, keep=options.keep)
    print(summary)
    if summary.problems:
        print(f"folders with problems are kept in {folder}")
        raise SystemExit(1)
    if not options.keep:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
