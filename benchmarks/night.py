"""A night's backfill over many tiny models with poison ones among them, killed in the middle and started again.

Makes a base and its descendants (perturbed copies of a really trained one), some of them truncated, with a NaN, or of
an unknown architecture, and fills them all, either by `rotoscale backfill` or by the nightly schedule under a real
Dagster daemon (`--daemon`, `rotoscale ui` with ROTOSCALE_FILL=nightly). When half of them are done, every process is
killed with SIGKILL, and all is started again. Afterwards

  rows      of every good model are in the published file, each once, and what was done before the kill was left alone
  poison    is quarantined with its reason, was tried as often as it may be and is given up, and kept nobody waiting
  leftovers no temporary file, no lock or slot that is held, no run that is unfinished

    .venv/bin/python benchmarks/night.py [--models 30] [--poison 3] [--daemon] [--keep]
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from benchmarks.kill_campaign import group_ends, held  # noqa: E402

TRIES = 3
"""Tries in vain after which a model is given up here."""
PATIENCE_SECONDS = 3600.0
POISONS = ("truncated", "nan", "unknown")


@dataclass
class Summary:
    """What became of a night."""

    models: int = 0
    done_before: int = 0
    """Models that were finished when all processes were killed."""
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        first = f"{self.models} models, {self.done_before} finished before the kill, {self.seconds:.0f} s"
        return "\n".join([first, f"{len(self.problems)} problems", *(f"  {problem}" for problem in self.problems)])


class Night:
    """One family of tiny models in a folder, and the processes that fill it."""

    def __init__(self, folder: Path, checkpoints: Path, models: int, poison: int, tries: int = TRIES) -> None:
        self.tries = tries
        self.data, self.families = folder / "data", folder / "families"
        self.families.mkdir(parents=True)
        self.poison = [f"poison-{number:02d}" for number in range(poison)]
        self.good = ["base", *(f"model-{number:02d}" for number in range(models - poison - 1))]
        lines = ["family: night", "recipes: []", "models:", f"  - {{id: base, role: base, path: {checkpoints}/base}}"]
        names = sorted([*self.good[1:], *self.poison], key=lambda name: name[-2:])  # poison between the others
        for number, name in enumerate(names):
            path = folder / "models" / name
            perturbed_copy(checkpoints / "tuned", path, number)
            if name in self.poison:
                spoil(path, POISONS[self.poison.index(name) % len(POISONS)])
            lines.append(f"  - {{id: {name}, base: base, method: instruct, path: {path}}}")
        (self.families / "night.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.log = folder / "log.txt"

    def by_command(self) -> Summary:
        """`rotoscale backfill`, killed, and started again until the poison is given up."""
        summary, start = Summary(len(self.good) + len(self.poison)), time.monotonic()
        half = len(self.good) // 2
        process = self._start("backfill")
        self._until(lambda: len(self._done()) >= half, process, summary)
        kill_session(process)
        before = self._written(summary)
        codes = []
        while len(codes) <= self.tries and 0 not in codes:  # 1 as long as the poison is tried
            codes.append(self._start("backfill").wait(PATIENCE_SECONDS))
        if set(codes[:-1]) - {1} or codes[-1] != 0:
            summary.problems.append(f"backfills ended with {codes}: {self._said()}")
        summary.problems += self._examined(before)
        summary.seconds = time.monotonic() - start
        return summary

    def by_daemon(self) -> Summary:
        """The nightly schedule under a real daemon, at every minute instead of every night."""
        summary, start = Summary(len(self.good) + len(self.poison)), time.monotonic()
        half = len(self.good) // 2
        process = self._start_ui()
        self._until(lambda: len(self._done()) >= half, process, summary)
        kill_session(process)
        before = self._written(summary)
        process = self._start_ui()
        self._until(self._all_is_published, process, summary)
        process.send_signal(signal.SIGTERM)
        if process.wait(60) != 0:
            summary.problems.append(f"`rotoscale ui` ended with {process.returncode}: {self._said()}")
        summary.problems += self._examined(before)
        summary.seconds = time.monotonic() - start
        return summary

    def _start(self, *arguments: str, **more: str) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "ROTOSCALE_DATA": str(self.data),
            "ROTOSCALE_FAMILIES": str(self.families),
            "ROTOSCALE_TRIES": str(self.tries),
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "200",
            **more,
        }
        with open(self.log, "ab") as file:
            return subprocess.Popen(
                [sys.executable, "-m", "command_line", *arguments],
                cwd=PROJECT,
                env=environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _start_ui(self) -> subprocess.Popen[bytes]:
        ports = [str(port) for port in free_ports(2)]
        arguments = ("ui", "--port", ports[0], "--dashboard-port", ports[1])
        return self._start(*arguments, ROTOSCALE_FILL="nightly", ROTOSCALE_BACKFILL_CRON="* * * * *")

    def _until(self, look: Callable[[], Any], process: subprocess.Popen[bytes], summary: Summary) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not look():
            if process.poll() is not None or time.monotonic() > deadline:
                summary.problems.append(f"ended or took too long before its moment: {self._said()}")
                return
            time.sleep(0.1)

    def _said(self) -> str:
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""

    def _done(self) -> list[str]:
        """Good models whose comparison is stored."""
        return [name for name in self.good if self._rows_of(name).exists()]

    def _rows_of(self, name: str) -> Path:
        return self.data / "tables" / "tensor_changes" / f"model={name}" / "rows.parquet"

    def _written(self, summary: Summary) -> dict[str, int]:
        """When the comparisons that are there were written."""
        done = self._done()
        summary.done_before = len(done)
        return {name: self._rows_of(name).stat().st_mtime_ns for name in done}

    def _all_is_published(self) -> bool:
        from resources.warehouse import current, read

        if current(self.data / "published") is None:
            return False
        with read(self.data / "published") as connection:
            rows = connection.execute("SELECT model, len(assets) FROM backlog").fetchall()
            ready = connection.execute("SELECT count(*) FROM models WHERE status = 'ready'").fetchone() or (0,)
        return ready[0] == len(self.good) and sorted(rows) == [(name, 0) for name in sorted(self.poison)]

    def _examined(self, before: dict[str, int]) -> Iterator[str]:
        """Everything that is not as promised."""
        from resources.warehouse import read

        for name, written in before.items():
            if self._rows_of(name).stat().st_mtime_ns != written:
                yield f"{name} was finished before the kill and was made again"
        with read(self.data / "published") as connection:
            states = dict(connection.execute("SELECT model_id, status FROM models").fetchall())
            wanted = {**dict.fromkeys(self.good, "ready"), **dict.fromkeys(self.poison, "quarantined")}
            if states != wanted:
                yield f"states are {states}"
            for table in ("decompositions", "scale_statistics", "rotation_statistics", "agreement", "tensor_changes"):
                key = "tensor" if table == "tensor_changes" else "layer, matrix, expert"
                found = connection.execute(
                    f"SELECT model_id, count(*), count(DISTINCT ({key})) FROM {table} GROUP BY 1"
                ).fetchall()
                counts = {name: (rows, different) for name, rows, different in found}
                if sorted(counts) != sorted(self.good):
                    yield f"{table} has rows of {sorted(counts)}"
                if len(set(counts.values())) != 1 or any(rows != different for rows, different in counts.values()):
                    yield f"{table} has rows more or less than once: {counts}"
            queue = connection.execute("SELECT model, len(assets), tries, last_failure FROM backlog").fetchall()
            if sorted((model, left, tries) for model, left, tries, _ in queue) != [
                (name, 0, self.tries) for name in sorted(self.poison)
            ]:
                yield f"the poison was to be given up after {self.tries} tries, and is {queue}"
            if not all(reason for *_, reason in queue):
                yield f"a failure has no reason: {queue}"
        yield from held(self.data)


def perturbed_copy(source: Path, target: Path, seed: int) -> None:
    """A copy of a checkpoint with a little noise on every matrix, so that it is a model of its own."""
    import torch
    from safetensors.torch import load_file, save_file

    shutil.copytree(source, target)
    generator = torch.Generator().manual_seed(seed)
    tensors = load_file(target / "model.safetensors")
    for name, tensor in tensors.items():
        if tensor.ndim == 2:
            tensors[name] = tensor + 1e-3 * torch.randn(tensor.shape, generator=generator)
    save_file(tensors, target / "model.safetensors", {"format": "pt"})
    day = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC).timestamp() + 3600 * seed
    for file in target.iterdir():
        os.utime(file, (day, day))


def spoil(folder: Path, how: str) -> None:
    """Make a checkpoint one that always fails."""
    from safetensors.torch import load_file, save_file

    weights, config = folder / "model.safetensors", folder / "config.json"
    if how == "truncated":
        weights.write_bytes(weights.read_bytes()[:-1000])
    elif how == "nan":
        tensors = load_file(weights)
        tensors["model.layers.1.mlp.up_proj.weight"][3, 4] = float("nan")
        save_file(tensors, weights, {"format": "pt"})
    else:
        config.write_text(config.read_text().replace('"model_type": "llama"', '"model_type": "nobody_knows"'))


def kill_session(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to a process and everything that came of it, those in sessions of their own too."""
    import psutil

    family = [process.pid]
    with contextlib.suppress(psutil.NoSuchProcess):
        family += [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
    for pid in family:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.wait()
    group_ends(process.pid)


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=30)
    parser.add_argument("--poison", type=int, default=3)
    parser.add_argument("--daemon", action="store_true", help="by the nightly schedule under a real Dagster daemon")
    parser.add_argument("--keep", action="store_true", help="keep the folder")
    options = parser.parse_args()
    from tests.tiny import make_family

    folder = Path(tempfile.mkdtemp(prefix="night-"))
    night = Night(folder / "work", make_family(folder / "checkpoints"), options.models, options.poison)
    summary = night.by_daemon() if options.daemon else night.by_command()
    print(summary)
    if summary.problems:
        print(f"the folder is kept: {folder}")
        raise SystemExit(1)
    if not options.keep:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
