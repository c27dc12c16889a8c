"""What a machine, an app and its configuration contradict, each with the line to change.

Asked by doctor.py, which collects the facts.
Rule: pure. A contradiction fails, is cut, or costs the app what it asked for; advice would make it better; nothing is
told twice, and nothing without what to do.
"""

import re
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

import msgspec

from fastworker.commands.concurrency import BATCH_SIZE, BUS_CALLS, Handler, at_once, share
from fastworker.config.host_json import HostJson
from fastworker.deadline import grace_within_s, limit_of
from fastworker.settings import Settings

MIB: Final = 2**20
# The newest host that was recorded; what came later it does not know (docs/protocol.md).
OLD_HOST: Final = (4, 1037)
TUNE: Final = "fastworker sync --tune writes it"
DEFAULT_BUS_CALLS: Final = 16

Level = Literal["contradiction", "advice"]


class Finding(msgspec.Struct, frozen=True):
    """`change` is the line to write, and where."""

    level: Level
    subject: str
    what: str
    change: str


class FunctionFacts(NamedTuple):
    """A function: its trigger's key, how it runs, and its own deadline."""

    name: str
    key: str
    is_async: bool
    deadline_s: float | None = None


class Package(NamedTuple):
    """A library that the server needs: what is installed ("" if it is not), and the least that will do."""

    name: str
    installed: str
    least: str


class Facts(msgspec.Struct, frozen=True):
    """`resident_bytes` is what the import has made this process; `host_version` is "" where nobody knows it.

    `thread_limits` are the variables of native libraries that the environment sets itself.
    """

    settings: Settings
    host: HostJson
    host_timeout_s: float | None
    cpus: int
    memory_bytes: int
    resident_bytes: int = 0
    concurrency: int = 64
    functions: tuple[FunctionFacts, ...] = ()
    lost_threads: dict[str, int] = {}
    thread_limits: dict[str, str] = {}
    packages: tuple[Package, ...] = ()
    host_version: str = ""
    problems: tuple[str, ...] = ()

    @property
    def workers(self) -> int:
        return self.settings.workers or self.cpus

    @property
    def handlers(self) -> list[Handler]:
        return [Handler(f.name, f.key, f.is_async) for f in self.functions]


def findings(facts: Facts) -> list[Finding]:
    """All of them; contradictions first."""
    checks = (_problems, _packages, _cpus, _threads, _memory, _deadlines, _concurrency, _lost_threads, _host_version)
    found = [finding for check in checks for finding in check(facts)]
    return sorted(found, key=lambda finding: finding.level != "contradiction")


def _problems(facts: Facts) -> Iterator[Finding]:
    for line in facts.problems:
        yield Finding("contradiction", "app", line, "as it says")


def _packages(facts: Facts) -> Iterator[Finding]:
    for name, installed, least in facts.packages:
        if not installed:
            yield Finding("contradiction", "packages", f"{name} is not installed", f"pip install '{name}>={least}'")
        elif _version(installed) < _version(least):
            what = f"{name} {installed} is older than {least}, which the server needs"
            yield Finding("contradiction", "packages", what, f"pip install '{name}>={least}'")


def _cpus(facts: Facts) -> Iterator[Finding]:
    workers, cpus = facts.workers, facts.cpus
    if workers > cpus:
        what = f"{workers} workers on {cpus} usable CPUs: functions that compute only take turns, and each needs memory"
        yield Finding("advice", "workers", what, "FASTWORKER_WORKERS=auto, unless the functions wait for others")
    elif workers < cpus:
        what = f"{workers} workers on {cpus} usable CPUs: {cpus - workers} of them stay idle"
        yield Finding("advice", "workers", what, "FASTWORKER_WORKERS=auto")


