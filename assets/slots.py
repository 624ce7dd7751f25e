"""Runs whose process is gone: ended in Dagster's books, and their places in its pools given back.

A process that is killed writes nothing more, so that its run would stay "started" and its slot taken, and whoever
needs the slot next would wait for ever. Runs of the command line carry the process that executes them in a tag; those
of Dagster's own daemon say it in their log.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import dagster as dg

from resources.atomic import machine

_PROCESS = "rotoscale/process"
_SECONDS_OF_CLOCKS = 2.0
"""How much later than it was seen a process may seem to have started: clocks are not exact."""

_UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def process_tag() -> dict[str, str]:
    """The tag for runs that this process executes."""
    return {_PROCESS: f"{machine()}:{os.getpid()}"}


def free_dead_slots(instance: dg.DagsterInstance) -> list[str]:
    """End runs whose process is gone, and free the slots of all that have ended; a sentence for each.

    They end as cancelled, so that the automation takes them up again. Runs of another machine are left alone.
    """
    said = []
    for record in instance.get_run_records(filters=dg.RunsFilter(statuses=_UNFINISHED)):
        process = _process_of(instance, record)
        if process is not None and process.is_dead():
            message = "The process of this run was killed; what it finished is kept."
            instance.report_run_canceled(record.dagster_run, message=message)
            said.append(f"run {_short(record.dagster_run.run_id)} was killed earlier; it is marked as cancelled")
    storage = instance.event_log_storage
    for pool in storage.get_concurrency_keys():
        info = storage.get_concurrency_info(pool)
        holders = {slot.run_id for slot in info.claimed_slots}
        for run_id in holders | {step.run_id for step in info.pending_steps}:
            run = instance.get_run_by_id(run_id)
            if run is None or run.is_finished:
                storage.free_concurrency_slots_for_run(run_id)
                if run_id in holders:
                    said.append(f"run {_short(run_id)} has ended; its slot of the pool {pool} is free again")
    return said


@contextmanager
def watched(instance: dg.DagsterInstance, say: Callable[[str], None], every: float = 5.0) -> Iterator[None]:
    """Free dead slots now and every few seconds while the block runs, and say what this process waits for.

    A run that waits for a slot says nothing itself, and the one that holds it may be killed meanwhile.
    """
    stop = threading.Event()
    said: set[str] = set()

    def look() -> None:
        for sentence in [*free_dead_slots(instance), *_waits(instance)]:
            if sentence not in said:
                said.add(sentence)
                say(sentence)

    def watch() -> None:
        while not stop.wait(every):
            try:
                look()
            except Exception as error:  # watching must never end the work that is watched
                say(f"the pools cannot be watched: {type(error).__name__}: {error}")
                return

    look()
    watcher = threading.Thread(target=watch, name="slots", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()


def _waits(instance: dg.DagsterInstance) -> Iterator[str]:
    """What the runs of this process wait for."""
    storage = instance.event_log_storage
    own = process_tag()[_PROCESS]
    for pool in storage.get_concurrency_keys():
        info = storage.get_concurrency_info(pool)
        for step in info.pending_steps:
            run = instance.get_run_by_id(step.run_id)
            if step.assigned_timestamp is None and run is not None and run.tags.get(_PROCESS) == own:
                holders = " and ".join(_described(instance, slot.run_id) for slot in info.claimed_slots)
                yield f"{step.step_key} waits for a slot of the pool {pool}, held by {holders or 'nobody'}"


def _described(instance: dg.DagsterInstance, run_id: str) -> str:
    record = instance.get_run_record_by_id(run_id)
    process = None if record is None else _process_of(instance, record)
    return f"run {_short(run_id)}" + (f" of process {process.pid}" if process else "")


@dataclass(frozen=True)
class _Process:
    """The process that executes a run, and when (seconds since 1970) it was there for certain."""

    machine: str
    pid: int
    seen: float

    def is_dead(self) -> bool:
        """Whether it was on this machine and is gone, or was killed and only waits to be noticed by its parent."""
        import psutil

        if self.machine != machine():
            return False
        try:
            process = psutil.Process(self.pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return True
            # The number may have been given to another process since.
            return process.create_time() > self.seen + _SECONDS_OF_CLOCKS
        except psutil.NoSuchProcess:
            return True
        except psutil.AccessDenied:
            return False


def _process_of(instance: dg.DagsterInstance, record: dg.RunRecord) -> _Process | None:
    """The process that executes a run; None where neither tag nor log says it.

    The daemon's runs do not name their machine. Where they are launched as plain processes they are this machine's;
    any other launcher watches its runs itself.
    """
    run = record.dagster_run
    where, _, pid = run.tags.get(_PROCESS, "").partition(":")
    if pid.isdigit():
        return _Process(where, int(pid), record.create_timestamp.timestamp())
    if not isinstance(instance.run_launcher, dg.DefaultRunLauncher):
        return None
    for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
        if entry.dagster_event is not None:
            found = entry.dagster_event.engine_event_data.metadata.get("pid")
            if found is not None and str(found.value).isdigit():
                return _Process(machine(), int(str(found.value)), entry.timestamp)
    return None


def _short(run_id: str) -> str:
    return run_id.partition("-")[0]
