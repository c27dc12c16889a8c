"""azure.functions with a web framework's requests and responses (azurefunctions-extensions-http-fastapi).

Used by azure_functions.py: with such an extension imported, http functions get the framework's request and give its
responses, streamed ones too.
Rule: the extension's own web application does all conversions; each request is one ASGI call of it.
"""

import contextvars
import functools
import importlib
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from fastworker.adapters.asgi import http_scope, respond
from fastworker.adapters.web_request import web_request
from fastworker.protocol.messages import Request, Response

Run = Callable[[Any], Awaitable[Any]]
_CURRENT: contextvars.ContextVar["_One"] = contextvars.ContextVar("web call")


class _One:
    """One invocation as the web application's endpoint sees it."""

    def __init__(self, run: Run, params: dict[str, str]) -> None:
        self.run = run
        self.params = params
        self.error: Exception | None = None


def web_request_type() -> Any:
    """The framework's request class, if the app has imported such an extension; else None."""
    extension = sys.modules.get("azurefunctions.extensions.base")
    if extension is None or not extension.HttpV2FeatureChecker.http_v2_enabled():
        return None
    return extension.RequestTrackerMeta.get_request_type()


async def web_response(request: Request[Any], run: Run) -> Response:
    """Calls `run` with the framework's request; its result as the framework makes a response of it.

    Raises what `run` raises.
    """
    one = _One(run, dict(request.params))
    token = _CURRENT.set(one)
    try:
        response = await respond(_web_app(), http_scope(web_request(request), ""), request)
    except Exception:
        if one.error is not None:
            raise one.error from None
        raise
    finally:
        _CURRENT.reset(token)
    if one.error is not None:
        raise one.error
    return response


@functools.cache
def _web_app() -> Any:
    base = sys.modules["azurefunctions.extensions.base"]
    module = importlib.import_module(base.ModuleTrackerMeta.get_module())
    app = module.WebApp()
    request_type = base.RequestTrackerMeta.get_request_type()
    synchronizer = base.RequestTrackerMeta.get_synchronizer()

    async def endpoint(request: Any) -> Any:
        one = _CURRENT.get()
        synchronizer.sync_route_params(request, one.params)
        try:
            return await one.run(request)
        except Exception as error:  # user code: the invocation fails with it, whatever the framework would answer
            one.error = error
            raise

    endpoint.__annotations__["request"] = request_type
    app.route(endpoint)
    return app.get_app()
