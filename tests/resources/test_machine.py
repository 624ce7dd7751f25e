"""Cores and memory: against the kernel's own figures, and under the limits of control groups."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from resources.machine import available_memory, control_group_memory, cores

GIGABYTE = 2**30


def test_cores_are_those_that_this_process_may_use() -> None:
    assert 1 <= cores() <= (os.cpu_count() or 1)
    if hasattr(os, "sched_getaffinity"):
        assert cores() == len(os.sched_getaffinity(0))


def test_available_memory_is_below_what_the_machine_has() -> None:
    assert 0 < available_memory() < psutil.virtual_memory().total


def group(folder: Path, version: int, limit: int | str, used: int, cache: int) -> None:
    """Put down one control group as the kernel shows it."""
    folder.mkdir(parents=True, exist_ok=True)
    limit_name, used_name, prefix = {
        2: ("memory.max", "memory.current", ""),
        1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
    }[version]
    (folder / limit_name).write_text(f"{limit}\n")
    (folder / used_name).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(
        f"anon {used - cache}\n{prefix}inactive_file {cache // 4}\n{prefix}active_file {cache - cache // 4}\n"
    )


@pytest.mark.parametrize(("version", "line"), [(2, "0::/outer/inner"), (1, "4:cpu,memory:/outer/inner")])
def test_a_limit_counts_what_is_used_but_not_what_caches_files(tmp_path: Path, version: int, line: str) -> None:
    root = tmp_path / "cgroup"
    mount = root if version == 2 else root / "memory"
    group(mount / "outer" / "inner", version, 8 * GIGABYTE, 5 * GIGABYTE, 2 * GIGABYTE)
    group(mount / "outer", version, 20 * GIGABYTE, 19 * GIGABYTE, 0)
    membership = tmp_path / "membership"
    membership.write_text(f"9:name=systemd:/\n{line}\n")
    assert control_group_memory(membership, root) == [5 * GIGABYTE, 1 * GIGABYTE]


def test_a_group_without_a_limit_and_one_that_is_full(tmp_path: Path) -> None:
    membership = tmp_path / "membership"
    membership.write_text("0::/a\n")
    group(tmp_path / "cgroup" / "a", 2, "max", GIGABYTE, 0)
    assert control_group_memory(membership, tmp_path / "cgroup") == []
    group(tmp_path / "cgroup" / "a", 2, GIGABYTE, GIGABYTE + 5000, 0)
    assert control_group_memory(membership, tmp_path / "cgroup") == [0]


def test_in_a_container_the_mount_itself_is_the_group(tmp_path: Path) -> None:
    """Its membership may name the group as the host sees it, which is not there inside."""
    membership = tmp_path / "membership"
    membership.write_text("0::/host/only/here\n")
    group(tmp_path / "cgroup", 2, 4 * GIGABYTE, GIGABYTE, 0)
    assert control_group_memory(membership, tmp_path / "cgroup") == [3 * GIGABYTE]
    assert control_group_memory(tmp_path / "none", tmp_path / "cgroup") == []
