"""Each file with each kind of mistake: `serve`, `dev`, `sync` and `invoke` tell it in the same words.

`new` reads none of these files: it refuses a folder that has them.
"""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fastworker.commands import invoke, new, sync
from fastworker.devhost.app import read_app
from fastworker.errors import FastworkerError
from fastworker.functions.loaded_app import load_app

APP = """import fastworker as fw

app = fw.App()


@app.function("f")
def f(req: fw.Request) -> str:
    return "x"
"""
HANDLER = {"description": {"defaultExecutablePath": "fastworker", "arguments": ["serve"]}}
HOST = {"version": "2.0", "customHandler": HANDLER}
TRIGGER = {"type": "httpTrigger", "direction": "in", "name": "req", "authLevel": "anonymous"}
OUT = {"type": "http", "direction": "out", "name": "$return"}
TIMER = {"type": "timerTrigger", "direction": "in", "name": "req", "schedule": "0 0 0 * * 7"}


def host(**more: Any) -> dict[str, Any]:
    return {**HOST, **more}


def http(**more: Any) -> dict[str, Any]:
    return {"extensions": {"http": more}}


def handler(**more: Any) -> dict[str, Any]:
    return {**HOST, "customHandler": {**HANDLER, **more}}


def function(*bindings: Any, **more: Any) -> dict[str, Any]:
    return {"bindings": list(bindings), **more}


HOST_JSON = [
    ('{"version": "2.0",', "is no JSON"),
    ('{"version": "2.0"} x', "is no JSON"),
    ('["version"]', "must hold a JSON object"),
    ("", "is empty"),
    (host(version="3.0"), '"version" must be the text "2.0"'),
    (host(version=2.0), '"version" must be the text "2.0"'),
    (handler(enableForwardingHttpRequest="yes"), '"enableForwardingHttpRequest" is true or false'),
    (handler(initializationTimeout="soon"), '"initializationTimeout"'),
    (handler(initializationTimeout="00:00:00"), "must be greater than zero"),
    (handler(port="x"), '"port" is a whole number'),
    (handler(port=70000), '"port" is a whole number from 1 to 65535'),
    (host(functionTimeout="five"), '"functionTimeout"'),
    (host(functionTimeout="-00:00:01"), '"functionTimeout" is from 1 second'),
    (host(**http(routePrefix="/api")), '"routePrefix" is'),
    (host(**http(routePrefix="{a")), "each '{' needs its '}'"),
    (host(**http(maxOutstandingRequests="many")), '"maxOutstandingRequests" is a whole number'),
    (host(extensions={"queues": {"messageEncoding": "utf8"}}), '"messageEncoding" is one of'),
    (host(extensions={"queues": {"batchSize": 33}}), '"batchSize" is a whole number from 1 to 32'),
    (host(extensions={"queues": {"maxPollingInterval": "00:00:00.01"}}), '"maxPollingInterval" is at least'),
    (host(logging={"logLevel": {"default": "loud"}}), '"default" is one of'),
    (host(logging={"fileLoggingMode": "often"}), '"fileLoggingMode" is one of'),
    (host(concurrency={"dynamicConcurrencyEnabled": "x"}), '"dynamicConcurrencyEnabled" is true or false'),
    (host(singleton={"lockPeriod": "00:00:01"}), '"lockPeriod" is from 15 to 60 seconds'),
    (host(retry={"strategy": "fixedDelay", "maxRetryCount": 1}), 'needs "delayInterval"'),
    (host(configurationProfile="x"), '"configurationProfile" is one of'),
]
FUNCTION_JSON = [
    ("{", "is no JSON"),
    ("[]", "must hold a JSON object"),
    (function(), '"bindings" must be an array of at least one'),
    ({"Bindings": [TRIGGER]}, 'the key is spelt "bindings"'),
    (function("x"), "a binding is an object"),
    (function({"name": "req"}), 'a binding needs a "type"'),
    (function({**TRIGGER, "name": 1}), 'a binding needs a "name"'),
    (function({**TRIGGER, "direction": "up"}, OUT), '"direction" is one of'),
    (function({**TRIGGER, "authLevel": "all"}, OUT), '"authLevel" is one of'),
    (function({**TRIGGER, "methods": "get"}, OUT), '"methods" is an array'),
    (function({**TRIGGER, "dataType": "x"}, OUT), '"dataType" is one of'),
    (function({**TRIGGER, "name": "a__b"}, OUT), "no two underscores in a row"),
    (function({**TRIGGER, "name": "Query"}, OUT), "the host's own name"),
    (function({**TRIGGER, "type": "httTrigger"}, OUT), "unknown binding type"),
    (function(TRIGGER, {**TIMER, "name": "t"}, OUT), "a function has one trigger"),
    (function(TIMER), "no schedule"),
    (function({**TIMER, "schedule": ""}), 'needs a "schedule"'),
    (function(TRIGGER, OUT, retry="x"), '"retry" is an object'),
    (function(TRIGGER, OUT, configurationSource="attributes"), "not for custom handlers"),
    (function(TRIGGER, OUT, scriptFile="run.py"), "does not exist"),
]
LOCAL_SETTINGS = [
    ("{", "is no JSON"),
    ("[]", "must hold a JSON object"),
    ({"IsEncrypted": True}, "the settings are encrypted"),
    ({"Values": []}, '"Values" is an object of strings'),
    ({"Values": {"A": {"B": "c"}}}, "nest with __ in names"),
    ({"Host": {"LocalHttpPort": "x"}}, '"LocalHttpPort" is a port number'),
]
MISTAKES = [
    *[("host.json", content, words) for content, words in HOST_JSON],
    *[("f/function.json", content, words) for content, words in FUNCTION_JSON],
    *[("local.settings.json", content, words) for content, words in LOCAL_SETTINGS],
]


