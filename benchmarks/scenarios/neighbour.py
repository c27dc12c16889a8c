"""neighbour: what the spin costs where the host lives on the same CPUs, with every setting of it.

The load side stands in for the host: as many processes as CPUs, each computing for some milliseconds before each
request that it sends (the real host takes 0.23 to 0.7 ms for a forwarded request, 1.3 to 3.5 for an envelope). The
figures are requests per second, and the CPU time that the server's processes take for each (`cpu_us`). Rule: one
round, the same requests; nothing but FASTWORKER_SPIN differs.
"""

from typing import Final

from rich.progress import Progress

from benchmarks import calls, load
from benchmarks.contenders import FUNCTIONS, Running
from benchmarks.rows import OURS
from benchmarks.scenario import Case, Emit, Options, Variant, attempt, measured, present, rounds

NAME: Final = "neighbour"
SPINS: Final = ("0", "auto", "20", "50", "200", "1000")
BURNS_MS: Final = (0.5, 1.0, 3.0)
IN_FLIGHT: Final = (1, 16, 64)
PAYLOAD: Final = 1024
WARMUP_S: Final = 0.3


def run(options: Options, emit: Emit, progress: Progress) -> None:
    """Emits a row per setting of the spin, CPU time of the host, number in flight, and round."""
    burns = options.pick((1.0,), BURNS_MS)
    levels = options.pick((16,), IN_FLIGHT)
    seconds = options.pick(0.7, 1.5)

    def measure(server: Running, case: Case, round_: int) -> None:
        kinds = load.prepare(server, [calls.plain_echo(PAYLOAD, "forwarded")])
        for burn_ms in burns:
            for in_flight in levels:
                variant: Variant = {**case.variant, "host_ms": burn_ms, "in_flight": in_flight}
                with attempt(emit, NAME, case.contender.name, variant, round_):
                    before = server.cpu_s()
                    outcome = load.closed_loop(
                        server,
                        kinds,
                        in_flight=in_flight,
                        seconds=seconds,
                        warmup=WARMUP_S,
                        processes=options.processes,
                        burn_us=round(burn_ms * 1000),
                    ).require_right()
                    more = {
                        "per_second": outcome.per_second,
                        "cpu_us": (server.cpu_s() - before) * 1e6 / len(outcome.records),
                    }
                    emit(measured(NAME, case.contender, variant, round_, outcome, "us", **more))

    planned = len(burns) * len(levels) * (seconds + WARMUP_S)
    cases = [
        Case(contender, planned, {"spin": spin}, {"FASTWORKER_SPIN": spin}, FUNCTIONS / "forward")
        for contender in present(options, NAME, emit, names=[OURS, *(n for n in options.contenders if n != OURS)])
        for spin in options.pick(("0", "auto", "200"), SPINS)
        if "plain" in contender.functions and contender.name.startswith(OURS)
    ]
    rounds(NAME, cases, measure, options, emit, progress)
