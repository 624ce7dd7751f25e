"""The factor store: found again, shared between processes, robust against damage, kept within its limit."""

from __future__ import annotations

import multiprocessing
import os
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import pytest
import torch

from resources.checkpoints import weight_hash
from resources.factors import DamagedFactors, FactorStore, check_file
from rotoscale.decomposition import Decomposition

TENSORS = ("singular_values", "short", "long")


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


@contextmanager
def as_somebody_else() -> Iterator[None]:
    """Without the rights of the files' owner: as another user where we are root, who may do everything."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that every user can reach, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.mark.parametrize("folder_mode", [0o555, 0o777])
def test_somebody_elses_factors_are_used_and_left_alone(shared: Path, folder_mode: int) -> None:
    store, W = FactorStore(shared), weight()
    hashed = weight_hash(W)
    values = store.get_values(hashed, W).decomposition.singular_values
    store.get(hashed, W)
    files = sorted(shared.glob("??/*.safetensors"))
    assert len(files) == 2
    for path in files:
        os.utime(path, (1000, 1000))
        path.chmod(0o444)
        path.parent.chmod(folder_mode)
    with as_somebody_else():
        assert store.get(hashed, W).found
        torch.testing.assert_close(store.get_values(hashed, W).decomposition.singular_values, values)
        store.limit_bytes = 0
        store.trim()
    assert [path.exists() for path in files] == [folder_mode == 0o555] * 2


def test_a_store_that_is_only_read_gives_what_it_lacks_too(shared: Path) -> None:
    store, W, other = FactorStore(shared), weight(), weight(1)
    store.get(weight_hash(W), W)
    with as_somebody_else():
        assert not store.get(weight_hash(other), other).found
        assert len(store.get_values(weight_hash(other), other).decomposition.singular_values)
    assert store.find(weight_hash(other)) is None


def test_no_flipped_bit_is_read_as_another_factor(tmp_path: Path) -> None:
    store, W = FactorStore(tmp_path), weight(shape=(12, 8))
    hashed = weight_hash(W)
    values = store.get_values(hashed, W).decomposition
    true = store.get(hashed, W).decomposition
    paths = (store.path(hashed), store._values_path(hashed))
    wholes = [path.read_bytes() for path in paths]
    generator = random.Random(0)
    for _ in range(300):
        for path, whole in zip(paths, wholes, strict=True):
            damaged = bytearray(whole)
            damaged[generator.randrange(len(whole))] ^= 1 << generator.randrange(8)
            path.write_bytes(damaged)
        found = store.find(hashed)
        assert found is None or facts(found.decomposition) == facts(true)
        store.path(hashed).unlink(missing_ok=True)  # whose values would serve too
        again = store.get_values(hashed, W).decomposition
        assert again.singular_values.tolist() == values.singular_values.tolist()


def facts(decomposition: Decomposition) -> list:
    return [getattr(decomposition, field.name) for field in fields(decomposition) if field.name not in TENSORS] + [
        getattr(decomposition, name).tolist() for name in TENSORS if getattr(decomposition, name) is not None
    ]


def test_damage_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store, W = FactorStore(tmp_path), weight()
    store.get(weight_hash(W), W)
    path = store.path(weight_hash(W))
    check_file(path)
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(DamagedFactors, match=path.name):
        check_file(path)
    assert not store.get(weight_hash(W), W).found
    assert path.name in caplog.text


def test_factors_under_the_name_of_another_weight_are_not_believed(tmp_path: Path) -> None:
    store, W, other = FactorStore(tmp_path), weight(), weight(1)
    store.get(weight_hash(W), W)
    target = store.path(weight_hash(other))
    target.parent.mkdir(exist_ok=True)
    store.path(weight_hash(W)).rename(target)
    assert store.find(weight_hash(other)) is None


@pytest.mark.parametrize("shape", [(40, 24), (24, 40), (30, 30)], ids=str)
def test_values_alone_are_a_small_file_and_those_of_the_factors(tmp_path: Path, shape: tuple[int, int]) -> None:
    store, W = FactorStore(tmp_path), weight(shape=shape)
    hashed = weight_hash(W)
    values = store.get_values(hashed, W).decomposition
    expected = torch.linalg.svdvals(W.double())
    torch.testing.assert_close(values.singular_values, expected, rtol=1e-9, atol=0)
    assert values.numerical_rank == min(shape)
    (file,) = tmp_path.glob("??/*.safetensors")
    assert file.stat().st_size < store_size(tmp_path / "with vectors", W) / 3
    assert store.find(hashed) is None  # an edit that needs the vectors makes them
    assert not store.get(hashed, W).found
    assert store.find_values(hashed).decomposition.short.shape == (min(shape),) * 2  # now the factors serve both
    store.remove(hashed)
    assert not list(tmp_path.glob("??/*.safetensors"))


def store_size(folder: Path, W: torch.Tensor) -> int:
    store = FactorStore(folder)
    store.get(weight_hash(W), W)
    return store.path(weight_hash(W)).stat().st_size


def test_a_deficient_matrix_has_its_values_by_the_accurate_route(tmp_path: Path) -> None:
    W = weight(shape=(40, 5)).double() @ weight(1, shape=(5, 24)).double()
    values = FactorStore(tmp_path).get_values(weight_hash(W), W).decomposition
    assert values.kernel == "svd-values"
    assert values.numerical_rank == 5