def by_serve(root: Path) -> str:
    """What the zygote tells at the start: problems end it, warnings take out one function."""
    return "\n".join(load_app(str(root), app_root=str(root)).warnings)


def by_dev(root: Path) -> str:
    return "\n".join(str(function.problem) for function in read_app(root, {}).functions)


def by_sync(root: Path) -> str:
    return str(sync.main([str(root), "--check"]))


def by_invoke(root: Path) -> str:
    return str(invoke.main(["f", "--dir", str(root), "--in-process"]))


COMMANDS: dict[str, Callable[[Path], str]] = {
    "serve": by_serve,
    "dev": by_dev,
    "sync": by_sync,
    "invoke": by_invoke,
}


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """An app of one function, bound by its function.json; the environment is as before afterwards."""
    before = dict(os.environ)
    write(tmp_path, "function_app.py", APP)
    write(tmp_path, "host.json", HOST)
    write(tmp_path, "f/function.json", function(TRIGGER, OUT))
    yield tmp_path
    os.environ.clear()
    os.environ.update(before)


def write(root: Path, name: str, content: Any) -> None:
    path = root / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content, indent=1))


def said_of(root: Path, name: str, command: Callable[[Path], str]) -> set[str]:
    """What a command says that begins with a place in the file; without what it adds to it."""
    try:
        said = command(root)
    except FastworkerError as error:
        said = str(error)
    # Some name the file from the app's folder on.
    said, place = said.replace(f"{root}/", ""), f"{name}:"
    lines = [line[line.index(place) :] for line in said.split("\n") if place in line]
    return {line.partition("; the host does not load function")[0].replace("function 'f': ", "") for line in lines}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    MISTAKES,
    ids=[f"{name} {words}" for name, _, words in MISTAKES],
)
def test_each_command_tells_a_mistake_in_the_same_words(root: Path, name: str, content: Any, words: str) -> None:
    """`serve` runs behind a host, which never reads local.settings.json."""
    write(root, name, content)
    said = {
        command: said_of(root, name, run)
        for command, run in COMMANDS.items()
        if (command, name) != ("serve", "local.settings.json")
    }
    first = said["dev"]
    assert len(first) == 1 and words in next(iter(first)), first
    assert said == dict.fromkeys(said, first)


def test_new_reads_none_of_the_files(tmp_path: Path) -> None:
    """A folder that has one of them is refused, whatever is in it."""
    for name in ("host.json", "local.settings.json", "f/function.json"):
        folder = tmp_path / name.replace("/", "-")
        folder.mkdir()
        write(folder, name, "{")
        with pytest.raises(FastworkerError, match=f"has {name} already"):
            new.main([str(folder)])
