"""The factor store: found again, shared between processes, robust against damage, kept within its limit."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path

import pytest
import torch

from resources.checkpoints import weight_hash
from resources.factors import FactorStore


def weight(seed: int = 0, shape: tuple[int, int] = (40, 24)) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_factors_are_found_again_as_they_were(tmp_path: Path) -> None:
    store, W = FactorStore(tmp_path), weight()
    made = store.get(weight_hash(W), W)
    found = store.get(weight_hash(W), W)
    assert (made.found, found.found) == (False, True)
    assert torch.equal(made.decomposition.singular_values, found.decomposition.singular_values)
    assert torch.equal(made.decomposition.short, found.decomposition.short)
    assert found.seconds == made.seconds
    assert found.decomposition.kernel == "gram-eigh"


def test_long_vectors_are_kept_only_where_the_full_svd_was_needed(tmp_path: Path) -> None:
    store = FactorStore(tmp_path)
    deficient = torch.zeros(40, 24)
    deficient[:5] = weight()[:5]
    assert store.get("a" * 64, deficient).decomposition.kernel == "full-svd"
    found = store.find("a" * 64)
    assert found is not None
    assert found.decomposition.long is not None
    W = weight()
    assert store.get(weight_hash(W), W).decomposition.long is None


@pytest.mark.parametrize("damage", [b"", b"\xff" * 100, b"\x08\x00\x00\x00\x00\x00\x00\x00{}"])
def test_damaged_factors_are_computed_again(tmp_path: Path, damage: bytes) -> None:
    store, W = FactorStore(tmp_path), weight()
    path = store.path(weight_hash(W))
    path.parent.mkdir(parents=True)
    path.write_bytes(damage)
    again = store.get(weight_hash(W), W)
    assert not again.found
    assert store.get(weight_hash(W), W).found


def test_a_store_that_cannot_be_written_costs_only_the_storing(tmp_path: Path) -> None:
    store, W = FactorStore(tmp_path), weight()
    blocked = store.path(weight_hash(W)).parent
    blocked.parent.mkdir(parents=True, exist_ok=True)
    blocked.write_text("a file where a folder should be")
    assert store.get(weight_hash(W), W).decomposition.numerical_rank == 24


def _decompose_together(folder: Path, start: float, results) -> None:  # type: ignore[no-untyped-def]
    W = weight(shape=(300, 300))
    store = FactorStore(folder)
    time.sleep(max(0.0, start - time.time()))
    results.put(store.get(weight_hash(W), W).found)


def test_two_processes_at_once_decompose_a_weight_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    start = time.time() + 6
    processes = [context.Process(target=_decompose_together, args=(tmp_path, start, results)) for _ in range(2)]
    for process in processes:
        process.start()
    found = sorted(results.get(timeout=120) for _ in processes)
    for process in processes:
        process.join()
    assert found == [False, True]
    assert len(list(tmp_path.glob("??/*.safetensors"))) == 1


def test_trimming_removes_the_least_recently_used(tmp_path: Path) -> None:
    store = FactorStore(tmp_path)
    hashes = []
    for seed in range(4):
        W = weight(seed)
        hashes.append(weight_hash(W))
        store.get(hashes[-1], W)
        os.utime(store.path(hashes[-1]), (1000 + seed, 1000 + seed))
    assert store.find(hashes[0])  # used just now
    store.limit_bytes = 2.5 * store.path(hashes[0]).stat().st_size
    assert store.trim() == 2
    assert [store.path(h).exists() for h in hashes] == [True, False, False, True]
