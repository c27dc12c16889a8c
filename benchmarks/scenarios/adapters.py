"""adapters: apps that were not written for fastworker, unchanged, on their usual servers and here.

An azure.functions app (http and queue functions) on the official worker; a FastAPI and a Flask app on uvicorn, gunicorn
and granian. Every function computes for 10 ms. Of each: requests per second in a closed loop, p99 in an open loop at
80 % of what the CPUs can compute, innocents lost when workers crash, and the memory of all processes after the load.
Rule: the same files, requests, arrivals and number of processes for all in a round.
"""

import contextlib
import json
import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from rich.progress import Progress

from benchmarks import calls, load, schedule, service_times
from benchmarks.calls import Call, Plain
from benchmarks.contenders import CONTENDERS, FUNCTIONS, Contender, Launch, Running
from benchmarks.contenders.official import APP as AZURE
from benchmarks.contenders.official import LIBRARY, WHOLE
from benchmarks.contenders.peers import GUNICORN_THREADS, GUNICORN_UVICORN, granian, gunicorn, missing, uvicorn
from benchmarks.functions.work import burn
from benchmarks.rows import OURS
from benchmarks.scenario import START_S, Case, Emit, Options, Variant, measured, rounds
from benchmarks.scenarios.faults import ORDER_LENGTH
from benchmarks.scenarios.memory import MB, use_of

NAME: Final = "adapters"
JOB_MS: Final = 10.0
LOAD: Final = 0.8
IN_FLIGHT_PER_WORKER: Final = 4
CRASH_EVERY: Final = 50
TIMEOUT_S: Final = 10.0
SERVICE_S: Final = 0.4
WARMUP_S: Final = 0.3
MOST_ROUNDS: Final = 2
HEADERS: Final = {"User-Agent": "curl/8.5.0", "Accept": "*/*"}


def run(options: Options, emit: Emit, progress: Progress) -> None:
    """Emits a row per app, server, trigger and round."""
    seconds = options.pick(1.0, 3.0)
    per_second = [0.0]

    def before(round_: int) -> None:
        services = service_times.measure([JOB_MS], options.processes, SERVICE_S, options.rounds_per_ms)
        per_second[0] = LOAD * options.processes / (statistics.fmean(services[JOB_MS]) / 1e9)

    def measure(server: Running, case: Case, round_: int) -> None:
        call = CALLS[str(case.variant["trigger"])](options)
        (kind,) = load.prepare(server, [call])
        in_flight = IN_FLIGHT_PER_WORKER * options.processes
        full = load.closed_loop(server, [kind], in_flight=in_flight, seconds=seconds, warmup=WARMUP_S).require_right()
        plan = schedule.plain(schedule.poisson(per_second[0], seconds + WARMUP_S, seed=round_))
        outcome = load.open_loop(server, [kind], plan, warmup=WARMUP_S)
        more = {"per_second": full.per_second, "memory_mb": _memory(server) / MB}
        if call.plain is not None:
            more["lost_per_1000"] = _lost(server, kind, in_flight, seconds)
        emit(measured(NAME, case.contender, case.variant, round_, outcome, "ms", **more))

    rounds(NAME, _cases(options, 3 * seconds), measure, options, emit, progress, most=MOST_ROUNDS, before=before)


def _cases(options: Options, planned_s: float) -> list[Case]:
    made = []
    for app, folder, contender, triggers in _stacks():
        if options.contenders and contender.name not in options.contenders:
            continue
        for trigger in triggers:
            variant: Variant = {"app": app, "trigger": trigger, "processes": options.processes}
            made.append(Case(_checked(contender), planned_s + START_S, variant, functions=folder))
    return made


def _checked(contender: Contender) -> Contender:
    """The contender; who is absent fails with the reason when started."""

    def command(launch: Launch) -> list[str]:
        if reason := contender.absent():
            raise OSError(f"absent: {reason}")
        return contender.command(launch)

    return replace(contender, command=command)


