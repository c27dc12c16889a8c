"""What the server is doing right now, for whoever asks: in lines on SIGUSR1.

Asked by supervisor/run.py; reads the board and what its neighbours know.
Rule: reads only.
"""

import time

from fastworker.ipc.board import Board
from fastworker.ipc.connections import Connections
from fastworker.logs import log
from fastworker.supervisor.pool import Pool
from fastworker.supervisor.workers import Workers


class Status:
    """One server's."""

    def __init__(self, board: Board, connections: Connections, pool: Pool, workers: Workers) -> None:
        self._board = board
        self._connections = connections
        self._pool = pool
        self._workers = workers

    def print(self) -> None:
        """A line for each worker and for each connection that one of them has."""
        log.info("board", row=f"{len(self._connections)} connections, generation {self._pool.generation}")
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
