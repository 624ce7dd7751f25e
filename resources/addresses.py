"""Where the Dagster UI and the dashboard of a data folder answer, so that each links to the other whatever the ports.

`rotoscale ui` and `rotoscale dashboard` note it when they start. The variables ROTOSCALE_DAGSTER_URL and
ROTOSCALE_DASHBOARD_URL win over what was noted: behind a proxy nobody but the user knows the address.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from resources.atomic import replacing

DEFAULTS = {"dagster": "http://127.0.0.1:3000", "dashboard": "http://127.0.0.1:8501"}

_FILE = "addresses.json"


def note(data: Path, **addresses: str) -> None:
    """Remember addresses, `dagster` or `dashboard`, under a data folder; the other one stays as it was."""
    with replacing(data / _FILE) as path:
        path.write_text(json.dumps(_noted(data) | addresses), encoding="utf-8")


def address(data: Path, name: str) -> str:
    """Where `dagster` or `dashboard` answers: the environment's word, else what was noted, else the usual port."""
    known = os.environ.get(f"ROTOSCALE_{name.upper()}_URL") or _noted(data).get(name, "")
    known = known.rstrip("/")
    return known if known.startswith(("http://", "https://")) else DEFAULTS[name]


def _noted(data: Path) -> dict[str, str]:
    try:
        found = json.loads((data / _FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}
