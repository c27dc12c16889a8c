"""`fastworker pack [DIR]`: a zip that runs in Azure, with all of its packages.

Called by cli.py; the work is done in packing/. Rule: DIR is only read.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from fastworker import flag_hints
from fastworker.commands.parser import CommandParser
from fastworker.devhost.appsettings import read_app_settings
from fastworker.packing.archive import copy_app, write_zip
from fastworker.packing.dependencies import ARCHITECTURES, Target, install
from fastworker.packing.errors import PackError
from fastworker.packing.trial import PACKAGES, try_out

MIB = 1 << 20


def main(argv: Sequence[str]) -> int:
    """0 when the zip is written (and, with --check, starts)."""
    parser = CommandParser("pack", flag_hints.PACK, description="Pack a function app and its packages for Azure.")
    parser.add_argument("dir", nargs="?", default=".", metavar="DIR", help="the app's folder (default: this one)")
    parser.add_argument("--out", metavar="FILE", help="the zip (default: NAME.zip beside DIR, NAME being the folder's)")
    parser.add_argument(
        "--python", metavar="X.Y", default=_this_python(), help="the Python in Azure (default: this one's)"
    )
    parser.add_argument(
        "--platform", choices=ARCHITECTURES, default="x86_64", help="the machine in Azure (default: x86_64)"
    )
    parser.add_argument(
        "--check", action="store_true", help="start what was packed in an empty environment, and ask each function"
    )
    arguments = parser.parse_args(argv)
    root = Path(arguments.dir).absolute()
    if not root.is_dir():
        raise PackError(f"{root}: no such folder: name the app's")
    if not re.fullmatch(r"3\.\d+", arguments.python):
        parser.error(f"--python {arguments.python}: a version as 3.12")
    target = Target(arguments.python, arguments.platform)
    out = Path(arguments.out).absolute() if arguments.out else root.parent / f"{root.name}.zip"
    settings = read_app_settings(root, os.environ).values
    with tempfile.TemporaryDirectory(prefix="fastworker-pack-") as folder:
        staging = Path(folder) / "app"
        staging.mkdir()
        copy_app(root, staging, out)
        _sync(staging, settings)
        install(root, staging / PACKAGES, target)
        count = write_zip(staging, out)
        unpacked = sum(path.stat().st_size for path in staging.rglob("*") if path.is_file())
    print(f"{out}: {out.stat().st_size / MIB:.1f} MiB ({count} files, {unpacked / MIB:.1f} MiB unpacked) for {target}")
    print("app settings: FUNCTIONS_WORKER_RUNTIME=custom, PYTHONPATH=/home/site/wwwroot/" + PACKAGES)
    if arguments.check:
        local = {name: value for name, value in settings.items() if name not in os.environ}
        names = try_out(out, arguments.python, local)
        print(
            f"checked: it starts, and knows {len(names)} function{'' if len(names) == 1 else 's'}: {', '.join(names)}"
        )
    return 0


def _this_python() -> str:
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def _sync(staging: Path, settings: Mapping[str, str]) -> None:
    """function.json and host.json as the decorators say, in a process of its own: the app is imported there."""
    command = [sys.executable, "-m", "fastworker", "sync", str(staging), "--prune", "--quiet"]
    done = subprocess.run(command, env={**settings}, capture_output=True, text=True, check=False)
    if done.returncode:
        told = done.stderr.replace(f"{staging}{os.sep}", "").strip()
        raise PackError(f"the app cannot be imported here, to write its function.json files:\n{told}")
