"""hop: what the way to a handler that does nothing costs, by payload and by requests in flight.

Closed loop, because the number in flight is what is set here; and one open loop of rare requests, for a server that
has fallen asleep in between. Rule: every contender and the floor in every round, each in fresh processes.
"""

from typing import Final

from rich.progress import Progress

from benchmarks import calls, load, schedule
from benchmarks.contenders import Contender, Running, running
from benchmarks.rows import Scalar
from benchmarks.scenario import START_S, Emit, Options, Steps, attempt, measured, present

NAME: Final = "hop"
KB: Final = 1024
# (payload in bytes, requests in flight)
FULL: Final = ((KB, 1), (KB, 4), (KB, 16), (KB, 64), (64 * KB, 1), (64 * KB, 16), (1024 * KB, 1), (1024 * KB, 4))
QUICK: Final = ((KB, 1), (KB, 64), (64 * KB, 1), (1024 * KB, 1))
# Rare enough that every worker is asleep when a request comes.
RARE_PER_SECOND: Final = 200.0
RARE_SPIN_US: Final = 150
WARMUP_S: Final = 0.1


def run(options: Options, emit: Emit, progress: Progress) -> None:
    """Emits a row per contender, payload, number in flight, and round; and one for rare requests."""
    contenders = present(options, NAME, emit, "echo")
    variants = options.pick(QUICK, FULL)
    seconds = options.pick(0.25, 0.5)
    rare_s = options.pick(0.5, 1.5)
    each = START_S + (len(variants) + 1) * (seconds + WARMUP_S) + rare_s
    steps = Steps(progress, NAME, each * len(contenders) * options.rounds)
    for round_ in range(options.rounds):
        for contender in contenders:
            steps.tell(contender.name)
            with (
                attempt(emit, NAME, contender.name, {}, round_),
                running(contender, processes=options.processes, settings=options.work_settings) as server,
            ):
                _measure(server, contender, options, emit, round_, seconds, rare_s)
            steps.advance(each)
    steps.finish()


def _measure(
    server: Running, contender: Contender, options: Options, emit: Emit, round_: int, seconds: float, rare_s: float
) -> None:
    variants = options.pick(QUICK, FULL)
    payloads = sorted({payload for payload, _ in variants})
    kinds = dict(zip(payloads, load.prepare(server, [calls.echo(payload) for payload in payloads]), strict=True))
    # Every worker meets connections, and what compiles while it runs has done so.
    load.closed_loop(server, [kinds[KB]], in_flight=16, seconds=seconds, warmup=0).require_right()
    for payload, in_flight in variants:
        variant: dict[str, Scalar] = {"payload": payload, "in_flight": in_flight, "processes": options.processes}
        with attempt(emit, NAME, contender.name, variant, round_):
            kind = kinds[payload]
            outcome = load.closed_loop(server, [kind], in_flight=in_flight, seconds=seconds, warmup=WARMUP_S)
            emit(measured(NAME, contender, variant, round_, outcome, "us", per_second=outcome.per_second))
    variant = {"payload": KB, "per_second": RARE_PER_SECOND, "processes": options.processes}
    with attempt(emit, NAME, contender.name, variant, round_):
        instants = schedule.poisson(RARE_PER_SECOND, rare_s + WARMUP_S, seed=round_)
        plan = schedule.plain(instants)
        outcome = load.open_loop(server, [kinds[KB]], plan, warmup=WARMUP_S, spin_us=RARE_SPIN_US)
        emit(measured(NAME, contender, variant, round_, outcome, "us"))
