"""load.py: when requests wait longer than functions run, the server says so, with what helps in that case."""

from typing import Any

import pytest

from fastworker.ipc.counters import BLOCK, FUNCTION_WORDS, SUM, WAIT_SUM, WAITS
from fastworker.supervisor.load import AGAIN_S, WINDOW_S, Figures, Load, sentence

BUSY_MINUTE = Figures(
    workers=2, cpus=2, busy=0.97, cpu=0.93, queued=0.04, requests=600, waited_s=250.0, ran_s=116.4, median_wait_s=0.18
)


def test_the_line_has_the_figures_and_what_helps():
    """Two workers on two CPUs, both computing: a third one would take time from them."""
    assert sentence(BUSY_MINUTE) == (
        "all 2 workers were busy 97% of the time, requests waited 180 ms in the median (250.0 s in all, while "
        "functions ran 116.4 s): more CPUs or instances help; more workers would only take turns"
    )


@pytest.mark.parametrize(
    ("changed", "helps"),
    [
        ({"cpu": 0.04}, "functions were on a CPU for 4% of that and wait for something else: more workers"),
        ({"cpu": 0.2, "queued": 0.75}, "waited for a CPU for 75% of that, which other processes had: more CPUs or"),
        ({"workers": 8, "cpu": 0.25, "queued": 0.7}, "more workers would only take turns"),
        ({"workers": 1, "cpus": 4}, "more workers help (FASTWORKER_WORKERS, or SIGTTIN): there are 4 CPUs"),
        ({"busy": 0.3}, "they came in bursts"),
        ({"workers": 1, "cpus": 1}, "the only worker was busy"),
    ],
)
def test_what_helps_depends_on_what_the_workers_did(changed, helps):
    """Waiting, too few workers, bursts: each has its own way out."""
    text = sentence(BUSY_MINUTE._replace(**changed))
    assert text is not None
    assert helps in text


@pytest.mark.parametrize("changed", [{"waited_s": 116.4}, {"waited_s": 0.0}, {"requests": 0}])
def test_nothing_is_said_of_waits_that_are_shorter_than_runs(changed):
    """Some waiting is what a well-used server has."""
    assert sentence(BUSY_MINUTE._replace(**changed)) is None


class Server:
    """What has been counted, and what is said of it; the time passes only here."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.words = [0] * FUNCTION_WORDS
        self.busy = 0.0
        self.cpu = 0.0
        self.now_s = 5_000.0
        self.told: list[str] = []
        self.load = Load(self, self)  # type: ignore[arg-type]
        monkeypatch.setattr("fastworker.supervisor.load.usable_cpus", lambda: 1)
        monkeypatch.setattr("fastworker.ipc.linux.cpu_seconds", lambda _: self.cpu)
        monkeypatch.setattr("fastworker.ipc.linux.queued_seconds", lambda _: 0.0)
        monkeypatch.setattr("fastworker.supervisor.load.log.warning", lambda _, detail: self.told.append(detail))

    def functions(self) -> dict[str, list[int]]:
        return {"": [0] * FUNCTION_WORDS, "f": list(self.words)}

    def busy_s(self, slot: int, now_ns: int) -> float:
        return self.busy if slot == 0 else 0.0

    def items(self) -> list[tuple[int, Any]]:
        class Worker:
            pid = 4711

        return [(0, Worker)]

    def minute(self, requests: int, *, run_ms: int, wait_ms: int) -> None:
        """So many requests, one after the other, each of which has waited."""
        run_ns = run_ms * 1_000_000
        self.words[BLOCK + run_ns.bit_length()] += requests
        self.words[BLOCK + SUM] += requests * run_ns
        self.words[WAITS + wait_ms.bit_length()] += requests
        self.words[WAIT_SUM] += requests * wait_ms
        self.busy += requests * run_ms / 1000
        self.cpu += requests * run_ms / 1000
        for _ in range(int(WINDOW_S)):
            self.load.look(self.now_s, 2)
            self.now_s += 1


def test_a_minute_of_waiting_is_told_from_what_was_counted_in_it(monkeypatch):
    """Once, and again after a while if it goes on; a quiet minute before it does not count."""
    server = Server(monkeypatch)
    server.minute(0, run_ms=0, wait_ms=0)
    server.minute(600, run_ms=98, wait_ms=10)
    server.load.look(server.now_s, 2)
    assert server.told == []
    server.minute(600, run_ms=98, wait_ms=180)
    server.load.look(server.now_s, 2)
    [told] = server.told
    assert told.startswith("the only worker was busy 98% of the time, requests waited 1")
    assert "(108.0 s in all, while functions ran 58.8 s)" in told
    for _ in range(int(AGAIN_S / WINDOW_S) - 1):
        server.minute(600, run_ms=98, wait_ms=180)
    assert len(server.told) == 1
    for _ in range(2):
        server.minute(600, run_ms=98, wait_ms=180)
    assert len(server.told) == 2
