"""How often an asset of a model was tried in vain, so that what always fails is given up and never blocks the rest.

A try is noted before the work and taken back after it: one whose process dies in the middle, for want of memory say,
counts like any other. What was tried is noted too, so that other files, settings or code start from nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from resources.atomic import is_running, machine
from resources.records import read_record, write_record

DIED = "the process ended in the middle, without a word: killed, or out of memory"


@dataclass(frozen=True)
class Tried:
    """The tries of one asset of one model that came to nothing.

    count: tries that failed, or are going on.
    made_from: what was tried, as a fingerprint.
    reason: why the last one failed, as one sentence.
    at: when it began, in seconds since 1970.
    passing: whether the last failure is one that passes by itself, as of a network; such a one is not counted.
    process: which machine and process tries it now, or did when it died.
    """

    count: int
    made_from: str
    reason: str
    at: float
    passing: bool = False
    process: str = ""

    @property
    def goes_on(self) -> bool:
        """Whether it is being tried now; of another machine's process that is not known, so that no."""
        where, _, pid = self.process.partition(":")
        return self.reason == DIED and where == machine() and is_running(int(pid))


class Tries:
    """Tries under one folder: a file per model and asset, there only while the last try has not succeeded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def of(self, model: str, asset: str, made_from: str) -> Tried | None:
        """The tries of these very inputs that came to nothing; None when there were none, or the last succeeded."""
        found = self._read(model, asset)
        if found and found.goes_on:
            found = replace(found, count=found.count - 1) if found.count > 1 else None
        return found if found and found.made_from == made_from else None

    def begin(self, model: str, asset: str, made_from: str) -> None:
        """Note that a try begins."""
        before = self.of(model, asset, made_from)
        count = 1 + (before.count if before else 0)
        process = f"{machine()}:{os.getpid()}"
        self._write(model, asset, Tried(count, made_from, DIED, time.time(), process=process))

    def failed(self, model: str, asset: str, reason: str, *, passing: bool = False) -> None:
        """Note why the try that began failed; one that is `passing` is not counted."""
        if now := self._read(model, asset):
            self._write(model, asset, Tried(now.count - passing, now.made_from, reason, now.at, passing))

    def interrupted(self, model: str, asset: str) -> None:
        """Take back the try that began: somebody stopped it, which says nothing of the model."""
        now = self._read(model, asset)
        if now and now.reason == DIED:
            if now.count > 1:
                reason = f"{now.count - 1} tries failed, and the last was stopped"
                self._write(model, asset, Tried(now.count - 1, now.made_from, reason, now.at))
            else:
                self.succeeded(model, asset)

    def succeeded(self, model: str, asset: str) -> None:
        """Forget all tries of an asset."""
        self._file(model, asset).unlink(missing_ok=True)

    def has(self, model: str) -> bool:
        """Whether anything of a model was tried in vain."""
        return (self.folder / model).is_dir() and any((self.folder / model).glob("*.json"))

    def begun(self, model: str) -> Iterator[str]:
        """Assets of a model whose last try did not say how it ended: it goes on, or its process died."""
        for file in sorted((self.folder / model).glob("*.json")):
            found = self._read(model, file.stem)
            if found and found.reason == DIED:
                yield file.stem

    def latest(self) -> float:
        """When anything was noted or taken back last, in seconds since 1970; 0 when nothing was."""
        return max((folder.stat().st_mtime for folder in self.folder.glob("*/")), default=0.0)

    def _file(self, model: str, asset: str) -> Path:
        return self.folder / model / f"{asset}.json"

    def _read(self, model: str, asset: str) -> Tried | None:
        found = read_record(self._file(model, asset), check=lambda value: Tried(**value))
        return found and Tried(**found)

    def _write(self, model: str, asset: str, tried: Tried) -> None:
        write_record(self._file(model, asset), asdict(tried))
