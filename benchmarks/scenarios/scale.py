"""scale: instances, cost and p99 over a day from 1 to 10,000 requests per second, under published scaling rules.

The service time and the start of an app are measured of this server, here; the rest is scaling.py's simulation. An
instance has one CPU and one worker. Rule: the same measured times and the same day for every controller.
"""

from typing import Final, NamedTuple

from rich.progress import Progress

from benchmarks import calls, load, scaling
from benchmarks.contenders import FUNCTIONS, Contender, running
from benchmarks.rows import OURS
from benchmarks.scenario import Emit, Options, Steps, Variant, attempt, present, row

NAME: Final = "scale"
JOB_MS: Final = 10.0
SERVERS: Final = 1
# From the host's start to its first answer with this server as its handler: recorded of host 4.1037 (1.8 to 2.4 s).
HOST_START_S: Final = 2.1
# What a platform takes before anything of this starts is not published: none, and an assumption of ten seconds.
PLATFORM_S: Final = (0.0, 10.0)
# In flight per CPU: one that computes and one that waits.
TARGET: Final = 2.0
PLANNED_S: Final = 8.0


class Rule(NamedTuple):
    """A controller as it is set for a trigger; with `host` the Functions host starts with each instance."""

    name: str
    trigger: str
    controller: scaling.Controller
    host: bool


def rules() -> list[Rule]:
    """New ones: controllers remember. The defaults of their documentation but for `target`; see docs/scaling.md."""
    return [
        Rule("Functions", "http", scaling.Functions(TARGET, period_s=1, step=1, most=200), True),
        Rule("Functions", "queue", scaling.Functions(16, period_s=30, step=4, most=200), True),
        Rule("KEDA", "http", scaling.Keda(TARGET, polling_s=1, most=200), False),
        Rule("KEDA", "queue", scaling.Keda(5, polling_s=30, most=200), False),
    ]


def run(options: Options, emit: Emit, progress: Progress) -> None:
    """Emits a row per controller, trigger and start of the platform."""
    ours = present(options, NAME, emit, names=[OURS])
    seconds = options.pick(scaling.DAY_S // 4, scaling.DAY_S)
    steps = Steps(progress, NAME, PLANNED_S * len(ours) * len(PLATFORM_S) * len(rules()))
    for contender in ours:
        with attempt(emit, NAME, contender.name, {}, 0):
            service_s, start_s = _measured(contender, options)
            waits = scaling.Waits([round(service_s * 1e9)], SERVERS)
            for platform_s in PLATFORM_S:
                for rule in rules():
                    steps.tell(f"{rule.name}, {rule.trigger}")
                    cold_s = platform_s + start_s + (HOST_START_S if rule.host else 0.0)
                    day = scaling.simulate(
                        rule.controller, waits, servers=SERVERS, cold_start_s=cold_s, seconds=seconds
                    )
                    variant: Variant = {"controller": rule.name, "trigger": rule.trigger, "platform_s": platform_s}
                    metrics = {
                        "p50_ms": day.p50_ms,
                        "p99_ms": day.p99_ms,
                        "late_percent": day.late_percent,
                        "instance_hours": day.instance_hours,
                        "hours_over_needed": day.instance_hours / day.needed_hours,
                        "most_instances": float(day.most_instances),
                        "cold_start_ms": 1000 * cold_s,
                        "service_ms": 1000 * waits.service_s,
                    }
                    slots = [[slot.hour, slot.per_second, slot.instances, slot.p99_ms] for slot in day.slots]
                    emit(row(NAME, contender, variant, 0, metrics, {"slots": slots}))
                    steps.advance(PLANNED_S)
    steps.finish()


def _measured(contender: Contender, options: Options) -> tuple[float, float]:
    """Seconds of CPU time that a request takes of all the server's processes, and its start with numpy until the first
    answer. CPU time, for it is what a queue is made of, and what else the machine does is not in it."""
    with running(contender, processes=1, functions=FUNCTIONS / "with_numpy", settings=options.work_settings) as server:
        server.checked(calls.echo(100))
        start_s = server.cpu_s()
    with running(contender, processes=1, settings=options.work_settings) as server:
        kinds = load.prepare(server, [calls.work(JOB_MS, options.rounds_per_ms)])
        before = server.cpu_s()
        outcome = load.closed_loop(server, kinds, in_flight=1, seconds=options.pick(1.0, 6.0)).require_right()
        service_s = (server.cpu_s() - before) / len(outcome.records)
    return service_s, start_s
