"""How many CPUs this process may really use, a worker's share of them, and how much memory.

Called by cli.py to resolve `FASTWORKER_WORKERS=auto` and `FASTWORKER_THREADS=auto`, and by buffered.py.
Rule: reads the system, decides nothing; os.cpu_count() is never the answer, for it knows no affinity and no quota.
"""

import math
import os
from collections.abc import Callable
from pathlib import Path

# Each is read when its library is loaded. OpenBLAS and MKL would otherwise start a thread per CPU in each worker.
THREAD_VARIABLES = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
    *("NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "RAYON_NUM_THREADS"),
)


def thread_variables(threads: int | None, *, cpus: int, workers: int) -> dict[str, str]:
    """What FASTWORKER_THREADS means to the libraries: None is each worker's share of the CPUs, 0 is nothing at all."""
    if threads == 0:
        return {}
    return dict.fromkeys(THREAD_VARIABLES, str(threads or max(1, cpus // workers)))


def usable_cpus(cgroup_root: Path = Path("/sys/fs/cgroup"), proc: Path = Path("/proc/self/cgroup")) -> int:
    """CPUs by affinity, or by the cgroup's quota (rounded up) where that is smaller; at least 1."""
    allowed = len(os.sched_getaffinity(0))
    return max(1, min([allowed, *(math.ceil(quota) for quota in _quotas(cgroup_root, proc))]))


def memory_limits(cgroup_root: Path, proc: Path) -> list[int]:
    """Every limit of memory that applies, in bytes. Where there is none, version 1 tells an absurdly high one."""
    return [int(limit) for limit in _limits(cgroup_root, proc, "memory", _memory_v2, _memory_v1)]


def memory_bytes(cgroup_root: Path = Path("/sys/fs/cgroup"), proc: Path = Path("/proc/self/cgroup")) -> int:
    """The memory that the cgroup allows, or the machine's where that is less."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([machine, *memory_limits(cgroup_root, proc)])


def _quotas(root: Path, proc: Path) -> list[float]:
    """Every CPU quota that applies, in CPUs."""
    return _limits(root, proc, "cpu", _quota_v2, _quota_v1)


Reader = Callable[[Path], float | None]


def _limits(root: Path, proc: Path, controller: str, read_v2: Reader, read_v1: Reader) -> list[float]:
    """What applies of one controller: a cgroup is bound by the limits of all its ancestors."""
    try:
        lines = proc.read_text().splitlines()
    except OSError:
        return []
    found: list[float] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":  # version 2
            found += _walk(root, path, read_v2)
        elif controller in controllers.split(","):
            found += _walk(root / controllers, path, read_v1) or _walk(root / controller, path, read_v1)
    return found


def _walk(mount: Path, path: str, read: Reader) -> list[float]:
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


def _memory_v2(group: Path) -> float | None:
    try:
        text = (group / "memory.max").read_text().strip()
        return None if text == "max" else int(text)
    except (OSError, ValueError):
        return None


def _memory_v1(group: Path) -> float | None:
    try:
        return int((group / "memory.limit_in_bytes").read_text())
    except (OSError, ValueError):
        return None
