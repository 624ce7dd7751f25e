"""The package reads in one direction: no module is needed, at any remove, by one that it needs itself."""

from __future__ import annotations

import ast
from pathlib import Path

from resources import checkpoints

FOLDER = Path(checkpoints.__file__).parent
PACKAGE = "resources.checkpoints"


def _imports(file: Path, modules: set[str]) -> set[str]:
    """Modules of the package that a file names in an import: at its top, in a function, or for type checking only."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file.name}: relative imports hide from this test"
            names = [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        found |= {name.removeprefix(PACKAGE + ".").partition(".")[0] for name in names if name.startswith(PACKAGE)}
    return found & modules


def _circle(graph: dict[str, set[str]]) -> list[str]:
    """Some circle of the graph as a path, or nothing."""
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        for other in sorted(graph[module]):
            if found := visit(other, [*path, module]):
                return found
        done.add(module)
        return []

    return next((found for module in sorted(graph) if (found := visit(module, []))), [])


def test_no_module_needs_itself() -> None:
    files = {file.stem: file for file in FOLDER.glob("*.py") if file.stem != "__init__"}
    assert {"checkpoint", "adapter", "tensors", "quantization"} <= set(files)
    graph = {name: _imports(file, set(files)) for name, file in files.items()}
    assert graph["checkpoint"]
    assert not _circle(graph), " -> ".join(_circle(graph))


def test_a_circle_would_be_seen() -> None:
    assert _circle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == ["a", "b", "c", "a"]
    assert not _circle({"a": {"b", "c"}, "b": {"c"}, "c": set()})
