"""http_mode.py: a new host.json gets the fastest mode that carries what the app does and keeps its keys."""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import fastworker as fw
from fastworker.commands import sync
from fastworker.functions.http_mode import Mode, fitting_mode, streams
from fastworker.functions.http_routes import http_routes
from fastworker.functions.loaded_app import assemble


def fitting(folder, app: fw.App) -> Mode:
    functions, host, problems, _ = assemble(app, folder)
    assert problems == []
    routes, _ = http_routes(functions, folder, host)
    return fitting_mode(list(functions.values()), routes, host.route_prefix)


def plain() -> Callable[..., str]:
    """A handler of its own, each time."""

    def handler(req) -> str:
        return ""

    return handler


def test_an_app_with_http_bindings_only_is_forwarded(tmp_path):
    """One level, or routes that lead nowhere else."""
    app = fw.App()
    app.function(name="a")(app.route("a/{x?}")(plain()))
    app.function(name="b")(app.route("b")(plain()))
    assert fitting(tmp_path, app).switch == "enableForwardingHttpRequest"
    app.function(name="c")(app.route("health", auth_level="anonymous")(plain()))
    assert fitting(tmp_path, app).switch == "enableForwardingHttpRequest"


def test_an_app_whose_keys_could_be_walked_around_gets_envelopes_and_the_table(tmp_path):
    """The same rule by which serve would refuse it."""
    app = fw.App()
    app.function(name="open")(app.route("open/{x}", auth_level="anonymous")(plain()))
    app.function(name="secret")(app.route("secret", auth_level="admin")(plain()))
    mode = fitting(tmp_path, app)
    assert mode.switch is None
    assert "secret (admin" in mode.why and "open (anonymous" in mode.why


def test_an_app_without_plain_http_gets_no_switch(tmp_path):
    """Queues and timers come in envelopes in any mode."""
    app = fw.App()
    app.function(name="a")(app.timer_trigger("req", schedule="0 0 * * * *")(plain()))
    assert fitting(tmp_path, app) == Mode(None, "")


def generator(req: fw.Request) -> Any:
    yield b""


async def async_generator(req: fw.Request) -> Any:
    yield b""


def events(req: fw.Request) -> fw.EventStream:
    return fw.EventStream([])


def items(req: fw.Request) -> Iterator[bytes]:
    return iter(())


async def async_items(req: fw.Request) -> AsyncIterator[bytes]: ...  # type: ignore[empty-body]


def upload(req: fw.Request) -> int:
    return sum(map(len, req.stream()))


@pytest.mark.parametrize("handler", [generator, async_generator, events, items, async_items, upload])
def test_an_app_that_streams_is_proxied_and_told_which_host_it_needs(tmp_path, handler):
    """By its code or its annotation; an older host sends envelopes, which are served."""
    app = fw.App()
    app.function(name="s")(app.route("s")(handler))
    mode = fitting(tmp_path, app)
    assert mode.switch == "enableProxyingHttpRequest"
    assert "s streams" in mode.why and "4.1037" in mode.why


def test_a_plain_handler_does_not_stream(tmp_path):
    """Nor one whose annotation nobody can evaluate."""
    app = fw.App()
    app.function(name="a")(app.route("a")(plain()))
    functions, *_ = assemble(app, tmp_path)
    assert not streams(functions["a"])


def test_sync_writes_the_switch_into_a_new_host_json_only(tmp_path, capsys):
    """And says why; one that is there is the user's, and gets a hint."""
    (tmp_path / "function_app.py").write_text(
        "import fastworker as fw\napp = fw.App()\n@app.route('a')\ndef a(req: fw.Request) -> str: return ''\n"
    )
    sync.main([str(tmp_path), "--quiet"])
    host = tmp_path / "host.json"
    assert json.loads(host.read_text())["customHandler"]["enableForwardingHttpRequest"] is True
    assert "3 to 10 times" in capsys.readouterr().err
    text = '{"version": "2.0", "customHandler": {"description": {"defaultExecutablePath": "fastworker"}}}'
    host.write_text(text)
    assert sync.main([str(tmp_path), "--check"]) == 0
    assert host.read_text() == text
    assert "qualifies" in capsys.readouterr().err
