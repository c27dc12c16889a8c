"""The functions under test, and those that go wrong, as the bare ASGI app of the peers."""

from typing import Any

from benchmarks.contenders.apps import raw_asgi
from benchmarks.functions.faults import fates

DONE: dict[str, Any] = {"Outputs": {}, "Logs": [], "ReturnValue": None}


async def crash(data: dict[str, Any]) -> dict[str, Any]:
    """Kills its worker."""
    fates.crash()
    return DONE


async def overrun(data: dict[str, Any]) -> dict[str, Any]:
    """Python code that holds up the loop."""
    fates.overrun()
    return DONE


async def stuck(data: dict[str, Any]) -> dict[str, Any]:
    """C code that holds up the interpreter."""
    fates.stuck()
    return DONE


raw_asgi.FUNCTIONS.update({"/crash": crash, "/overrun": overrun, "/stuck": stuck})
app = raw_asgi.app
