"""Tiny real checkpoints, made once for all tests of this folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from checkpoint_zoo import Example, example

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Example]:
    """A model by its name in the zoo, saved in bfloat16; made when first asked for. Not to be written to."""
    made: dict[str, Example] = {}

    def get(name: str) -> Example:
        if name not in made:
            made[name] = example(name, tmp_path_factory.mktemp("zoo") / name)
        return made[name]

    return get


@pytest.fixture
def copy_of(zoo: Callable[[str], Example], tmp_path: Path) -> Callable[[str], Path]:
    """A model's folder to spoil."""

    def copy(name: str) -> Path:
        target = tmp_path / name
        shutil.copytree(zoo(name).path, target)
        return target

    return copy
