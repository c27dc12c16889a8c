"""Everything that takes part: CONTENDERS by name, and `running` to start one.

Scenarios import from here. Rule: a module beside this one that has a list CONTENDERS is found without being named.
"""

import importlib
import pkgutil

from benchmarks.contenders.interface import FUNCTIONS, ROOT, Contender, Launch, cache, python, use_cache
from benchmarks.contenders.running import NotRunningError, Running, running

__all__ = [
    "CONTENDERS",
    "FUNCTIONS",
    "ROOT",
    "Contender",
    "Launch",
    "NotRunningError",
    "Running",
    "cache",
    "python",
    "running",
    "use_cache",
]


def _collect() -> dict[str, Contender]:
    found: dict[str, Contender] = {}
    for module in sorted(module.name for module in pkgutil.iter_modules(__path__)):
        listed = getattr(importlib.import_module(f"{__name__}.{module}"), "CONTENDERS", [])
        for contender in listed:
            if contender.name in found:
                raise ValueError(f"two contenders are called {contender.name!r}")
            found[contender.name] = contender
    return found


# fastworker and the floor first: what everything else is compared with.
CONTENDERS: dict[str, Contender] = dict(
    sorted(_collect().items(), key=lambda item: (item[0] != "floor", not item[0].startswith("fastworker")))
)
