"""Names of azure-functions' Python v2 model that are called something else here, for who is used to them.

Used by App and by the package itself when a name is not there. Rule: each name with what takes its place, as code.
"""

from typing import Final

# Of azure.functions, as `fw.NAME`.
MODULE: Final = {
    "AsgiFunctionApp": "name the ASGI app itself: fastworker serve module:app",
    "AsgiMiddleware": "name the ASGI app itself: fastworker serve module:app",
    "AuthLevel": 'the level is a text: @app.route(..., auth_level="anonymous")',
    "Blueprint": "a blueprint is an App, too: orders = fw.App(), and app.include(orders)",
    "FunctionApp": "fw.App",
    "HttpMethod": 'methods are texts: @app.route(..., methods=["GET"])',
    "HttpRequest": "fw.Request",
    "HttpResponse": "fw.Response, or return the value itself",
    "InputStream": "fw.Blob",
    "WsgiFunctionApp": "name the WSGI app itself: fastworker serve module:app",
    "WsgiMiddleware": "name the WSGI app itself: fastworker serve module:app",
}

# Of FunctionApp, as `app.NAME`.
APP: Final = {
    "activity_trigger": "durable functions run as an azure.functions app, which fastworker serves as it is",
    "cosmos_db_input_v3": "@app.cosmos_db_input(...)",
    "cosmos_db_output_v3": "@app.cosmos_db_output(...)",
    "cosmos_db_trigger_v3": "@app.cosmos_db_trigger(...)",
    "delete": '@app.route(..., methods=["DELETE"])',
    "entity_trigger": "durable functions run as an azure.functions app, which fastworker serves as it is",
    "function_name": "@app.function(name=...)",
    "get": '@app.route(..., methods=["GET"])',
    "get_functions": "app.declarations",
    "mcp_tool_property": "Annotated[T, msgspec.Meta(description=...)] in the handler's own arguments",
    "orchestration_trigger": "durable functions run as an azure.functions app, which fastworker serves as it is",
    "patch": '@app.route(..., methods=["PATCH"])',
    "post": '@app.route(..., methods=["POST"])',
    "put": '@app.route(..., methods=["PUT"])',
    "register_blueprint": "app.include(other)",
    "register_functions": "app.include(other)",
    "include_router": "app.include(other)",
    "schedule": "@app.timer_trigger(arg_name, schedule=...)",
}

# Of FunctionApp's own arguments.
ARGUMENTS: Final = {
    "http_auth_level": '@app.route(..., auth_level="anonymous") at each function; the default is "function"',
    "auth_level": '@app.route(..., auth_level="anonymous") at each function; the default is "function"',
}


def missing(owner: str, name: str, names: dict[str, str], what: str = "attribute") -> str:
    """The message for `owner.name`, which is not there."""
    hint = names.get(name)
    return f"{owner} has no {what} {name!r}" + (f"; here it is: {hint}" if hint else "")
