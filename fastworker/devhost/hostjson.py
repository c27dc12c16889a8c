"""host.json for the local host: read by host_json.py as everywhere, and refused where the real host would not start.

Read by app.py. Rule: no rule about host.json is in this file, but for the pace of a local host's polling.
"""

import os
from pathlib import Path
from typing import Final

from fastworker.config.app_files import host_json_of
from fastworker.config.host_json import Description, HostJson, QueueOptions
from fastworker.devhost.appsettings import AppSettings
from fastworker.devhost.config_error import ConfigError

__all__ = ["Description", "HostJson", "QueueOptions", "batch_threshold", "longest_pause_s", "read_host_json"]

# The SDK polls at most this far apart when it runs for development; in the cloud one minute.
LOCAL_MAX_POLL_S: Final = 2.0


def read_host_json(root: Path, settings: AppSettings) -> HostJson:
    """Raises ConfigError naming file and line, for all that stops the host."""
    host = host_json_of(root, settings.values)
    wrong = (*host.problems, *host.lacks)
    if wrong:
        raise ConfigError("\n".join(wrong))
    return host


def longest_pause_s(options: QueueOptions) -> float:
    """Between two looks at a queue or a container."""
    return LOCAL_MAX_POLL_S if options.max_polling_s is None else max(options.max_polling_s, 0.1)


def batch_threshold(options: QueueOptions) -> int:
    """Messages in work at which no further batch is taken, on this machine."""
    return options.threshold(os.cpu_count() or 1)
