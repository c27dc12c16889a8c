"""fastworker itself, as host.json would start it; and the same without its spin."""

from typing import Final

from benchmarks.contenders.interface import Contender, Launch, python

NO_SPIN: Final = "fastworker, no spin"


def _command(launch: Launch) -> list[str]:
    return python("-m", "fastworker", "serve", str(launch.functions))


def _environ(launch: Launch) -> dict[str, str]:
    return {"FUNCTIONS_CUSTOMHANDLER_PORT": str(launch.port), "FASTWORKER_WORKERS": str(launch.processes)}


CONTENDERS: Final = [
    Contender("fastworker", _command, environ=_environ),
    Contender(
        NO_SPIN,
        _command,
        environ=lambda launch: {**_environ(launch), "FASTWORKER_SPIN": "0"},
        conditions="FASTWORKER_SPIN=0: an idle worker blocks at once",
        functions=frozenset({"order", "echo"}),  # where there is work, nobody is idle for so short a time
    ),
]
