"""deadline: how precisely deadlines are kept, and how soon a dead worker has a successor.

One worker, one keep-alive connection. Soft: Python code; hard: one long C call; both as lateness of the 504, seen by
the client. Replacement: from the end of the exchange that killed the worker to the end of the next right answer,
connections that break opened again at once. gunicorn's --timeout is its hard deadline: it breaks the connection.
The kernel counts the time in the queue in ticks of some milliseconds, so that lateness may be a little below 0.
"""

import contextlib
import http.client
import statistics
import time
from collections.abc import Callable
from typing import Final

from rich.progress import Progress

from benchmarks import calls
from benchmarks.calls import Call, WrongAnswerError
from benchmarks.contenders import FUNCTIONS, Running
from benchmarks.rows import OURS
from benchmarks.scenario import Case, Emit, Options, Variant, attempt, present, rounds, row

NAME: Final = "deadline"
GUNICORN: Final = "gunicorn+uvicorn"
# The functions' own, see functions/faults/function_app.py.
DEADLINE_S: Final = 0.2
GRACE_S: Final = 0.1
GUNICORN_TIMEOUT_S: Final = 1
JOB_MS: Final = 1.0
PATIENCE_S: Final = 20.0
MOST_ROUNDS: Final = 2
SETTINGS: Final = {
    OURS: {"FASTWORKER_GRACE": str(GRACE_S)},
    GUNICORN: {"GUNICORN_CMD_ARGS": f"--timeout {GUNICORN_TIMEOUT_S}"},
}


class Client:
    """One keep-alive connection, opened again when it broke."""

    def __init__(self, server: Running) -> None:
        self._server = server
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)

    def post(self, call: Call) -> tuple[int | None, bytes, float]:
        """Status (None: the connection broke), body, and seconds that it took."""
        began = time.monotonic()
        try:
            self._connection.request("POST", f"/{call.function}", call.envelope, {"Content-Type": "application/json"})
            answer = self._connection.getresponse()
            status, body = answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return None, b"", time.monotonic() - began
        return status, body, time.monotonic() - began

    def insist(self, call: Call) -> float:
        """Seconds until a right answer has come. Raises WrongAnswerError when none comes."""
        began = time.monotonic()
        while time.monotonic() - began < PATIENCE_S:
            status, body, _ = self.post(call)
            if status is not None:
                call.check(status, body)
                return time.monotonic() - began
            time.sleep(0.001)
        raise WrongAnswerError(f"{call.name}: nobody answers within {PATIENCE_S:g} s of a worker's death")

    def close(self) -> None:
        self._connection.close()


def run(options: Options, emit: Emit, progress: Progress) -> None:
    """Emits a row per contender, kind (soft, hard, replacement) and round."""
    turns = options.pick(8, 25)
    innocent = calls.work(JOB_MS, options.rounds_per_ms)

    def measure(server: Running, case: Case, round_: int) -> None:
        with contextlib.closing(Client(server)) as client:
            client.insist(innocent)
            for kind, once in _kinds(client, innocent)[case.contender.name].items():
                variant: Variant = {"kind": kind}
                with attempt(emit, NAME, case.contender.name, variant, round_):
                    count = turns if case.contender.name == OURS else _fewer(turns)
                    ms = [1000 * once() for _ in range(count)]
                    metrics = {"median_ms": statistics.median(ms), "max_ms": max(ms), "min_ms": min(ms)}
                    told = {**case.settings, "deadline_s": DEADLINE_S, "grace_s": GRACE_S}
                    emit(row(NAME, case.contender, variant, round_, {**metrics, "count": float(count)}, told))

    planned = {OURS: turns * 0.55, GUNICORN: _fewer(turns) * 3.5}
    cases = [
        Case(one, planned[one.name], settings=SETTINGS[one.name], functions=FUNCTIONS / "faults", processes=1)
        for one in present(options, NAME, emit, names=list(SETTINGS))
    ]
    rounds(NAME, cases, measure, options, emit, progress, most=MOST_ROUNDS)


def _kinds(client: Client, innocent: Call) -> dict[str, dict[str, Callable[[], float]]]:
    """What is measured of whom."""
    return {
        OURS: {
            "soft": lambda: _late(client, "overrun", DEADLINE_S),
            "hard": lambda: _late(client, "stuck", DEADLINE_S + GRACE_S),
            "replacement": lambda: _replaced(client, innocent, 500),
        },
        GUNICORN: {
            "hard": lambda: _broken(client, innocent),
            "replacement": lambda: _replaced(client, innocent, None),
        },
    }


def _fewer(turns: int) -> int:
    """A turn of gunicorn's takes seconds."""
    return max(3, turns // 4)


def _late(client: Client, function: str, due_s: float) -> float:
    status, body, seconds = client.post(calls.fault(function))
    if status != 504:
        raise WrongAnswerError(f"{function} was answered {status}, not 504: {body[:200]!r}")
    return seconds - due_s


def _broken(client: Client, innocent: Call) -> float:
    """gunicorn kills the worker: the connection breaks. Waits for the successor, so that each turn has a worker."""
    status, body, seconds = client.post(calls.fault("stuck"))
    if status is not None:
        raise WrongAnswerError(f"stuck was answered {status} and its worker not killed: {body[:200]!r}")
    client.insist(innocent)
    return seconds - GUNICORN_TIMEOUT_S


def _replaced(client: Client, innocent: Call, expected: int | None) -> float:
    status, body, _ = client.post(calls.fault("crash"))
    if status != expected:
        raise WrongAnswerError(f"crash was answered {status}, not {expected}: {body[:200]!r}")
    return client.insist(innocent)
