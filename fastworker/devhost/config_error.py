"""The local host's error for files that are wrong.

Raised by appsettings.py, hostjson.py, functions.py and the triggers. Rule: the message starts with `file:line`.
"""

from fastworker.errors import FastworkerError


class ConfigError(FastworkerError):
    """The app's files are wrong; the message starts with `file:line`."""

    exit_code = 2