def _threads(facts: Facts) -> Iterator[Finding]:
    wanted = {name: text for name, text in facts.thread_limits.items() if text.isdigit()}
    if facts.settings.threads:
        wanted["FASTWORKER_THREADS"] = str(facts.settings.threads)
    for name, text in sorted(wanted.items()):
        if int(text) > 1 and int(text) * facts.workers > facts.cpus:
            what = (
                f"{name}={text} in each of {facts.workers} workers makes {int(text) * facts.workers} computing threads "
                f"on {facts.cpus} usable CPUs"
            )
            change = "FASTWORKER_THREADS=auto" if name == "FASTWORKER_THREADS" else f"remove {name}"
            yield Finding("contradiction", "threads", what, change)
    if facts.settings.threads == 0 and not facts.thread_limits and facts.cpus > 1 and facts.workers > 1:
        what = f"FASTWORKER_THREADS=off: libraries may start {facts.cpus} threads in each of {facts.workers} workers"
        yield Finding("advice", "threads", what, "FASTWORKER_THREADS=auto")


def _memory(facts: Facts) -> Iterator[Finding]:
    settings, limit, resident, workers = facts.settings, facts.memory_bytes, facts.resident_bytes, facts.workers
    max_rss = settings.max_rss
    if max_rss is not None and max_rss <= resident:
        what = (
            f"FASTWORKER_MAX_RSS={_mib(max_rss)}, but the app has {_mib(resident)} once it is imported: each worker is "
            f"replaced after its first request"
        )
        yield Finding("contradiction", "memory", what, f"FASTWORKER_MAX_RSS={_mib(resident * 2)}, or off")
    elif max_rss is not None and workers * (max_rss - resident) + resident > limit:
        total = workers * (max_rss - resident) + resident
        what = (
            f"{workers} workers may grow to {_mib(max_rss)} each before they are replaced, {_mib(total)} together, and "
            f"{_mib(limit)} are allowed: the kernel kills first"
        )
        least = max((limit - resident) // workers + resident, resident + MIB)
        yield Finding("contradiction", "memory", what, f"FASTWORKER_MAX_RSS={_mib(least)}, or fewer workers")
    if not settings.preload and workers * resident > limit:
        what = (
            f"FASTWORKER_PRELOAD=0: each of {workers} workers imports the app by itself, {_mib(workers * resident)} "
            f"together, and {_mib(limit)} are allowed"
        )
        fewer = max(1, limit // max(1, resident))
        yield Finding("contradiction", "memory", what, f"FASTWORKER_PRELOAD=1, or FASTWORKER_WORKERS={fewer}")
    if settings.max_buffered is not None and settings.max_buffered > limit:
        what = f"FASTWORKER_MAX_BUFFERED={_mib(settings.max_buffered)}, and {_mib(limit)} of memory are allowed"
        yield Finding("contradiction", "memory", what, "FASTWORKER_MAX_BUFFERED=auto")


def _deadlines(facts: Facts) -> Iterator[Finding]:
    limits, host_s = facts.settings.limits, facts.host_timeout_s
    for function in facts.functions:
        is_http = function.key == "httptrigger"
        limit = limit_of(function.deadline_s, limits, host_timeout_s=host_s, is_http=is_http)
        where = f"@app.function(deadline=...) of {function.name}"
        if limit.problem is not None:
            yield Finding("contradiction", "deadlines", f"{function.name}: {limit.problem}", where)
        elif limit.warning is not None:
            yield Finding(
                "contradiction", "deadlines", f"{function.name}: {limit.warning}", _longer(function.deadline_s, facts)
            )
        elif function.deadline_s is None and host_s is not None and limit.seconds < limits.server_s:
            what = f"{function.name} has {limit.seconds:g} s, and not the {limits.server_s:g} s of FASTWORKER_DEADLINE"
            if limits.deadline_s is not None:
                yield Finding("contradiction", "deadlines", f"{what}, by {limit.name}", _longer(limits.server_s, facts))
            else:
                change = f"FASTWORKER_DEADLINE={limit.seconds:g}, or: {_longer(limits.server_s, facts)}"
                yield Finding("advice", "deadlines", f"{what}, by {limit.name}", change)
        elif grace_within_s(limit.seconds, host_timeout_s=host_s, grace_s=limits.grace_s) < limits.grace_s:
            what = f"{function.name}: between its deadline and functionTimeout there is less than the grace"
            yield Finding("advice", "deadlines", what, _longer(limit.seconds, facts))


def _longer(seconds: float | None, facts: Facts) -> str:
    whole = int((seconds or 0) + facts.settings.limits.grace_s + 2)
    return f'"functionTimeout": "{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}" in {facts.host.path}'


def _concurrency(facts: Facts) -> Iterator[Finding]:
    handlers, said, host = facts.handlers, facts.host.concurrency, facts.host
    queues = [handler for handler in handlers if handler.key == "queuetrigger"]
    if said.is_dynamic and (said.batch_size is not None or said.service_bus_calls is not None):
        what = 'with "dynamicConcurrencyEnabled" the host finds its own numbers, and reads none of those in host.json'
        yield Finding(
            "contradiction", "concurrency", what, f"remove them, or dynamicConcurrencyEnabled, from {host.path}"
        )
    elif queues and not said.is_dynamic:
        runs = share(queues, facts.workers, facts.concurrency)
        taken = host.queues.batch_size + host.queues.threshold(facts.cpus)
        yield from _more_than_runs(
            facts, queues, "queue messages", taken, runs, BATCH_SIZE, is_said=said.batch_size is not None
        )
    topics = [handler for handler in handlers if handler.key == "servicebustrigger"]
    if topics and not said.is_dynamic:
        runs, taken = share(topics, facts.workers, facts.concurrency), said.service_bus_calls or DEFAULT_BUS_CALLS
        yield from _more_than_runs(
            facts, topics, "Service Bus messages", taken, runs, BUS_CALLS, is_said=said.service_bus_calls is not None
        )
    http = [handler for handler in handlers if handler.key == "httptrigger"]
    most = host.http.max_concurrent
    if http and 0 < most < (runs := at_once(http, facts.workers, facts.concurrency)):
        what = f'"maxConcurrentRequests" is {most}, and {runs} requests can run: {runs - most} of them never do'
        yield Finding(
            "contradiction", "concurrency", what, f"maxConcurrentRequests={runs} or more in {host.path}; {TUNE}"
        )


def _more_than_runs(
    facts: Facts, handlers: list[Handler], what: str, taken: int, runs: int, keys: tuple[str, ...], *, is_said: bool
) -> Iterator[Finding]:
    """Messages that the host takes out of a queue and that nobody can run yet."""
    if taken <= runs:
        return
    names = ", ".join(handler.name for handler in handlers)
    by = "says" if is_said else "has by default"
    text = (
        f"{facts.host.path} {by} {taken} {what} at once for each of {names}, and {runs} can run: the others wait with "
        f"their deadline running, where no other instance can have them"
    )
    change = f"{'.'.join(keys)} in {facts.host.path}, for {runs} at once; {TUNE}"
    yield Finding("contradiction" if is_said else "advice", "concurrency", text, change)


def _lost_threads(facts: Facts) -> Iterator[Finding]:
    if facts.lost_threads and facts.settings.preload:
        libraries = ", ".join(f"{name} ({count})" for name, count in facts.lost_threads.items())
        what = f"the import starts threads that no forked worker has: {libraries}; calls that wait for them hang"
        yield Finding(
            "contradiction", "threads", what, "FASTWORKER_PRELOAD=0, or use the library in @app.on_worker_start"
        )


def _host_version(facts: Facts) -> Iterator[Finding]:
    host, needs = facts.host, []
    if host.http_mode == "proxy":
        needs.append("proxying (enableProxyingHttpRequest)")
    if host.http_routes:
        needs.append("customHandler.http.routes")
    if host.port is not None:
        needs.append("customHandler.port")
    if not needs or (facts.host_version and _version(facts.host_version)[:2] > OLD_HOST):
        return
    what = f"{', '.join(needs)} in {host.path} need a host newer than 4.1037 (those since mid-2025 know them)"
    level: Level = "contradiction" if facts.host_version else "advice"
    known = f", and this one is {facts.host_version}" if facts.host_version else "; --host-version tells doctor yours"
    yield Finding(
        level, "host", f"{what}{known}", "enableForwardingHttpRequest instead (docs/modes.md), or a newer host"
    )


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text.partition("+")[0])[:4])


def _mib(size: int) -> str:
    return f"{size // MIB}MiB"
