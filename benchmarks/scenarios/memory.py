"""memory: what one more worker costs, with an app that imports numpy and holds a table of 200 MB.

Preloaded (imported before the fork) or not; after 10,000 requests, for only then it shows what reference counts and
allocators have made private. Read from /proc/PID/smaps_rollup of every process of the tree. `extra_mb` is the growth of
the whole tree's proportional set size from one worker to several, per worker; `private_mb` the median worker's pages
that it shares with nobody. MB are 10^6 bytes.
"""

import statistics
import time
from base64 import b64encode
from pathlib import Path
from typing import Final, NamedTuple

import psutil
from rich.progress import Progress

from benchmarks import calls, load
from benchmarks.contenders import FUNCTIONS, Contender, Running, running
from benchmarks.functions.table import expected
from benchmarks.rows import OURS, Row
from benchmarks.scenario import Emit, Options, Steps, Variant, attempt, present, row

NAME: Final = "memory"
# Each with the settings that make it import before the fork, and after it.
PRELOAD: Final[dict[str, tuple[dict[str, str], dict[str, str]]]] = {
    OURS: ({"FASTWORKER_PRELOAD": "1"}, {"FASTWORKER_PRELOAD": "0"}),
    "gunicorn+uvicorn": ({"GUNICORN_CMD_ARGS": "--preload"}, {}),
    "gunicorn+flask": ({"GUNICORN_CMD_ARGS": "--preload"}, {}),
}
SEVERAL: Final = 4
# Worst case, without preloading: each worker has a table of its own.
NEEDED_BYTES: Final = (SEVERAL + 1) * 300 * 2**20
IN_FLIGHT_PER_WORKER: Final = 4
STEP_S: Final = 0.5
MOST_STEPS: Final = 120
PLANNED_S: Final = 12.0
SETTLE_S: Final = 0.4
SETTLE_TIMEOUT_S: Final = 30.0
SETTLED_BYTES: Final = 200_000
MB: Final = 1e6


class Use(NamedTuple):
    """One process' memory in bytes."""

    private: int
    proportional: int


def run(options: Options, emit: Emit, progress: Progress) -> None:
    """Emits a row per contender and way of loading. Sizes hardly vary, so there is one round only."""
    contenders = present(options, NAME, emit, names=options.pick((OURS, "gunicorn+flask"), tuple(PRELOAD)))
    requests = options.pick(1000, 10_000)
    planned = options.pick(0.4, 1.0) * PLANNED_S
    steps = Steps(progress, NAME, len(contenders) * 2 * planned)
    for contender in contenders:
        for preload in (True, False):
            steps.tell(f"{contender.name}{', preloaded' if preload else ''}")
            variant: Variant = {"preload": preload, "processes": SEVERAL}
            with attempt(emit, NAME, contender.name, variant, 0):
                emit(_measure(contender, variant, options, requests))
            steps.advance(planned)
    steps.finish()


def use_of(rollup: str) -> Use:
    """What /proc/PID/smaps_rollup says. Raises ValueError when it does not say it."""
    sizes: dict[str, int] = {}
    for line in rollup.splitlines()[1:]:
        name, _, rest = line.partition(":")
        sizes[name] = int(rest.split()[0]) * 1024
    try:
        return Use(sizes["Private_Clean"] + sizes["Private_Dirty"], sizes["Pss"])
    except KeyError as missing:
        raise ValueError(f"smaps_rollup has no {missing}") from None


def _measure(contender: Contender, variant: Variant, options: Options, requests: int) -> Row:
    if psutil.virtual_memory().available < NEEDED_BYTES:
        raise OSError(f"less than {NEEDED_BYTES / MB:.0f} MB of memory are free")
    settings = {**options.work_settings, **PRELOAD[contender.name][0 if variant["preload"] else 1]}
    one_total = sum(use.proportional for use in _uses(contender, 1, settings, requests)[0])
    tree, workers = _uses(contender, SEVERAL, settings, requests)
    total = sum(use.proportional for use in tree)
    metrics = {
        "extra_mb": (total - one_total) / (SEVERAL - 1) / MB,
        "private_mb": statistics.median(use.private for use in workers) / MB,
        "pss_mb": statistics.median(use.proportional for use in workers) / MB,
        "total_mb": total / MB,
    }
    return row(NAME, contender, variant, 0, metrics, {**settings, "requests": requests})


def _uses(contender: Contender, workers: int, settings: dict[str, str], requests: int) -> tuple[list[Use], list[Use]]:
    """The memory of all processes, and of the workers among them, after so many requests."""
    wanted = b64encode(expected(start=12345)).decode()
    look = calls.job(
        "look", 12345, lambda answer: None if answer.get("ReturnValue") == wanted else f"it is not {wanted!r}"
    )
    with running(contender, processes=workers, functions=FUNCTIONS / "table", settings=settings) as server:
        (prepared,) = load.prepare(server, [look])
        _wait_until_settled(server, workers)  # every worker has imported the app, and can take its share
        done = 0
        for _ in range(MOST_STEPS):
            outcome = load.closed_loop(server, [prepared], in_flight=IN_FLIGHT_PER_WORKER * workers, seconds=STEP_S)
            done += len(outcome.require_right().records)
            if done >= requests:
                break
        else:
            raise OSError(f"only {done} of {requests} requests in {MOST_STEPS * STEP_S:g} s")
        _wait_until_settled(server, workers)
        return _read(server, workers)


def _wait_until_settled(server: Running, workers: int) -> None:
    """Until all workers are there and nobody's memory changes any more. Raises OSError."""
    until = time.monotonic() + SETTLE_TIMEOUT_S
    before = -1
    while time.monotonic() < until:
        time.sleep(SETTLE_S)
        try:
            now = sum(use.proportional for use in _read(server, workers)[0])
        except OSError:
            continue  # somebody is just being started
        if abs(now - before) < SETTLED_BYTES:
            return
        before = now
    raise OSError(f"the memory of {workers} workers does not settle within {SETTLE_TIMEOUT_S:g} s")


def _read(server: Running, workers: int) -> tuple[list[Use], list[Use]]:
    """Workers are the leaves of the tree: whoever has children is a supervisor, an arbiter or a zygote."""
    tree = server.tree()
    parents = {process.ppid() for process in tree}
    uses = {process.pid: use_of(Path(f"/proc/{process.pid}/smaps_rollup").read_text()) for process in tree}
    leaves = [pid for pid in uses if pid not in parents]
    if len(leaves) != workers:
        raise OSError(f"{len(leaves)} processes without children, not {workers} workers")
    return list(uses.values()), [uses[pid] for pid in leaves]
