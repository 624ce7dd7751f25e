"""What all tests share. One BLAS thread, no network, and a family of tiny real checkpoints made once per session."""

from __future__ import annotations

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from pathlib import Path  # noqa: E402

import pytest  # noqa: E402


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with a test that is marked `long` come first, everything else stays in its order."""
    long = {item.path for item in items if item.get_closest_marker("long")}
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with tiny Llama checkpoints: base, tuned (really trained a few steps from it), unrelated, and bad ones."""
    from tests.tiny import make_family

    return make_family(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture
def families(tmp_path: Path, checkpoints: Path) -> Path:
    """A folder with one family file over the tiny checkpoints."""
    from tests.tiny import write_family

    return write_family(tmp_path / "families", checkpoints)
