"""What an app has run when a worker starts and stops: `@app.on_worker_start` and `@app.on_worker_stop`.

Called by worker/run.py, on the main thread. Rule: an async hook runs on the worker's loop, where async handlers will.
"""

import inspect
from collections.abc import Callable
from typing import Any

from fastworker import forks
from fastworker.errors import FastworkerError, HookError, one_line
from fastworker.logs import write_traceback
from fastworker.worker.loop_thread import LoopThread


def run_hook(hook: Callable[[], Any], kind: str, thread: LoopThread, beat: Callable[[], None]) -> None:
    """Runs one hook to its end. `kind` names it in messages; `beat` shows that the worker moves meanwhile.

    Raises:
        HookError: it has failed.
    """
    try:
        result = hook()
        if forks.in_child:
            forks.leave(None)
        if inspect.isawaitable(result):
            thread.wait(result, beat)
    except FastworkerError:
        raise  # an adapter's, which says by itself what is wrong
    except BaseException as error:  # user code
        if forks.in_child:
            forks.leave(error)
        name = getattr(hook, "__qualname__", repr(hook))
        write_traceback(f"the {kind} hook {name} failed", error)
        raise HookError(f"the {kind} hook {name} failed: {one_line(error)}") from error
