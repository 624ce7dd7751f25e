"""How the dashboard is started: the command line of a local, quiet Streamlit server."""

from __future__ import annotations

import os
import sys
from pathlib import Path

APP = Path(__file__).resolve().parent / "app.py"
PROJECT = APP.parent.parent

_OPTIONS = {
    "server.headless": "true",
    "server.address": "127.0.0.1",
    "server.fileWatcherType": "none",
    "server.runOnSave": "false",
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "minimal",
    "runner.magicEnabled": "false",
    "client.showErrorDetails": "none",
    "theme.light.primaryColor": "#0072B2",
    "theme.light.backgroundColor": "#ffffff",
    "theme.light.secondaryBackgroundColor": "#f3f5f7",
    "theme.light.textColor": "#1b1f24",
    "theme.dark.primaryColor": "#56B4E9",
    "theme.dark.backgroundColor": "#14171b",
    "theme.dark.secondaryBackgroundColor": "#1f242a",
    "theme.dark.textColor": "#e8eaed",
}


def command(port: int = 8501) -> list[str]:
    """The command that serves the dashboard on 127.0.0.1 at `port`; run it with `environment()`."""
    options = {**_OPTIONS, "server.port": str(port), "browser.serverAddress": "127.0.0.1"}
    flags = [part for name, value in options.items() for part in (f"--{name}", value)]
    return [sys.executable, "-m", "dashboard", "run", str(APP), *flags]


def environment() -> dict[str, str]:
    """This process's environment with the project on Python's path, so that the pages find their modules."""
    paths = [str(PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def address(port: int = 8501) -> str:
    """Where the dashboard answers."""
    return f"http://127.0.0.1:{port}"
