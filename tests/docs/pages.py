"""What the documentation holds, as tests read it: its pages, their code blocks, and the sentences of the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
DOCS = PROJECT / "docs"
ROOMS = ("rotoscale", "resources", "assets", "command_line", "dashboard")
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of one language, in order."""
    return [text for found, text in _BLOCK.findall(page.read_text(encoding="utf-8")) if found == language]


def commands(page: Path) -> list[str]:
    """The commands that a page tells its reader to type."""
    lines = "".join(blocks(page, "console")).splitlines()
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]


def sentences() -> Iterator[str]:
    """Every text in the code on one line, with … for what is filled in."""
    for text in _texts():
        yield re.sub("…+", "…", " ".join(text.split()))


def _texts() -> Iterator[str]:
    for file in (file for room in ROOMS for file in sorted((PROJECT / room).rglob("*.py"))):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                yield "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
