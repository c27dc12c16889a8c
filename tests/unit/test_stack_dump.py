"""stack_dump.py: faulthandler's dumps, cut to what their reader wrote."""

import faulthandler
import os
import threading

import fastworker
from fastworker.ipc.stack_dump import MOST_FRAMES, StackDumps, shorten
from fastworker.worker import interrupt

OURS = os.path.dirname(fastworker.__file__)

DUMP = f"""Thread 0x00007f3ab1ffb6c0 (most recent call first):
  File "/usr/lib/python3.11/threading.py", line 320 in wait
  File "/usr/lib/python3.11/concurrent/futures/thread.py", line 81 in _worker

Thread 0x00007f3ab27fc6c0 (most recent call first):
  File "/app/helper.py", line 3 in slow
  File "/app/function_app.py", line 12 in thumbnail
  File "{OURS}/invoke.py", line 90 in run_sync
  File "/usr/lib/python3.11/concurrent/futures/thread.py", line 58 in run

Current thread 0x00007f3ab3dcc740 (most recent call first):
  File "/app/function_app.py", line 7 in spin
  File "{OURS}/invoke.py", line 90 in run_sync
  File "{OURS}/service.py", line 106 in answer
  File "/app/function_app.py", line 99 in not_of_interest
"""


def test_a_picture_is_the_users_own_frames():
    """Newest first, of every thread that runs user code; ours, what called them, and threads at rest are left out."""
    assert shorten(DUMP) == [
        "/app/helper.py:3 in slow",
        "/app/function_app.py:12 in thumbnail",
        "/app/function_app.py:7 in spin",
    ]


def test_a_worker_that_waits_has_no_picture():
    """Its newest frame is ours: no user code is to blame."""
    assert shorten(f'Current thread 0x1 (most recent call first):\n  File "{OURS}/worker.py", line 4 in serve\n') == []
    assert shorten("") == []


def test_a_deep_stack_is_cut_at_its_old_end():
    """The newest frames say where it hangs."""
    deep = "".join(f'  File "/app/a.py", line {line} in recurse\n' for line in range(1, 100))
    dump = f'Current thread 0x1 (most recent call first):\n{deep}  File "{OURS}/invoke.py", line 9 in run_sync\n'
    assert shorten(dump) == [f"/app/a.py:{line} in recurse" for line in range(1, MOST_FRAMES + 1)]


def test_a_real_dump_is_understood():
    """What this interpreter's faulthandler writes of a thread inside a handler that fastworker runs."""
    inside, done = threading.Event(), threading.Event()

    def handler() -> None:
        inside.set()
        done.wait(10)

    thread = threading.Thread(target=interrupt.MainThread().run, args=(0, handler, handler))
    thread.start()
    inside.wait(10)
    frame = StackDumps()
    try:
        faulthandler.dump_traceback(frame.write_fd, all_threads=True)
        lines = frame.take()
        assert frame.take() == []
    finally:
        done.set()
        thread.join()
        os.close(frame.read_fd)
        os.close(frame.write_fd)
    assert any(line.startswith(f"{__file__}:") and line.endswith(" in handler") for line in lines)
    assert not [line for line in lines if OURS + os.sep in line]
