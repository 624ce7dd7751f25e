"""Statistics by name: every field explained, missing by default, and none of the arithmetic loaded with them."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

import rotoscale
from rotoscale import statistics
from rotoscale.statistic import described

CLASSES = [found for found in vars(statistics).values() if isinstance(found, type) and is_dataclass(found)]


@pytest.mark.parametrize("cls", CLASSES)
def test_every_statistic_is_missing_until_it_is_given_by_name(cls: type) -> None:
    nothing = cls()
    for field in fields(cls):
        if "text" in field.metadata and field.name != "base_norm":
            assert getattr(nothing, field.name) in (None, []), field.name
    with pytest.raises(TypeError):
        cls(0.5)


@pytest.mark.parametrize("cls", CLASSES)
def test_every_statistic_explains_itself_in_one_sentence_with_a_type_the_warehouse_knows(cls: type) -> None:
    for name, type_, text in described(cls):
        assert type_ in {"DOUBLE", "INTEGER", "BIGINT", "VARCHAR", "BOOLEAN", "FLOAT[]", "INTEGER[]"}, name
        assert text.endswith("."), name
        assert "\n" not in text, name


def test_the_definitions_of_statistics_load_without_torch() -> None:
    program = "import rotoscale.statistics, sys; print([m for m in ('torch', 'numpy', 'scipy') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_the_package_offers_by_name_what_a_type_checker_sees() -> None:
    tree = ast.parse(Path(rotoscale.__file__).read_text(encoding="utf-8"))
    seen = {
        alias.name: node.module
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen.keys() == set(rotoscale.__all__)
    for name, module in seen.items():
        assert getattr(rotoscale, name) is getattr(sys.modules[str(module)], name)
