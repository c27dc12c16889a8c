"""What the server is doing right now, for whoever asks: on SIGUSR1, on the status socket, on the metrics port.

Told by supervisor/run.py of ends; reads the board, and what its neighbours know.
Rule: reads; what an operator may ask for (reload, retire) goes to the pool as an event, as a signal would.
"""

import asyncio
import functools
import os
import time
from collections.abc import Callable

import msgspec

from fastworker import __version__
from fastworker.ipc import linux
from fastworker.ipc.board import Board, ConnectionRow, Phase
from fastworker.ipc.connections import Connections
from fastworker.ipc.running_spans import RunningSpans
from fastworker.ipc.signals import DUMP_SIGNAL
from fastworker.ipc.stack_dump import StackDumps
from fastworker.logs import log
from fastworker.settings import Settings, options
from fastworker.supervisor import pool
from fastworker.supervisor.crash_rules import Death
from fastworker.supervisor.ends import Ends
from fastworker.supervisor.metrics_port import MetricsPort, open_metrics_listener
from fastworker.supervisor.status_socket import StatusSocket, refusal
from fastworker.supervisor.totals import NO_FUNCTION, Totals
from fastworker.supervisor.workers import Worker, Workers
from fastworker.telemetry.metrics import OPENMETRICS, TEXT, Page, content_type
from fastworker.telemetry.snapshot import VERSION, Running, Snapshot, WorkerSnapshot, function_of, outcomes_of
from fastworker.telemetry.status_folder import folder_of

# From the signal that makes a worker write its stack until that is read: a C handler writes, if its thread may run.
STACK_S = 0.1

Done = Callable[[bytes], None]
_encoder = msgspec.json.Encoder()


