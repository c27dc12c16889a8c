"""AsgiFunctionApp and WsgiFunctionApp: their web application by our own bridges, with what the library tells it."""

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import azure.functions as func
import pytest
from fastapi import FastAPI, Request
from flask import Flask, request

from fastworker.errors import AppLoadError
from fastworker.functions.loaded_app import load_app
from fastworker.testing import TestClient

ANONYMOUS = func.AuthLevel.ANONYMOUS


def test_the_lifespan_runs_at_the_workers_start_and_its_state_is_in_each_request() -> None:
    """Not with the first request, and not without its state; the end is told, too."""
    seen: list[Any] = []

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        seen.append("up")
        yield {"db": "open"}
        seen.append("down")

    api = FastAPI(lifespan=lifespan)

    @api.get("/health")
    async def health(request: Request) -> Any:
        scope = request.scope
        return [
            request.state.db,
            scope["root_path"],
            scope["azure_functions.function_name"],
            bool(scope["azure_functions.invocation_id"]),
        ]

    with TestClient(func.AsgiFunctionApp(app=api, http_auth_level=ANONYMOUS)) as client:
        assert seen == ["up"]
        response = client.invoke("http_app_func", url="http://h/api/health").response
        assert response is not None and json.loads(response.body) == ["open", "/api", "http_app_func", True]
    assert seen == ["up", "down"]


def test_other_functions_of_the_same_app_are_served_beside_it() -> None:
    """An AsgiFunctionApp takes all decorators."""
    seen: list[str] = []
    app = func.AsgiFunctionApp(app=FastAPI(), http_auth_level=ANONYMOUS)

    @app.queue_trigger("message", "in-queue", "AzureWebJobsStorage")
    def work(message: func.QueueMessage) -> None:
        seen.append(message.get_body().decode())

    TestClient(app).invoke("work", message="hi")
    assert seen == ["hi"]


def test_a_wsgi_application_gets_the_librarys_members_in_its_environ() -> None:
    """And its error pages reach the client, where the library answers with its own failure."""
    site = Flask("site")

    @site.get("/name")
    def name() -> str:
        return f"{request.environ['azure_functions.function_name']} {request.script_root}"

    @site.get("/sorry")
    def sorry() -> Any:
        return "come back later", 503

    client = TestClient(func.WsgiFunctionApp(app=site.wsgi_app, http_auth_level=ANONYMOUS))
    response = client.invoke("http_app_func", url="http://h/api/name").response
    assert response is not None and response.body == b"http_app_func /api"
    response = client.invoke("http_app_func", url="http://h/api/sorry").response
    assert response is not None and (response.status_code, response.body) == (503, b"come back later")


def test_def_endpoints_get_a_worker_each(tmp_path: Path) -> None:
    """As those of an application without azure.functions."""
    api = "from fastapi import FastAPI\nimport azure.functions as func\napi = FastAPI()\n"
    end = "app = func.AsgiFunctionApp(app=api)\n"
    (tmp_path / "one.py").write_text(f"{api}@api.get('/')\nasync def waits(): ...\n{end}")
    (tmp_path / "two.py").write_text(f"{api}@api.get('/')\ndef computes(): ...\n{end}")
    assert load_app("one.py", app_root=None, base=tmp_path).app.concurrency == 64
    assert load_app("two.py", app_root=None, base=tmp_path).app.concurrency == 1


def test_a_lifespan_that_fails_fails_the_start() -> None:
    """With the application's words; the library would fail every request."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    client = TestClient(func.AsgiFunctionApp(app=application, http_auth_level=ANONYMOUS))
    with pytest.raises(AppLoadError, match="no database"):
        client.__enter__()
