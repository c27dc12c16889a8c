"""An ASGI or WSGI application as a fastworker App: one http function for every path and method.

Made by detection.py. app.py completes it when host.json, and with it the route prefix, has been read.
Rule: the application sees the whole path, with the host's prefix as root_path (ASGI) or SCRIPT_NAME (WSGI).
"""

import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from fastworker.adapters.asgi import AsgiApp
from fastworker.adapters.wsgi import WsgiApp
from fastworker.config.host_json import HostJson
from fastworker.functions.app import App
from fastworker.functions.build import Function, argument_decoder, http_argument
from fastworker.functions.declarations import Declaration
from fastworker.protocol.bindings import Binding
from fastworker.protocol.envelope import envelope_reader
from fastworker.protocol.messages import HTTP_VALUE, Request
from fastworker.protocol.outputs import output_encoder

NAME: Final = "http_app"
ARGUMENT: Final = "req"


class HttpApp(App):
    """The App of an application. `kind` says what it is, for the line at start-up."""

    def __init__(self, application: AsgiApp | WsgiApp, folder: Path, kind: str) -> None:
        super().__init__()
        self.application = application
        self.folder = folder
        self.kind = kind
        if isinstance(application, AsgiApp):
            self.on_worker_start(application.startup)
            self.on_worker_stop(application.shutdown)
        bindings = [
            Binding(
                "httpTrigger", "in", ARGUMENT, str(folder), properties={"authLevel": "anonymous", "route": "{*path}"}
            ),
            Binding("http", "out", "$return", str(folder)),
        ]
        declaration = Declaration(application, str(folder), NAME, bindings=bindings)
        declaration.build = functools.partial(_build, application)
        self.declarations.append(declaration)

    def under_host(self, host: HostJson, *, has_file: bool) -> HostJson:
        """Without a host.json there is no host: behind a reverse proxy every path is the application's."""
        if not has_file:
            host = replace(host, http_mode="proxy", route_prefix="")
        self.application.prefix = host.route_prefix
        return host


def adapt_application(value: Any, name: str, folder: Path) -> HttpApp:
    """The App of an ASGI or WSGI application that a module calls `name`."""
    from fastworker.adapters.detection import is_asgi

    owner = type(value).__module__.partition(".")[0]
    if is_asgi(value):
        application = AsgiApp(value)
        app = HttpApp(application, folder, f"ASGI application {name!r} ({owner})")
        if application.has_def_endpoints:
            app.concurrency = 1
        return app
    return HttpApp(WsgiApp(value), folder, f"WSGI application {name!r} ({owner})")


def _build(application: AsgiApp | WsgiApp, bindings: Sequence[Binding]) -> tuple[Function | None, list[str]]:
    trigger, output = bindings
    return Function(
        name=NAME,
        handler=application,
        is_async=isinstance(application, AsgiApp),
        deadline_s=None,
        bindings=tuple(bindings),
        trigger=trigger,
        read_envelope=envelope_reader({trigger.name: HTTP_VALUE}),
        decoders=((trigger.name, argument_decoder(trigger, Request)),),
        http_arguments=((trigger.name, http_argument(Request)),),
        outs=(),
        context_argument=None,
        encoders={output.name: output_encoder(output)},
        return_to=output.name,
        http_output=output.name,
        streams_request=True,
    ), []