class Status:
    """One server's. Open from `open` to `close`."""

    def __init__(
        self,
        settings: Settings,
        board: Board,
        connections: Connections,
        workers_pool: pool.Pool,
        workers: Workers,
        totals: Totals,
        pictures: StackDumps,
        spans: RunningSpans | None = None,
    ) -> None:
        self._settings = settings
        self._board = board
        self._connections = connections
        self._pool = workers_pool
        self._workers = workers
        self._totals = totals
        self._pictures = pictures
        self._spans = spans
        self._ends = Ends()
        self._since_ns = time.monotonic_ns()
        self._socket: StatusSocket | None = None
        self._metrics: MetricsPort | None = None
        self._pages = {kind: Page(kind, with_cpu=True) for kind in (TEXT, OPENMETRICS)}
        port, address = settings.metrics_port, settings.metrics_address
        self._listener = None if port is None else open_metrics_listener(address, port)

    def open(self, loop: asyncio.AbstractEventLoop, step: Callable[[pool.Event], None]) -> None:
        """Answers from now on."""
        if self._listener is not None:
            log.info("metrics.listening", address=self._settings.metrics_address, port=self._listener.getsockname()[1])
            self._metrics = MetricsPort(loop, self._listener, self._page, self._is_ready)
        self._loop, self._step = loop, step
        verbs = {"status": self._tell, "reload": self._reload, "retire": self._retire, "stack": self._stack}
        self._socket = StatusSocket(loop, folder_of(self._settings.runtime_folder), verbs)

    def close(self) -> None:
        """The server has ended."""
        for each in (self._socket, self._metrics):
            if each is not None:
                each.close()

    def worker_gone(self, worker: Worker, death: Death, *, planned: bool) -> None:
        """All that it had in hand is settled."""
        stopping = bool(self._board.drain_ns) or death.status == 503
        outdated = worker.generation != self._pool.generations.newest
        self._ends.add(worker, death, planned=planned, stopping=stopping, outdated=outdated)

    # -- the snapshot --------------------------------------------------------------------------------------------

    def snapshot(self, *, brief: bool = False) -> Snapshot:
        """Everything that is known, at this instant; `brief` is without functions and workers' processor time."""
        now_ns = time.monotonic_ns()
        functions = {} if brief else self._totals.functions()
        running = self._running(now_ns)
        busy_s = {slot: s for slot in range(self._board.slots) if (s := self._totals.busy_s(slot, now_ns))}
        return Snapshot(
            version=VERSION,
            fastworker=__version__,
            pid=os.getpid(),
            time=time.time(),
            uptime_s=(now_ns - self._since_ns) / 1e9,
            cpu_s=time.process_time(),
            resident_bytes=linux.resident_bytes(os.getpid()),
            draining=bool(self._board.drain_ns),
            generation=self._pool.generations.newest,
            in_flight=sum(map(len, running.values())),
            connections=len(self._connections),
            workers=[
                self._worker(slot, worker, running.get(slot, []), busy_s.get(slot, 0.0), brief)
                for slot, worker in sorted(self._workers.items())
            ],
            functions=[
                function_of(name, words, with_cpu=self._metrics is not None)
                for name, words in sorted(functions.items())
                if name != NO_FUNCTION
            ],
            unnamed=outcomes_of(functions[NO_FUNCTION]) if NO_FUNCTION in functions else {},
            restarts=dict(self._ends.by_cause),
            ends=list(self._ends.last),
            busy_s=busy_s,
            spans={} if (spans := self._spans) is None else {"exported": spans.exported, "dropped": spans.dropped},
            settings={} if brief else _shown(self._settings),
        )

    def _worker(self, slot: int, worker: Worker, running: list[Running], busy_s: float, brief: bool) -> WorkerSnapshot:
        state = self._pool.state_of(slot)
        return WorkerSnapshot(
            slot=slot,
            pid=worker.pid,
            state=state.value if state else "gone",
            generation=worker.generation,
            served=self._board.worker(slot).served,
            cpu_s=linux.cpu_seconds(worker.pid) if worker.pid and not brief else 0.0,
            resident_bytes=linux.resident_bytes(worker.pid) if worker.pid else 0,
            busy_s=busy_s,
            restarts=self._ends.by_slot[slot],
            running=running,
        )

    def _running(self, now_ns: int) -> dict[int, list[Running]]:
        """By slot, what its worker has in hand."""
        found: dict[int, list[Running]] = {}
        for number in self._connections.open_numbers():
            slot = self._board.owner(number)
            if slot is not None:
                found.setdefault(slot, []).append(_running(self._board.connection(number), now_ns))
        return found

    # -- the metrics port ----------------------------------------------------------------------------------------

    def _page(self, accept: str, done: Callable[[str, str], None]) -> None:
        kind = content_type(accept)
        done(kind, self._pages[kind].render(self.snapshot(brief=True), self._totals.functions()))

    def _is_ready(self) -> bool:
        return not self._board.drain_ns and bool(self._pool.slots_in(pool.WorkerState.READY))

    # -- requests ------------------------------------------------------------------------------------------------

    def _tell(self, _: str, done: Done) -> None:
        done(_encoder.encode(self.snapshot()))

    def _reload(self, _: str, done: Done) -> None:
        log.info("status.asked", verb="reload")
        self._step(pool.ReloadAsked())
        done(_encoder.encode({"done": "reload"}))

    def _retire(self, slot: str, done: Done) -> None:
        worker = self._named(slot, done)
        if worker is not None:
            log.info("status.asked", verb="retire", slot=worker.slot, pid=worker.pid)
            worker.leaves_for = worker.leaves_for or "asked"
            self._step(pool.RecycleAsked(worker.slot))
            done(_encoder.encode({"done": "retire", "slot": worker.slot, "pid": worker.pid}))

    def _stack(self, slot: str, done: Done) -> None:
        worker = self._named(slot, done)
        if worker is None:
            return
        assert worker.process is not None
        self._pictures.take()  # left behind by one that was killed before it was read
        worker.process.signal(DUMP_SIGNAL)
        self._loop.call_later(STACK_S, functools.partial(self._tell_stack, worker, done))

    def _tell_stack(self, worker: Worker, done: Done) -> None:
        done(_encoder.encode({"slot": worker.slot, "pid": worker.pid, "stack": self._pictures.take()}))

    def _named(self, slot: str, done: Done) -> Worker | None:
        """The worker in a slot that serves; None, and the asker has been told."""
        worker = self._workers.get(int(slot)) if slot.isascii() and slot.isdigit() and len(slot) < 6 else None
        if worker is None or self._pool.state_of(worker.slot) is not pool.WorkerState.READY:
            done(refusal(f"no worker is ready in slot {slot[:20]!r}"))
            return None
        return worker

    # -- on SIGUSR1 ----------------------------------------------------------------------------------------------

    def print(self) -> None:
        """A line for each worker and for each connection that one of them has."""
        log.info("board", row=f"{len(self._connections)} connections, generation {self._pool.generations.newest}")
        for slot, worker in sorted(self._workers.items()):
            row, state = self._board.worker(slot), self._pool.state_of(slot)
            log.info(
                "board",
                row=f"worker {slot}: pid {worker.pid}, {state.value if state else 'gone'}, {row.served} served, "
                f"{row.failed} failed, {row.waited_ms} ms waited in the queue",
            )
            for number in self._connections.open_numbers():
                if self._board.owner(number) != slot:
                    continue
                taken = self._board.connection(number)
                what = f"{taken.phase.name.lower()} {taken.function} {taken.invocation_id}"
                age_s = (time.monotonic_ns() - taken.sent_ns) / 1e9
                log.info("board", row=f"  connection {number}: {what} for {age_s:.3f} s")


def _running(row: ConnectionRow, now_ns: int) -> Running:
    if row.phase in (Phase.TAKEN, Phase.READING):  # the row still has the request before
        return Running("", "", row.phase.name.lower(), 0.0, None)
    left_s = (row.hard_ns - now_ns) / 1e9 if row.hard_ns else None
    return Running(row.function, row.invocation_id, row.phase.name.lower(), (now_ns - row.sent_ns) / 1e9, left_s)


def _shown(settings: Settings) -> dict[str, str | int | float | bool | None]:
    """The settings that a user can make; none is a secret."""
    values = {name: getattr(settings, name) for name in options()}
    return {name: value if isinstance(value, str | int | float | bool) else None for name, value in values.items()}
