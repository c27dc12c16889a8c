"""Starts what was packed in an empty environment, as the host will, and asks each function for a sign of life.

Used by commands/pack.py (`--check`). Rule: no user code runs but the import: what is asked is no valid envelope.
"""

import contextlib
import http.client
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from fastworker.config.app_files import function_folders, host_json_of
from fastworker.devhost.arguments import build_command, split_arguments
from fastworker.packing.errors import PackError

START_S: Final = 60.0
ANSWER_S: Final = 10.0
END_S: Final = 10.0
POLL_S: Final = 0.05
PACKAGES: Final = ".python_packages/lib/site-packages"
# No JSON: the server knows the function, refuses the envelope, and runs nothing.
NO_ENVELOPE: Final = b"!"
LAST_LINES: Final = 15


def try_out(archive: Path, python: str, settings: Mapping[str, str]) -> list[str]:
    """Starts the zip under Python `python` ("3.12"). `settings` are app settings. Returns the functions that answered.

    Raises:
        PackError: no such Python here; it does not start; a function is not known to what has started.
    """
    interpreter = find_python(python)
    with tempfile.TemporaryDirectory(prefix="fastworker-check-") as folder:
        root = Path(folder) / "wwwroot"
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(root)
        environment = Path(folder) / "venv"
        subprocess.run([interpreter, "-m", "venv", "--without-pip", str(environment)], check=True)
        environ = {
            **settings,
            "PATH": f"{environment / 'bin'}:/usr/local/bin:/usr/bin:/bin",
            "HOME": folder,
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(root / PACKAGES),
            "FUNCTIONS_WORKER_RUNTIME": "custom",
        }
        names = [path.parent.name for path in function_folders(root)]
        with _started(root, environ) as port:
            for name in names:
                _ask(port, name)
    return names


def find_python(version: str) -> str:
    """The interpreter of this version on this machine. Raises PackError if there is none."""
    if version == f"{sys.version_info[0]}.{sys.version_info[1]}":
        return getattr(sys, "_base_executable", sys.executable)
    found = shutil.which(f"python{version}")
    if found is None and (uv := shutil.which("uv")) is not None:
        done = subprocess.run([uv, "python", "find", version], capture_output=True, text=True, check=False)
        found = done.stdout.strip() if done.returncode == 0 else None
    if found is None:
        raise PackError(f"--check needs python{version}, and there is none in PATH: install it, or check elsewhere")
    return found


@contextlib.contextmanager
def _started(root: Path, environ: Mapping[str, str]) -> Iterator[int]:
    """The handler of host.json, started; its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    added = {"FUNCTIONS_CUSTOMHANDLER_PORT": str(port), "FUNCTIONS_HTTPWORKER_PORT": str(port)}
    command = build_command(host_json_of(root, environ).description, root, environ, added)
    words = [command.executable, *split_arguments(command.arguments)]
    executable = shutil.which(command.executable, path=environ["PATH"])
    if executable is None:
        raise PackError(f"host.json: defaultExecutablePath {command.executable!r} is neither in the zip nor in PATH")
    log_path = root.parent / "log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [executable, *words[1:]], cwd=command.cwd, env={**environ, **added}, stdout=log, stderr=log
        )
        try:
            _wait_until_it_listens(process, port, log_path)
            yield port
        finally:
            process.terminate()
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_it_listens(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    end = time.monotonic() + START_S
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process.poll() is not None:
            raise PackError(f"what was packed does not start (exit code {process.returncode}):\n{_last_lines(log)}")
        if time.monotonic() > end:
            raise PackError(f"what was packed does not listen within {START_S:g} s:\n{_last_lines(log)}")
        time.sleep(POLL_S)


def _ask(port: int, name: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_S)
    head = {"Content-Type": "application/json", "X-Azure-Functions-InvocationId": str(uuid.uuid4())}
    try:
        connection.request("POST", f"/{name}", iter([NO_ENVELOPE]), head, encode_chunked=True)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise PackError(f"{name}: what was packed does not answer: {error or type(error).__name__}") from None
    finally:
        connection.close()
    if status == 404:
        raise PackError(f"{name}: it has a function.json, and what was packed has no such function")
    if status >= 500:
        raise PackError(f"{name}: what was packed answers {status}")


def _last_lines(log: Path) -> str:
    return "\n".join(log.read_text("utf-8", "replace").splitlines()[-LAST_LINES:])
