"""threads: what FASTWORKER_THREADS brings a function of numpy, whose BLAS would take a thread per CPU in every worker.

A closed loop with two requests per worker in flight, the workers as many as the CPUs. Rule: the same app, the same
requests and the same round with `auto` and with `off`; nothing else differs.
"""

from base64 import b64encode
from typing import Final

from rich.progress import Progress

from benchmarks import calls, load
from benchmarks.contenders import FUNCTIONS, Running
from benchmarks.functions.blas import EXPECTED
from benchmarks.rows import OURS
from benchmarks.scenario import Case, Emit, Options, Variant, measured, present, rounds

NAME: Final = "threads"
SETTINGS: Final = ("auto", "off")
WARMUP_S: Final = 0.5


def run(options: Options, emit: Emit, progress: Progress) -> None:
    """Emits a row per setting and round."""
    seconds = options.pick(1.0, 4.0)
    wanted = b64encode(EXPECTED).decode()
    invert = calls.job("invert", 0, lambda answer: None if answer.get("ReturnValue") == wanted else f"not {wanted!r}")

    def measure(server: Running, case: Case, round_: int) -> None:
        kinds = load.prepare(server, [invert])
        in_flight = 2 * options.processes
        outcome = load.closed_loop(server, kinds, in_flight=in_flight, seconds=seconds, warmup=WARMUP_S)
        emit(measured(NAME, case.contender, case.variant, round_, outcome, "ms", per_second=outcome.per_second))

    def case(threads: str) -> Case:
        (contender,) = ours
        variant: Variant = {"threads": threads, "processes": options.processes}
        settings = {"FASTWORKER_THREADS": threads}
        return Case(contender, WARMUP_S + seconds, variant, settings, FUNCTIONS / "blas")

    ours = present(options, NAME, emit, names=[OURS])
    rounds(NAME, [case(threads) for threads in SETTINGS if ours], measure, options, emit, progress)
