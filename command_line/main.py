"""Entry point of the `rotoscale` command, and how it fails.

An error about the user's input ends in one sentence on standard error and exit code 1; wrong usage in 2; an
interruption in 130. Tracebacks are for our own mistakes only. Nothing is imported before interruptions are handled.
"""

from __future__ import annotations

import os
import sys

from command_line import interrupts


def main() -> None:
    """Entry point of the `rotoscale` command."""
    try:
        interrupts.install()
        code = _run()
        sys.stdout.flush()
    except BaseException:
        # Whatever came of an interruption inside of other people's code is no mistake of ours to be shown.
        if interrupts.happened():
            interrupts.leave()
        raise
    if interrupts.happened():
        interrupts.leave()
    sys.exit(code)


def _run() -> int:
    """Run the command; its exit code."""
    import click

    from command_line.cli import cli
    from rotoscale.errors import RotoscaleError

    try:
        code = cli.main(prog_name="rotoscale", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.Abort:
        interrupts.leave()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except RotoscaleError as error:
        _complain(f"Error: {error}")
        return 1
    except BrokenPipeError:  # the reader of a pipe went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        _complain(f"Error: {error.strerror or error}{where}; nothing half-written is kept, run again")
        return 1


def _complain(sentence: str) -> None:
    from command_line.show import complain

    complain(sentence)