def _stacks() -> list[tuple[str, Path, Contender, tuple[str, ...]]]:
    """App, its folder, the server, and what triggers it."""
    ours = CONTENDERS[OURS]
    proxy = replace(ours, environ=lambda launch: {**ours.environ(launch), "FASTWORKER_HTTP_MODE": "proxy"})
    fastapi, flask = FUNCTIONS / "adapters" / "fastapi_app", FUNCTIONS / "adapters" / "flask_app"
    both, web = ("http", "queue"), ("web",)
    threads = "8 threads in each process"
    return [
        ("azure.functions", AZURE, ours, both),
        ("azure.functions", AZURE, CONTENDERS[WHOLE.name], both),
        ("azure.functions", AZURE, CONTENDERS[LIBRARY.name], both),
        ("FastAPI", fastapi, proxy, web),
        ("FastAPI", fastapi, Contender("uvicorn", uvicorn("main"), missing("uvicorn", "fastapi")), web),
        ("FastAPI", fastapi, Contender("gunicorn", gunicorn("main", *GUNICORN_UVICORN), missing("gunicorn")), web),
        ("FastAPI", fastapi, Contender("granian", granian("main", "asgi"), missing("granian")), web),
        ("Flask", flask, proxy, web),
        ("Flask", flask, Contender("uvicorn", uvicorn("main", "wsgi"), missing("uvicorn"), "its WSGI bridge"), web),
        ("Flask", flask, Contender("gunicorn", gunicorn("main", *GUNICORN_THREADS), missing("gunicorn"), threads), web),
        ("Flask", flask, Contender("granian", granian("main", "wsgi"), missing("granian")), web),
    ]


def _digest(options: Options) -> str:
    return burn(JOB_MS, options.rounds_per_ms).hex()


def _web(options: Options) -> Call:
    request = Plain("GET", f"/api/compute?ms={JOB_MS:g}", HEADERS)
    return calls.plain("compute", "compute", request, _digest(options))


def _http(options: Options) -> Call:
    return calls.http("compute", {"ms": f"{JOB_MS:g}"}, _digest(options))


def _queue(options: Options) -> Call:
    digest = _digest(options)

    def problem(answer: Any) -> str | None:
        return None if calls.is_text(answer.get("ReturnValue"), digest) else f"ReturnValue is not {digest!r}"

    return calls.message("consume", "msg", json.dumps(f"ms={JOB_MS:g}"), problem)


CALLS: Final[dict[str, Callable[[Options], Call]]] = {"web": _web, "http": _http, "queue": _queue}


def _lost(server: Running, kind: load.Prepared, in_flight: int, seconds: float) -> float:
    """Innocent requests that were lost per thousand that killed their worker. Raises OSError where none did."""
    crash = Call("crash", "crash", b"", lambda answer: None, lenient=True, plain=Plain("GET", "/api/crash", HEADERS))
    order = [int(number % CRASH_EVERY == CRASH_EVERY // 2) for number in range(ORDER_LENGTH)]
    kinds = [kind, *load.prepare(server, [crash])]
    records = load.closed_loop(
        server, kinds, in_flight=in_flight, seconds=seconds, warmup=WARMUP_S, order=order, timeout=TIMEOUT_S
    ).records
    crashes, lost = int((records["kind"] == 1).sum()), int(((records["kind"] == 0) & (records["outcome"] != 0)).sum())
    if not crashes:
        raise OSError("no request killed its worker: nothing to tell of faults")
    return 1000 * lost / crashes


def _memory(server: Running) -> int:
    """Proportional set size of all processes but a stand-in for the host."""
    total = 0
    for process in server.tree()[1 if server.contender.driven else 0 :]:
        with contextlib.suppress(OSError):  # just ended
            total += use_of(Path(f"/proc/{process.pid}/smaps_rollup").read_text()).proportional
    return total
