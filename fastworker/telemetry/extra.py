"""Whether what exports spans is installed, told before anything of it is imported.

Used by cli.py at the start.
Rule: a server that was told by name (FASTWORKER_TELEMETRY) to trace and cannot does not start. One that only finds a
standard variable, which may be meant for the host or for a neighbour in the pod, says so and serves without.
"""

import importlib.util
from typing import Final

import msgspec

from fastworker.errors import TelemetryError
from fastworker.logs import log
from fastworker.settings import Settings

# By where spans go: the extra, and modules that it brings.
EXTRAS: Final = {
    "otel": ("otel", ("opentelemetry.sdk.trace",)),
    "azure-monitor": ("azure-monitor", ("opentelemetry.sdk.trace", "azure.monitor.opentelemetry.exporter")),
}


def checked(settings: Settings) -> Settings:
    """The settings, without traces where they cannot be.

    Raises:
        TelemetryError: the extra is missing, and FASTWORKER_TELEMETRY asks for it.
    """
    missing = None if settings.traces is None else _missing(settings.traces)
    if missing is None:
        return settings
    if settings.telemetry is not None:
        raise TelemetryError(f"FASTWORKER_TELEMETRY={settings.telemetry!r}: {missing}")
    log.warning("telemetry.missing", detail=f"a standard OTEL_ variable asks for traces, and there are none: {missing}")
    return msgspec.structs.replace(settings, traces=None)


def _missing(traces: str) -> str | None:
    extra, modules = EXTRAS[traces]
    for module in modules:
        try:
            found = importlib.util.find_spec(module)
        except ModuleNotFoundError:  # not even what it is in
            found = None
        if found is None:
            return f"{module} is not installed: pip install 'fastworker-functions[{extra}]'"
    return None
