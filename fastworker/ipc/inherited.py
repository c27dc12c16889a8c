"""What every process of one server shares: made by the supervisor before any fork, inherited by all.

Handed from supervisor/run.py to zygote/run.py to worker/run.py.
Rule: nothing here is per worker, and none of it can be replaced while the server lives.
"""

import select
from typing import NamedTuple

from fastworker.ipc.board import Board
from fastworker.ipc.running_spans import RunningSpans
from fastworker.ipc.stack_dump import StackDumps


class Inherited(NamedTuple):
    """The shared epoll, the board, the pipe for pictures of stuck workers; the spans that run, if traces are on."""

    shared: select.epoll
    board: Board
    pictures: StackDumps
    spans: RunningSpans | None = None
