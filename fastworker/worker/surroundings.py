"""What a `def` handler finds around it on the main thread: always the same, whatever ran there before.

Made by worker/run.py when the start hooks have run; used by dispatch.py around every sync handler.
Rule: each invocation begins with the context variables, the event loop policy and the current event loop that the
worker had at its start. No loop runs in that thread, so that asyncio.run works.

The current loop is one that nobody runs, made once per worker: `asyncio.get_event_loop()` in a handler would otherwise
make a new one, with three descriptors, in each invocation.
"""

import asyncio
import contextlib
import contextvars
import sys
from asyncio import events
from collections.abc import Callable
from typing import Any


class _NotTold:
    """Stands for the state of a policy that does not keep it where asyncio's own does: it is set each time, then."""

    _loop = None


class Surroundings:
    """Of the thread that makes it. `copy()` gives the context for one invocation, sync or async."""

    def __init__(self) -> None:
        self.copy = _copier(contextvars.copy_context())
        self.policy = asyncio.get_event_loop_policy()
        self.local: Any = getattr(self.policy, "_local", _NotTold)
        self.home: asyncio.AbstractEventLoop | None = None
        self._restore()

    def after(self) -> None:
        """A handler has ended: what it has set is set back. Costs next to nothing where it has set nothing."""
        if events._event_loop_policy is not self.policy or self.local._loop is not self.home or self.home is None:  # type: ignore[attr-defined]
            self._restore()

    def _restore(self) -> None:
        asyncio.set_event_loop_policy(self.policy)
        if self.home is None:
            home = self.home = self.policy.new_event_loop()
            close = home.close

            def close_and_forget() -> None:
                self.home = None  # the next invocation has a new one
                close()

            with contextlib.suppress(AttributeError):  # a loop in C takes no attribute: one that is closed stays so
                home.close = close_and_forget  # type: ignore[method-assign]
        self.policy.set_event_loop(self.home)


def _copier(base: contextvars.Context) -> Callable[[], contextvars.Context]:
    """Copies `base`; and its decimal context, which can be changed in place, where import or hooks have used that."""
    decimal = sys.modules.get("decimal")
    kept = next((value for value in base.values() if decimal and isinstance(value, decimal.Context)), None)
    if decimal is None or kept is None:
        return base.copy
    before, set_context = kept.copy(), decimal.setcontext

    def copy() -> contextvars.Context:
        context = base.copy()
        context.run(set_context, before.copy())
        return context

    return copy
