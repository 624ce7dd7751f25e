"""The house itself: imports go one way, and a code location loads without the heavy libraries."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
ROOMS = ("rotoscale", "resources", "assets", "command_line", "dashboard", "demo")
MAY_IMPORT = {
    "rotoscale": set(),
    "resources": {"rotoscale"},
    "assets": {"resources", "rotoscale"},
    "command_line": {"assets", "resources", "rotoscale", "dashboard"},
    "dashboard": {"resources"},
    "demo": set(),
}


def imported(file: Path) -> set[str]:
    """Modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_imports_go_one_way(room: str) -> None:
    files = list((PROJECT / room).rglob("*.py"))
    assert files
    for file in files:
        reached = {module.split(".")[0] for module in imported(file)} & set(ROOMS) - {room}
        assert reached <= MAY_IMPORT[room], f"{file.relative_to(PROJECT)} imports {reached - MAY_IMPORT[room]}"


def test_the_science_knows_nothing_of_files_dagster_or_duckdb() -> None:
    foreign = {
        "dagster",
        "duckdb",
        "pyarrow",
        "safetensors",
        "transformers",
        "huggingface_hub",
        "pathlib",
        "os",
        "requests",
    }
    for file in (PROJECT / "rotoscale").rglob("*.py"):
        reached = {module.split(".")[0] for module in imported(file)} & foreign
        assert not reached, f"{file.relative_to(PROJECT)} imports {reached}"


def test_the_dashboard_reads_the_warehouse_only() -> None:
    for file in (PROJECT / "dashboard").rglob("*.py"):
        for module in imported(file):
            if module.startswith("resources"):
                assert module.startswith(("resources.warehouse", "resources.settings", "resources.atomic")), (
                    file,
                    module,
                )


def test_definitions_load_without_heavy_libraries() -> None:
    """A code location is loaded by every Dagster process, so that torch and its like are imported on use."""
    heavy = ["torch", "transformers", "peft", "lm_eval", "numpy", "pandas", "duckdb", "pyarrow", "matplotlib"]
    program = f"import assets.definitions, sys; print([m for m in {heavy!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
