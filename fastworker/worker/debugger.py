"""`fastworker serve --debugpy`: a worker that a debugger can attach to.

cli.py asks `settings_for_debugging`, worker/run.py calls `listen`. docs/local-host.md tells how to attach.
Rule: debugpy is imported here and nowhere else, in the worker and only when asked for; nobody ever waits for a
debugger to attach.
"""

import errno
import importlib.util
import time
from typing import Final

import msgspec

from fastworker.errors import FastworkerError, SettingsError
from fastworker.logs import log
from fastworker.settings import Settings

# The adapter of a worker that has just died may hold the port for a moment.
LISTEN_S: Final = 5.0
TRY_EVERY_S: Final = 0.1


def settings_for_debugging(settings: Settings) -> Settings:
    """One worker, so that every breakpoint is in reach, importing the app itself. Raises SettingsError."""
    if importlib.util.find_spec("debugpy") is None:
        raise SettingsError(["--debugpy needs the package debugpy: pip install 'fastworker-functions[dev]'"])
    return msgspec.structs.replace(
        settings, workers=1, most_workers=None, preload=False, max_requests=None, max_rss=None
    )


def listen(port: int) -> None:
    """Listens for a debugger on 127.0.0.1. Raises FastworkerError if the port stays taken."""
    import debugpy  # noqa: PLC0415 - takes half a second, and patches what it finds

    until = time.monotonic() + LISTEN_S
    while True:
        try:
            debugpy.listen(("127.0.0.1", port))
            break
        except (RuntimeError, OSError) as error:
            if time.monotonic() > until:
                taken = getattr(error, "errno", None) == errno.EADDRINUSE or "in use" in str(error)
                reason = "the port is taken" if taken else str(error)
                raise FastworkerError(f"--debugpy {port}: {reason}; give another port") from None
            time.sleep(TRY_EVERY_S)
    log.info("debugpy.listening", port=port, detail="one worker, no deadlines")
