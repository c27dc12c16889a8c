"""Flags that users of uvicorn, gunicorn and func type: understood, or answered with the one that is meant."""

import argparse
import re
from collections.abc import Callable

import pytest

from fastworker import flag_hints
from fastworker.cli import COMMANDS, main
from fastworker.commands import dev, invoke, storage
from fastworker.errors import SettingsError
from fastworker.settings import build_parser, parse_settings

HOST = {"FUNCTIONS_CUSTOMHANDLER_PORT": "4711"}
PARSERS: dict[str, tuple[Callable[[], argparse.ArgumentParser], dict[str, str]]] = {
    "serve": (build_parser, flag_hints.SERVE),
    "dev": (dev.build_parser, flag_hints.DEV),
    "invoke": (invoke.build_parser, flag_hints.INVOKE),
    "storage": (storage.build_parser, flag_hints.STORAGE),
}


def flags(parser: argparse.ArgumentParser) -> set[str]:
    return {name for action in parser._actions for name in action.option_strings}


@pytest.mark.parametrize("command", PARSERS)
def test_hints_name_flags_that_there_are_for_flags_that_there_are_not(command: str) -> None:
    """`give --x` is a flag of that command, and what is hinted at is none."""
    build, hints = PARSERS[command]
    known = flags(build())
    assert not known & hints.keys()
    for hint in hints.values():
        told = re.search(r"^give (--[a-z-]+)", hint)
        assert told is None or told[1] in known, hint


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--reload"], "--reload: no such argument; serve imports the app anew on SIGHUP"),
        (["--host", "0.0.0.0"], "--host: no such argument; give --address"),
        (["--host=0.0.0.0"], "--host: no such argument; give --address"),
        (["--timeout", "30"], "--timeout: no such argument; give --deadline"),
        (["-k", "uvicorn.workers.UvicornWorker"], "-k: no such argument; every worker runs"),
        (["--workrs", "3"], "--workrs: no such argument; did you mean --workers?"),
        (["--nothing-like-it"], "--nothing-like-it: no such argument; see fastworker serve --help"),
    ],
)
def test_serve_answers_a_foreign_flag_once(argv: list[str], said: str) -> None:
    """Its value is no second mistake."""
    with pytest.raises(SettingsError) as caught:
        parse_settings(argv, HOST)
    [problem] = caught.value.problems
    assert problem.startswith(said)


def test_short_flags_of_other_servers_are_understood() -> None:
    """gunicorn's -w, func's and many others' -p."""
    assert parse_settings(["-w", "3"], HOST).workers == 3
    assert parse_settings(["-p", "0"], {}).port == 0
    given = dev.build_parser().parse_args(["-p", "8000", "--host", "127.0.0.1", "--reload"])
    assert (given.port, given.address, given.no_reload) == (8000, "127.0.0.1", False)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["dev", "--enableAuth"], "--enableAuth: no such argument; give --auth"),
        (["dev", "--workers", "2"], "--workers: no such argument; set FASTWORKER_WORKERS"),
        (["dev", "--azurit"], "--azurit: no such argument; did you mean --azurite?"),
        (["new", "--name", "shop", "shop"], "--name: no such argument; name the folder"),
        (["sync", "--dry-run"], "--dry-run: no such argument; give --check"),
        (["invoke", "f", "--body", "x"], "--body: no such argument; give --data"),
    ],
)
def test_a_command_answers_a_foreign_flag(argv: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With the right one, and exit code 2."""
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 2
    assert f"error: {said}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("start", "did you mean `fastworker dev`?"),
        ("init", "did you mean `fastworker new`?"),
        ("synk", "did you mean `fastworker sync`?"),
        ("publish", "`func azure functionapp publish NAME` deploys an app"),
        ("zzz", "no such command: 'zzz'\n"),
    ],
)
def test_a_command_of_another_tool_is_answered(word: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every command that is named there is one."""
    assert main([word]) == 2
    assert said in capsys.readouterr().err
    assert set(flag_hints.COMMANDS.values()) <= COMMANDS.keys()


@pytest.mark.parametrize("word", ["-V", "--version", "version"])
def test_the_version_is_told(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    """However it is asked for."""
    assert main([word]) == 0
    assert re.fullmatch(r"fastworker [0-9.]+\S*\n", capsys.readouterr().out)
