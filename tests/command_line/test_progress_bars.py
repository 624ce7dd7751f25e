"""The progress bars of a long run: what goes on is shown, and of what ended only the last."""

from __future__ import annotations

import io

from rich.console import Console

from command_line.running import _ENDED_BARS, bar
from resources import progress


def test_of_hundreds_of_steps_the_last_ones_and_those_that_go_on_are_shown() -> None:
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=100)
    with bar(console):
        progress.report("goes on", 1, 2)
        for number in range(100):
            progress.report(f"pair {number}", 1, 2)
            progress.report(f"pair {number}", 2, 2)
        progress.report("pair 0", 1, 2)  # once more: a new bar, though its first is gone
    last = written.getvalue().rpartition("goes on")[2]
    shown = [number for number in range(100) if f"pair {number} " in last]
    assert shown == [0, *range(100 - _ENDED_BARS, 100)]
