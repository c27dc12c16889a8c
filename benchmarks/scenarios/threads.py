"""threads: what FASTWORKER_THREADS brings a function of numpy, whose BLAS would take a thread per CPU in every worker.

A closed loop with two requests per worker in flight, the workers as many as the CPUs. Rule: the same app, the same
requests and the same round with `auto` and with `off`; nothing else differs.
"""

from base64 import b64encode
from typing import Final

from rich.progress import Progress

from benchmarks import load
from benchmarks.contenders import FUNCTIONS, running
from benchmarks.functions.blas import EXPECTED
from benchmarks.rows import Scalar
from benchmarks.scenario import START_S, Emit, Options, Steps, attempt, measured
from benchmarks.scenarios.among import among, call

NAME: Final = "threads"
SETTINGS: Final = ("auto", "off")
WARMUP_S: Final = 0.5


def run(options: Options, emit: Emit, progress: Progress) -> None:
    """Emits a row per setting and round."""
    contenders = among(options, NAME, emit, ("fastworker",))
    seconds = options.pick(1.0, 4.0)
    each = (START_S + WARMUP_S + seconds) * len(SETTINGS)
    steps = Steps(progress, NAME, each * options.rounds * len(contenders))
    wanted = b64encode(EXPECTED).decode()
    invert = call("invert", 0, lambda answer: None if answer.get("ReturnValue") == wanted else f"it is not {wanted!r}")
    for round_ in range(options.rounds):
        for contender in contenders:
            for threads in SETTINGS:
                steps.tell(f"FASTWORKER_THREADS={threads}")
                variant: dict[str, Scalar] = {"threads": threads, "processes": options.processes}
                settings = {"FASTWORKER_THREADS": threads}
                with (
                    attempt(emit, NAME, contender.name, variant, round_),
                    running(
                        contender, processes=options.processes, functions=FUNCTIONS / "blas", settings=settings
                    ) as server,
                ):
                    (kind,) = load.prepare(server, [invert])
                    in_flight = 2 * options.processes
                    outcome = load.closed_loop(server, [kind], in_flight=in_flight, seconds=seconds, warmup=WARMUP_S)
                    emit(measured(NAME, contender, variant, round_, outcome, "ms", per_second=outcome.per_second))
            steps.advance(each)
    steps.finish()
