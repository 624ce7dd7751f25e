"""Where the numbers come from: one published DuckDB file, opened read-only and shut off from everything else.

A `Source` is one published version. It never changes underneath a reader: a newer version is another file, which
`latest` finds the next time it is asked. So what was asked of a Source once is kept as long as the Source itself.
"""

from __future__ import annotations

import copy
import functools
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from dashboard.catalogue import read_catalogue
from resources.warehouse import current, open_published
from resources.warehouse.query import frame

if TYPE_CHECKING:
    import pandas as pd

KEPT = 400
"""Answers kept of one published file; beyond that the one that was not asked for longest goes."""

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


class Source:
    """A read-only connection to one published file; safe to share between threads.

    Raises WarehouseError when the file cannot be used, or is from before it described itself.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.connection = open_published(self.path)
        self.connection.execute("SET enable_external_access = false")
        self.catalogue = read_catalogue(self.connection)
        self._answers: OrderedDict[Any, Any] = OrderedDict()
        self._lock = threading.Lock()

    def frame(self, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> pd.DataFrame:
        """Rows of a query as a data frame.

        Raises WarehouseError when the file is from before a table or column that the query names.
        """
        return frame(self.connection, sql, values)

    def remember(self, key: Any, work_out: Callable[[], Answer]) -> Answer:
        """What `work_out` returned for this key before, else what it returns now; a copy, which may be changed."""
        with self._lock:
            if key in self._answers:
                self._answers.move_to_end(key)
                return copy.deepcopy(self._answers[key])
        answer = work_out()
        with self._lock:
            self._answers[key] = answer
            while len(self._answers) > KEPT:
                self._answers.popitem(last=False)
        return copy.deepcopy(answer)


def remembered(
    question: Callable[Concatenate[Source, Arguments], Answer],
) -> Callable[Concatenate[Source, Arguments], Answer]:
    """A query whose answers each Source keeps: the same call of the same published version reads nothing again."""

    @functools.wraps(question)
    def ask(source: Source, /, *args: Arguments.args, **named: Arguments.kwargs) -> Answer:
        key = (question, _hashable(args), tuple((name, _hashable(named[name])) for name in sorted(named)))
        return source.remember(key, lambda: question(source, *args, **named))

    return ask


def _hashable(value: Any) -> Any:
    return tuple(map(_hashable, value)) if isinstance(value, list | tuple) else value


def latest(folder: Path) -> Path | None:
    """The published file that is current now, or None when nothing was published yet."""
    return current(folder)
