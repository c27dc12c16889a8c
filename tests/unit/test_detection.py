"""Which kind of app a module holds, told by type."""

import re
import sys
import types
from pathlib import Path
from typing import Any

import azure.functions
import flask
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from fastworker.adapters.detection import adapted, hint
from fastworker.adapters.http_app import HttpApp
from fastworker.errors import AppLoadError


async def asgi(scope: Any, receive: Any, send: Any) -> None: ...


def wsgi(environ: Any, start_response: Any) -> Any: ...


class Callable2:
    def __call__(self, environ: Any, start_response: Any) -> Any: ...


class AsyncCallable3:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


class NeverAsked:
    """A proxy as flask.request is one: any question about it raises outside a request."""

    @property
    def __class__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("outside a request")


def module_of(**members: Any) -> types.ModuleType:
    module = types.ModuleType("m")
    module.__file__ = "m.py"
    vars(module).update(members)
    return module


@pytest.mark.parametrize(
    ("members", "kind"),
    [
        ({"app": asgi}, "ASGI"),
        ({"application": wsgi}, "WSGI"),
        ({"web": Callable2()}, "WSGI"),
        ({"web": AsyncCallable3()}, "ASGI"),
        ({"api": FastAPI(), "helper": asgi}, "ASGI"),
        ({"app": FastAPI(), "other": FastAPI()}, "ASGI"),
        ({"request": NeverAsked(), "app": wsgi}, "WSGI"),
        ({"sys": sys, "Path": Path, "app": asgi}, "ASGI"),
    ],
)
def test_an_application_is_found_by_what_it_can_be_called_with(members: dict[str, Any], kind: str) -> None:
    """Objects count whatever their name, plain functions under a usual name only."""
    found = adapted("m.py", module_of(**members), None, Path())
    assert isinstance(found, HttpApp) and found.kind.startswith(kind)


@pytest.mark.parametrize(("application", "kind"), [(asgi, "ASGI"), (wsgi, "WSGI")])
def test_a_function_that_is_named_is_an_application_whatever_it_is_called(application: Any, kind: str) -> None:
    """`module:attribute` says which one is meant."""
    found = adapted("m.py", module_of(handler=application), "handler", Path())
    assert isinstance(found, HttpApp) and found.kind.startswith(kind)


@pytest.mark.parametrize("members", [{}, {"handler": wsgi}, {"app": 1}, {"app": Callable2}, {"_app": AsyncCallable3()}])
def test_what_is_no_application_is_left_alone(members: dict[str, Any]) -> None:
    """A class, a number, a function of another name, what is private."""
    assert adapted("m.py", module_of(**members), None, Path()) is None


def test_several_applications_without_a_usual_name_are_refused() -> None:
    """The message names them and the way to choose."""
    module = module_of(one=AsyncCallable3(), two=AsyncCallable3())
    with pytest.raises(AppLoadError, match=r"has several apps \(one, two\).*module:attribute"):
        adapted("m.py", module, None, Path())
    chosen = adapted("m.py", module, "two", Path())
    assert isinstance(chosen, HttpApp)


def test_def_endpoints_get_a_worker_each() -> None:
    """Starlette and FastAPI run them in threads; `async def` ones share a worker."""

    async def waits(request: Any) -> None: ...

    def computes(request: Any) -> None: ...

    def concurrency(app: Any) -> int:
        found = adapted("m.py", module_of(app=app), None, Path())
        assert found is not None
        return found.concurrency

    fast = FastAPI()
    assert concurrency(fast) == 64
    fast.get("/x")(lambda: None)
    assert concurrency(fast) == 1
    assert concurrency(Starlette(routes=[Route("/a", waits)])) == 64
    assert concurrency(Starlette(routes=[Mount("/m", routes=[Route("/a", computes)])])) == 1


def zero() -> Any: ...


@pytest.mark.parametrize(
    ("members", "attribute", "said"),
    [
        ({"bp": azure.functions.Blueprint()}, None, r"Blueprint of azure.functions.*app.register_functions\(bp\)"),
        ({"bp": azure.functions.Blueprint()}, "bp", r"Blueprint of azure.functions.*app.register_functions\(bp\)"),
        ({"pages": flask.Blueprint("pages", "m")}, None, "is a Blueprint, a part of an app: register it"),
        ({"create_app": zero}, None, r"write `app = create_app\(\)` there"),
        ({"create_app": zero}, "create_app()", r"write `app = create_app\(\)` there"),
        ({"build": zero}, "build", r"write `app = build\(\)` there"),
        ({"build": zero}, None, ""),
        ({"create_app": wsgi}, None, ""),
    ],
)
def test_what_is_nearly_an_app_is_named_with_the_way_to_one(
    members: dict[str, Any], attribute: str | None, said: str
) -> None:
    """A part of an app, and a function that makes one, as uvicorn's --factory and gunicorn take it."""
    found = hint(vars(module_of(**members)), attribute)
    assert re.search(said, found) and bool(found) == bool(said)
