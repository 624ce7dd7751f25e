"""What this machine offers to work with: processor cores, and memory that is free for it.

psutil knows both on Linux, macOS and Windows. A container's limit it does not know: on Linux that is the control
group's, and of the limit only what is not used yet is left, where pages that merely cache files count as free
because the kernel gives them up.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_MEMBERSHIP = Path("/proc/self/cgroup")
_CONTROL_GROUPS = Path("/sys/fs/cgroup")

_MARGIN = 0.1
"""Share of the free memory that is left alone."""

_FILES_V2 = ("memory.max", "memory.current", "active_file", "inactive_file")
_FILES_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_active_file", "total_inactive_file")


def cores() -> int:
    """Processor cores that this process may run on."""
    import psutil

    process = psutil.Process()
    # macOS has no affinity: there a process may run anywhere.
    return len(process.cpu_affinity()) if hasattr(process, "cpu_affinity") else psutil.cpu_count() or 1


def available_memory() -> int:
    """Bytes of memory free for work, with a margin of a tenth; the limit of a container counts where there is one."""
    import psutil

    free = min([psutil.virtual_memory().available, *control_group_memory()])
    return int(free * (1 - _MARGIN))


def control_group_memory(membership: Path = _MEMBERSHIP, root: Path = _CONTROL_GROUPS) -> list[int]:
    """Bytes left below every limit that control groups (Linux, version 2 or 1) set for this process.

    Args:
        membership: the file that names the process's groups, one line `number:controllers:path` per hierarchy.
        root: the folder where the hierarchies are mounted.
    """
    try:
        lines = membership.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []  # no Linux
    left = []
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers == "":
            mount, names = root, _FILES_V2
        elif "memory" in controllers.split(","):
            mount, names = root / "memory", _FILES_V1
        else:
            continue
        left += [room for group in _with_parents(mount, path) if (room := _room(group, names)) is not None]
    return left


def _with_parents(mount: Path, path: str) -> Iterator[Path]:
    """A group's folder and all above it. In a container the path may be the host's: then only the mount is there."""
    group = mount / path.lstrip("/")
    while group != mount and mount in group.parents:
        yield group
        group = group.parent
    yield mount


def _room(group: Path, names: tuple[str, str, str, str]) -> int | None:
    """Bytes that a group may still take; None without a limit."""
    limit_name, used_name, *reclaimable = names
    try:
        limit = (group / limit_name).read_text(encoding="ascii").strip()
        used = (group / used_name).read_text(encoding="ascii").strip()
        statistics = (group / "memory.stat").read_text(encoding="ascii")
    except OSError:
        return None
    if not limit.isdigit() or not used.isdigit():
        return None  # "max"
    pages = dict(line.split() for line in statistics.splitlines() if len(line.split()) == 2)
    cached = sum(int(pages.get(name, 0)) for name in reclaimable)
    return max(0, int(limit) - max(0, int(used) - cached))
