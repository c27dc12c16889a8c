"""How many CPUs this process may really use.

Called by cli.py to resolve `FASTWORKER_WORKERS=auto`.
Rule: reads the system, decides nothing; os.cpu_count() is never the answer, for it knows no affinity and no quota.
"""

import math
import os
from collections.abc import Callable
from pathlib import Path


def usable_cpus(cgroup_root: Path = Path("/sys/fs/cgroup"), proc: Path = Path("/proc/self/cgroup")) -> int:
    """CPUs by affinity, or by the cgroup's quota (rounded up) where that is smaller; at least 1."""
    allowed = len(os.sched_getaffinity(0))
    return max(1, min([allowed, *(math.ceil(quota) for quota in _quotas(cgroup_root, proc))]))


def _quotas(root: Path, proc: Path) -> list[float]:
    """Every CPU quota that applies, in CPUs: a cgroup is bound by the limits of all its ancestors."""
    try:
        lines = proc.read_text().splitlines()
    except OSError:
        return []
    found: list[float] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":  # version 2
            found += _walk(root, path, _quota_v2)
        elif "cpu" in controllers.split(","):
            found += _walk(root / controllers, path, _quota_v1) or _walk(root / "cpu", path, _quota_v1)
    return found


def _walk(mount: Path, path: str, read: Callable[[Path], float | None]) -> list[float]:
    """The limits from the process's group up to the mount; inside a container only the mount may be visible."""
    folder = mount / path.lstrip("/")
    found = []
    for group in (folder, *folder.parents):
        if not group.is_relative_to(mount):
            break
        quota = read(group)
        if quota is not None:
            found.append(quota)
    return found


def _quota_v2(group: Path) -> float | None:
    try:
        quota, period = (group / "cpu.max").read_text().split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else int(quota) / int(period)


def _quota_v1(group: Path) -> float | None:
    try:
        quota = int((group / "cpu.cfs_quota_us").read_text())
        period = int((group / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
    return None if quota <= 0 else quota / period
