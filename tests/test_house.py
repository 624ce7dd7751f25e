"""The house itself: imports go one way without circles, and a code location loads without the heavy libraries."""

from __future__ import annotations

import ast
import graphlib
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


def modules(folder: Path) -> dict[str, Path]:
    """The modules under a folder, by the name under which they are imported."""
    files = {file.relative_to(folder.parent).with_suffix("").parts: file for file in folder.rglob("*.py")}
    return {".".join(parts[:-1] if parts[-1] == "__init__" else parts): file for parts, file in files.items()}


def imports_inside(folder: Path) -> dict[str, set[str]]:
    """For each module under a folder those of the same folder that it names in an import, wherever in it.

    What only a type checker imports counts: two files that need each other to be understood are one. All
    imports are absolute: `imported` sees no others.
    """
    known = modules(folder)
    found: dict[str, set[str]] = {name: set() for name in known}
    for name, file in known.items():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found[name] |= {alias.name for alias in node.names} & known.keys()
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{file} has a relative import"
                inner = {f"{node.module}.{alias.name}" for alias in node.names} & known.keys()
                whole = len(inner) < len(node.names) and node.module in known
                found[name] |= inner | ({str(node.module)} if whole else set())
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_no_two_modules_of_a_room_need_each_other(room: str) -> None:
    graph = imports_inside(PROJECT / room)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail("imports go in a circle: " + " <- ".join(error.args[1]))


def test_a_circle_of_imports_is_found(tmp_path: Path) -> None:
    room = tmp_path / "room"
    (room / "inner").mkdir(parents=True)
    (room / "__init__.py").write_text("")
    (room / "inner" / "__init__.py").write_text("from room.one import ONE\n")
    (room / "one.py").write_text("ONE = 1\n\ndef later():\n    from room import two\n")
    (room / "two.py").write_text("if False:\n    import room.inner\n")
    assert imports_inside(room) == {
        "room": set(),
        "room.inner": {"room.one"},
        "room.one": {"room.two"},
        "room.two": {"room.inner"},
    }
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter(imports_inside(room)).prepare()


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
                assert module.startswith(
                    ("resources.warehouse", "resources.settings", "resources.atomic", "resources.addresses")
                ), (
                    file,
                    module,
                )


def test_definitions_load_without_heavy_libraries() -> None:
    """A code location is loaded by every Dagster process, so that torch and its like are imported on use."""
    heavy = ["torch", "transformers", "peft", "lm_eval", "numpy", "pandas", "duckdb", "pyarrow", "matplotlib"]
    program = f"import assets.definitions, sys; print([m for m in {heavy!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
