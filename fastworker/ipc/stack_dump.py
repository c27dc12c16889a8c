"""A picture of a stuck worker before it is killed: its Python stack, cut to what its user wrote.

The worker (worker/run.py) lets faulthandler answer a signal, by C code that needs no interpreter; the supervisor reads
what it wrote. The pipe between them is made before any fork.
Rule: best effort. A worker that is stopped, or in the kernel, sends no picture and is killed all the same.
"""

import faulthandler
import os
import re

from fastworker.frames import is_ours
from fastworker.ipc.signals import DUMP_SIGNAL

# Frames of a handler, newest first, beyond which a stack says nothing more.
MOST_FRAMES = 12
_FRAME = re.compile(r'  File "(?P<file>.*)", line (?P<line>\d+) in (?P<name>.*)')


class StackDumps:
    """The pipe that all workers write to. Small enough a picture to fit; never blocks either side."""

    def __init__(self) -> None:
        self.read_fd, self.write_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def sit(self) -> None:
        """In a worker: from now on the signal makes it write its stack, all threads included."""
        faulthandler.register(DUMP_SIGNAL, file=self.write_fd, all_threads=True, chain=False)

    def take(self) -> list[str]:
        """What has been written, as `file:line in function`, newest first."""
        try:
            return shorten(os.read(self.read_fd, 1 << 16).decode("utf-8", "replace"))
        except BlockingIOError:
            return []


def shorten(dump: str) -> list[str]:
    """The frames above fastworker's own, of every thread that runs user code; threads at rest are left out."""
    found: list[str] = []
    for stack in re.split(r"\n\n|(?=Current thread)", dump):
        frames = [matched for line in stack.splitlines() if (matched := _FRAME.match(line))]
        ours = next((i for i, frame in enumerate(frames) if is_ours(frame["file"])), len(frames))
        if ours < len(frames):
            found += [f"{frame['file']}:{frame['line']} in {frame['name']}" for frame in frames[:ours]][:MOST_FRAMES]
    return found
