"""Every error that fastworker raises on purpose, with its HTTP status or its exit code.

Raised anywhere; turned into an answer by invocation.py (status) or into the process's end by cli.py (exit code).
Rule: a message says what is wrong, where, and how to mend it.
"""

import errno
from collections.abc import Sequence
from typing import Final

# What a system call says of a descriptor that the app has closed, or has put something of its own in the place of.
NOT_OURS: Final = (errno.EBADF, errno.ENOTSOCK)


class FastworkerError(Exception):
    """The process cannot go on: cli.py prints the message last on stderr and exits with `exit_code`.

    The Functions host shows the last lines of stderr when its handler dies (protocol 5.3), so the last line of
    the message is one line that names the cause.
    """

    exit_code = 1


class SettingsError(FastworkerError):
    """One or more settings are wrong; `problems` lists all of them, one line each."""

    exit_code = 2

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(list_problems("bad configuration", self.problems))


class AppLoadError(FastworkerError):
    """The app cannot be loaded, or its functions do not fit together; `problems` lists everything found.

    Paths are told relative to the folder `root`, which is told once.
    """

    exit_code = 3

    def __init__(self, target: str, problems: Sequence[str], root: str = "") -> None:
        self.target = target
        self.problems = tuple(relative_paths(problem, root) for problem in problems)
        named = "the app" if target in (".", root) else relative_paths(target, root)
        place = f" in {root}" if root else ""
        super().__init__(list_problems(f"cannot load {named}{place}", self.problems))


class MixedAuthError(FastworkerError):
    """Functions could be run without the key that they need: such an app is not forwarded to."""

    exit_code = 3


class TelemetryError(FastworkerError):
    """Traces were asked for, and cannot be exported: a library is missing, or a variable says what it cannot do."""

    exit_code = 2


class PortInUseError(FastworkerError):
    """The port given by the host cannot be bound."""

    exit_code = 4


class HookError(FastworkerError):
    """A start or stop hook of the app failed; the exit code is that of a server none of whose workers can start."""

    exit_code = 5


class RequestError(Exception):
    """The request cannot be served as it came: the answer is a problem with `status` (RFC 9457)."""

    def __init__(self, status: int, detail: str) -> None:
        self.status = status
        self.detail = detail
        super().__init__(detail)


class ClientGoneError(ConnectionResetError):
    """The client went away in the middle of its request's body, or of an answer that streams."""


class DeadlineExceeded(BaseException):
    """Raised inside a handler at its deadline, so that it can clean up.

    Derives from BaseException, like asyncio.CancelledError, so that a stray `except Exception` in user code
    does not swallow it.
    """


def list_problems(title: str, problems: Sequence[str]) -> str:
    """All problems, each once, under a title; one stays on the title's line. The last line always names a cause."""
    if len(problems) == 1:
        return f"{title}: {problems[0]}"
    return "\n".join([f"{title}: {len(problems)} problems", *(f"  - {problem}" for problem in problems)])


def relative_paths(text: str, root: str) -> str:
    """`text` with the paths in it that are below the folder `root` relative to that."""
    return text.replace(f"{root.rstrip('/')}/", "") if root else text


def one_line(error: BaseException, *, qualified: bool = False) -> str:
    """Type and message of an exception on one line, whatever its `__str__` does; `qualified`: with the module."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # user code
        text = "(its message cannot be shown)"
    kind = type(error)
    name = f"{kind.__module__}.{kind.__qualname__}" if qualified and kind.__module__ != "builtins" else kind.__name__
    return f"{name}: {text}" if text else name
