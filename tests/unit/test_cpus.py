"""cpus.py: affinity and every cgroup limit count, whichever is smallest."""

import os
from pathlib import Path

import pytest

from fastworker.cpus import THREAD_VARIABLES, thread_variables, usable_cpus


@pytest.fixture(autouse=True)
def sixteen_cpus(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))


def cpus_under(root: Path, membership: str | None, limits: dict[str, str]) -> int:
    """usable_cpus() in a system whose /proc/self/cgroup is `membership` and whose cgroup files are `limits`."""
    for path, text in limits.items():
        file = root / "cgroup" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    proc = root / "self"
    if membership is not None:
        proc.write_text(membership)
    return usable_cpus(root / "cgroup", proc)


@pytest.mark.parametrize(
    ("membership", "limits", "expected"),
    [
        pytest.param(None, {}, 16, id="no cgroups at all"),
        pytest.param("0::/\n", {}, 16, id="v2 without a limit file"),
        pytest.param("0::/app\n", {"app/cpu.max": "max 100000\n"}, 16, id="v2 unlimited"),
        pytest.param("0::/app\n", {"app/cpu.max": "200000 100000\n"}, 2, id="v2 two CPUs exactly"),
        pytest.param("0::/app\n", {"app/cpu.max": "200001 100000\n"}, 3, id="v2 rounded up"),
        pytest.param("0::/app\n", {"app/cpu.max": "10000 100000\n"}, 1, id="v2 a tenth of a CPU"),
        pytest.param("0::/app\n", {"app/cpu.max": "9900000 100000\n"}, 16, id="v2 more than there are"),
        pytest.param(
            "0::/pod/app\n",
            {"pod/app/cpu.max": "800000 100000\n", "pod/cpu.max": "300000 100000\n", "cpu.max": "max 100000\n"},
            3,
            id="v2 bound by its parent",
        ),
        pytest.param("0::/pod/app\n", {"cpu.max": "400000 100000\n"}, 4, id="v2 in a container, only the mount seen"),
        pytest.param("0::/../..\n", {"cpu.max": "400000 100000\n"}, 4, id="v2 outside of its namespace"),
        pytest.param(
            "5:memory:/m\n4:cpu,cpuacct:/app\n0::/\n",
            {"cpu,cpuacct/app/cpu.cfs_quota_us": "250000\n", "cpu,cpuacct/app/cpu.cfs_period_us": "100000\n"},
            3,
            id="v1 under its controllers' name",
        ),
        pytest.param(
            "4:cpu,cpuacct:/app\n",
            {"cpu/app/cpu.cfs_quota_us": "100000\n", "cpu/app/cpu.cfs_period_us": "50000\n"},
            2,
            id="v1 under the short name",
        ),
        pytest.param(
            "4:cpu:/app\n",
            {"cpu/app/cpu.cfs_quota_us": "-1\n", "cpu/app/cpu.cfs_period_us": "100000\n"},
            16,
            id="v1 unlimited",
        ),
        pytest.param(
            "4:cpuset:/app\n",
            {"cpuset/app/cpu.cfs_quota_us": "100000\n", "cpuset/app/cpu.cfs_period_us": "100000\n"},
            16,
            id="v1 of another controller",
        ),
    ],
)
def test_the_smallest_limit_of_a_cgroup_tree_holds(tmp_path, membership, limits, expected):
    """A process is bound by the quota of its group and of every group above."""
    assert cpus_under(tmp_path, membership, limits) == expected


def test_affinity_counts_where_it_is_smaller_than_the_quota(tmp_path, monkeypatch):
    """A quota of four CPUs is no use to a process that may run on three."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5, 9})
    assert cpus_under(tmp_path, "0::/a\n", {"a/cpu.max": "400000 100000\n"}) == 3


@pytest.mark.parametrize(
    ("threads", "cpus", "workers", "each"),
    [(None, 8, 4, "2"), (None, 8, 3, "2"), (None, 2, 4, "1"), (None, 4, 1, "4"), (3, 8, 4, "3"), (3, 1, 1, "3")],
)
def test_a_workers_native_threads_are_its_share_of_the_cpus(threads, cpus, workers, each):
    """Whole ones, and never none; or what FASTWORKER_THREADS says."""
    assert thread_variables(threads, cpus=cpus, workers=workers) == dict.fromkeys(THREAD_VARIABLES, each)


def test_no_native_threads_are_limited_where_that_is_off():
    """The libraries do as they would by themselves."""
    assert thread_variables(0, cpus=8, workers=4) == {}
