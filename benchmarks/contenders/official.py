"""The official Python worker, which speaks gRPC to the host, and so cannot be driven over HTTP as the others are.

Two of it: all of azure-functions-worker as it was last on PyPI, and today's azure-functions-runtime in a stand-in of
the process around it, which is not on PyPI. apps/official/ has the host stand-in that starts and drives them: the load
side is C (rpc.c), so that it costs next to nothing. Scenarios use DRIVEN and `driving`, and get instants per call as
from load.py. Rule: a load compares with answers that Call.check has found right; the first wrong one ends it.
"""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks.calls import Call
from benchmarks.contenders.interface import base_environ, cache

APP: Final = Path(__file__).with_name("apps") / "official"
INSTALL_TIMEOUT_S: Final = 240
END_TIMEOUT_S: Final = 15
MOST_PER_SECOND: Final = 200_000  # room for so many answers: a hundred times what it manages
PROTOCOL: Final = "functions_protocol"


class DriveError(Exception):
    """The worker did not start, stopped, or answered wrongly; with the end of what it wrote."""


@dataclass(frozen=True)
class DrivenContender:
    """A contender with a load side of its own. `needs` are the versions of Python that it runs on."""

    name: str
    needs: tuple[str, ...]
    packages: tuple[str, ...]
    start: Callable[[Path], dict[str, Any]]
    prepare: Callable[[Path], None] = lambda environment: None
    conditions: str = ""
    functions: frozenset[str] = frozenset({"order", "echo", "work", "wait"})

    def absent(self) -> str | None:
        """Why it cannot be had here, or None; installs it into cache() and compiles the load side when first asked."""
        return _compiled() or self._installed()

    def python(self) -> Path:
        """The interpreter of its environment."""
        return cache() / self.name / "bin" / "python"

    def _installed(self) -> str | None:
        environment, wanted = cache() / self.name, "\n".join(self.packages)
        ready = environment / "ready"
        if ready.exists() and ready.read_text() == wanted:
            return None
        interpreter = _interpreter(self.needs)
        if interpreter is None:
            return f"needs Python {' or '.join(self.needs)}, and none is on this machine (looked in PATH and pyenv)"
        shutil.rmtree(environment, ignore_errors=True)
        install = [str(self.python()), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        # Binaries only: to compile grpcio takes longer than the whole suite.
        commands = [[interpreter, "-m", "venv", str(environment)], [*install, "--only-binary", ":all:", *self.packages]]
        for command in commands:
            if problem := _failure(command):
                return problem
        self.prepare(environment)
        ready.write_text(wanted)
        return None


@dataclass(frozen=True)
class Driven:
    """One load: of each invocation when it was sent and when its answer was there; monotonic nanoseconds.

    All of them were answered rightly. In an open loop `intended_ns` is when it should have been sent.
    """

    began_ns: int
    sent_ns: "array[int]"
    done_ns: "array[int]"
    intended_ns: "array[int]" = field(default_factory=lambda: array("Q"))

    @property
    def latencies_ns(self) -> list[int]:
        """From the intended send, else from the send, to the whole answer."""
        since = self.intended_ns or self.sent_ns
        return [done - began for began, done in zip(since, self.done_ns, strict=True)]

    @property
    def per_second(self) -> float:
        """Answers per second, from the first send to the last answer."""
        return len(self.done_ns) * 1e9 / (max(self.done_ns) - self.began_ns)

    @property
    def late_ns(self) -> int:
        """By how much the load side itself was late at most; 0 in a closed loop."""
        return max((sent - wanted for wanted, sent in zip(self.intended_ns, self.sent_ns, strict=False)), default=0)


class Drive:
    """A started worker with its host stand-in. Every method raises DriveError."""

    def __init__(self, process: "subprocess.Popen[str]", folder: Path) -> None:
        self._process = process
        self._folder = folder
        self._judged: set[str] = set()

    def judge(self, call: Call) -> None:
        """Invokes it once in each process. Raises WrongAnswerError, too."""
        answer = self.tell("judge", name=call.name, function=call.function, envelope=call.envelope.decode())
        call.check(200, json.dumps(answer).encode())
        self._judged.add(call.name)

    def closed(self, call: Call, *, in_flight: int, seconds: float) -> Driven:
        """`in_flight` invocations at a time, for `seconds`."""
        return self._load([call], in_flight + int(MOST_PER_SECOND * seconds), in_flight=in_flight, seconds=seconds)

    def open(self, calls: Sequence[Call], kinds: Sequence[int], after_ns: Sequence[int]) -> Driven:
        """Invocation i, of calls[kinds[i]], is sent `after_ns[i]` after the beginning, whatever is in flight."""
        intended = array("Q", after_ns)
        encoded = {"intended": intended.tobytes(), "kinds": bytes(kinds)}
        text = {name: base64.b64encode(value).decode() for name, value in encoded.items()}
        return self._load(calls, len(intended), after_ns=intended, **text)

    def tell(self, action: str, **command: Any) -> Any:
        """One command to host.py and its answer."""
        assert self._process.stdin and self._process.stdout
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps({"do": action, **command}) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        answer = json.loads(line) if line else {"problem": "the host stand-in has ended"}
        if "problem" in answer:
            words = self._folder.joinpath("output.log").read_bytes()[-600:].decode(errors="replace").strip()
            raise DriveError(f"{answer['problem']}; it wrote: {words}")
        return answer["answer"]

    def _load(self, calls: Sequence[Call], capacity: int, after_ns: "array[int] | None" = None, **loop: Any) -> Driven:
        for call in calls:
            if call.name not in self._judged:
                self.judge(call)
        file = self._folder / "instants"
        names = [call.name for call in calls]
        made = self.tell("load", names=names, capacity=capacity, file=str(file), **loop)
        instants = array("Q", file.read_bytes())
        began_ns = made["began_ns"]
        intended = array("Q", (began_ns + after for after in after_ns or ()))
        return Driven(began_ns, instants[: made["made"]], instants[made["made"] :], intended)


@contextlib.contextmanager
def driving(
    contender: DrivenContender,
    *,
    processes: int,
    calls: Sequence[Call] = (),
    settings: Mapping[str, str] | None = None,
) -> Iterator[Drive]:
    """The worker, once its functions are loaded and it has answered each of `calls` rightly in each process.

    Raises DriveError and WrongAnswerError. Ask contender.absent() first.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        with folder.joinpath("output.log").open("wb") as output:
            process = subprocess.Popen(
                [str(contender.python()), str(APP / "host.py")],
                env={**base_environ(), **(settings or {})},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
            )
        drive = Drive(process, folder)
        try:
            options = contender.start(contender.python())
            drive.tell("start", library=str(_library()), app=str(APP), processes=processes, **options)
            for call in calls:
                drive.judge(call)
            yield drive
        finally:
            _end(process)


def _end(process: "subprocess.Popen[str]") -> None:
    """host.py ends its workers when nobody commands it any more; what is left then is killed."""
    assert process.stdin and process.stdout
    tree: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        tree = psutil.Process(process.pid).children(recursive=True)
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(END_TIMEOUT_S)
    process.kill()
    for left in tree:
        with contextlib.suppress(psutil.NoSuchProcess):
            left.kill()
    process.stdout.close()
    process.wait(END_TIMEOUT_S)


def _library() -> Path:
    return cache() / "rpc.so"


def _compiled() -> str | None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return "no C compiler (cc, gcc) on this machine for its load side"
    return _failure([compiler, "-O2", "-shared", "-fPIC", "-o", str(_library()), str(APP / "rpc.c")])


def _failure(command: list[str]) -> str | None:
    """Why the command did not do its work, or None."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=INSTALL_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return f"`{' '.join(command)}` took longer than {INSTALL_TIMEOUT_S} s"
    return None if done.returncode == 0 else f"`{' '.join(command)}`: {(done.stderr or done.stdout).strip()[-300:]}"


def _interpreter(versions: Sequence[str]) -> str | None:
    """An interpreter of one of `versions`, in PATH or under pyenv; each is asked for its version."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for version in versions:
        installed = sorted(str(path) for path in pyenv.glob(f"{version}.*/bin/python"))
        for found in [shutil.which(f"python{version}"), *installed]:
            if found and _says(found) == version:
                return found
    return None


def _says(interpreter: str) -> str:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([interpreter, "-c", code], capture_output=True, text=True, check=False).stdout.strip()


def _place_protocol(environment: Path) -> None:
    """The compiled protocol is in a wheel's `tests`, a name that anybody's tests have: so it gets one of its own."""
    (packages,) = environment.glob("lib/python*/site-packages")
    shutil.copytree(packages / "tests" / "protos", packages / PROTOCOL)


WORKER: Final = DrivenContender(
    "azure-functions-worker",
    needs=("3.8",),
    packages=("azure-functions-worker==1.1.9", "azure-functions==1.5.0"),
    start=lambda python: {
        "protos": "azure_functions_worker.protos",
        "command": [str(python), "-m", "azure_functions_worker"],
        "indexes": False,
    },
    conditions="the whole official worker, but of 2020: 1.1.9, the last on PyPI, on Python 3.8 and grpcio 1.33, with "
    "its one thread per process; driven over gRPC by a host stand-in in C, without the host's own work or HTTP",
)
RUNTIME: Final = DrivenContender(
    "azure-functions-runtime",
    needs=("3.13", "3.14"),
    packages=(
        "azure-functions-runtime==1.3.0",
        "azure-functions-runtime-v1==1.2.0",
        "azure-functions==2.3.0",
        "grpcio~=1.70.0",
        "protobuf~=5.29.0",
    ),
    start=lambda python: {
        "protos": PROTOCOL,
        "command": [str(python), str(APP / "proxy.py"), "--app", str(APP)],
        "indexes": True,
    },
    prepare=_place_protocol,
    conditions="today's official library, 1.3.0 on Python 3.13 with azure-functions 2.3.0, in a stand-in for its "
    "proxy worker, which is not on PyPI (a gRPC stream of the same make, with the versions that the library is tested "
    "with); driven over gRPC by a host stand-in in C, without the host's own work or HTTP",
)
DRIVEN: Final = {contender.name: contender for contender in (WORKER, RUNTIME)}
