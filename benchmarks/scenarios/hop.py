"""hop: what the way to a handler that does nothing costs, by kind of request, payload and requests in flight.

Kinds: the envelope in chunks, as the host sends it; a client's request that the host forwards; one that it proxies.
Closed loop, because the number in flight is what is set here; and one open loop of rare requests, for a server that
has fallen asleep in between. Rule: every contender and the floor in every round, each in fresh processes.
"""

from typing import Final

from rich.progress import Progress

from benchmarks import calls, load, schedule
from benchmarks.contenders import FUNCTIONS, Contender, Running
from benchmarks.scenario import Case, Emit, Options, Variant, attempt, measured, present, rounds

NAME: Final = "hop"
KB: Final = 1024
# (payload in bytes, requests in flight)
FULL: Final = ((KB, 1), (KB, 4), (KB, 16), (KB, 64), (64 * KB, 1), (64 * KB, 16), (1024 * KB, 1), (1024 * KB, 4))
QUICK: Final = ((KB, 1), (KB, 64), (1024 * KB, 1))
HEADLINE: Final = ((KB, 1), (KB, 16), (KB, 64), (64 * KB, 1), (1024 * KB, 1))
PLAIN: Final = ((KB, 1), (KB, 64))
PLAIN_FUNCTION: Final = "plain"
MODES: Final = {"forwarded": "forward", "proxied": "proxy"}
# Rare enough that every worker is asleep when a request comes.
RARE_PER_SECOND: Final = 200.0
RARE_SPIN_US: Final = 150
WARMUP_S: Final = 0.1


def run(options: Options, emit: Emit, progress: Progress) -> None:
    """Emits a row per contender, kind of request, payload, number in flight, and round; and one for rare requests."""
    contenders = present(options, NAME, emit, "echo")
    variants = HEADLINE if options.headline else options.pick(QUICK, FULL)
    seconds = options.pick(0.25, 0.5)
    rare_s = options.pick(0.5, 1.5)

    def measure(server: Running, case: Case, round_: int) -> None:
        kind = str(case.variant["request"])
        wanted = variants if kind == "envelope" else PLAIN
        payloads = sorted({payload for payload, _ in wanted})
        made = [calls.echo(size) if kind == "envelope" else calls.plain_echo(size, kind) for size in payloads]
        kinds = dict(zip(payloads, load.prepare(server, made), strict=True))
        # Every worker meets connections, and what compiles while it runs has done so.
        load.closed_loop(server, [kinds[KB]], in_flight=16, seconds=seconds, warmup=0).require_right()
        for payload, in_flight in wanted:
            variant: Variant = {
                **case.variant, "payload": payload, "in_flight": in_flight, "processes": options.processes
            }  # fmt: skip
            with attempt(emit, NAME, case.contender.name, variant, round_):
                outcome = load.closed_loop(
                    server, [kinds[payload]], in_flight=in_flight, seconds=seconds, warmup=WARMUP_S
                )
                per_second = outcome.per_second
                emit(measured(NAME, case.contender, variant, round_, outcome, "us", per_second=per_second))
        variant = {**case.variant, "payload": KB, "per_second": RARE_PER_SECOND, "processes": options.processes}
        with attempt(emit, NAME, case.contender.name, variant, round_):
            plan = schedule.plain(schedule.poisson(RARE_PER_SECOND, rare_s + WARMUP_S, seed=round_))
            outcome = load.open_loop(server, [kinds[KB]], plan, warmup=WARMUP_S, spin_us=RARE_SPIN_US)
            emit(measured(NAME, case.contender, variant, round_, outcome, "us"))

    def case(contender: Contender, kind: str) -> Case:
        count = len(variants if kind == "envelope" else PLAIN)
        planned = (count + 1) * (seconds + WARMUP_S) + rare_s
        folder = FUNCTIONS / MODES[kind] if kind in MODES else FUNCTIONS
        return Case(contender, planned, {"request": kind}, functions=folder)

    cases = [case(contender, "envelope") for contender in contenders]
    cases += [case(one, kind) for kind in MODES for one in contenders if PLAIN_FUNCTION in one.functions]
    rounds(NAME, cases, measure, options, emit, progress)
