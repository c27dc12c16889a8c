"""What can go wrong when an app is packed. Raised by the other modules of this folder; cli.py prints it."""

from fastworker.errors import FastworkerError


class PackError(FastworkerError):
    """The app cannot be packed, or what was packed does not start."""

    exit_code = 1
