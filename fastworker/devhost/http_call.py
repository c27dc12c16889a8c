"""What `fastworker invoke` says of a request beside its body: method, query, headers and route parameters.

Used by admin.py and commands/invoke.py. Rule: what the host would not route to the function is refused with the reason.
"""

import dataclasses
import urllib.parse
from difflib import get_close_matches

import msgspec

from fastworker.devhost.functions import Function
from fastworker.hostrules.envelope import HttpRequest, TriggerData
from fastworker.protocol.route_template import Parameter, Params, Route, Text

Pairs = tuple[tuple[str, str], ...]


class HttpCallError(ValueError):
    """Such a request would not reach the function."""


class HttpCall(msgspec.Struct, frozen=True):
    """A request as far as it is given; `method` is None for the one that fits the function."""

    method: str | None = None
    query: Pairs = ()
    headers: Pairs = ()
    params: Pairs = ()

    @property
    def is_given(self) -> bool:
        return self != HttpCall()

    def on(self, function: Function, trigger: TriggerData, base: str) -> TriggerData:
        """The trigger's value with this request in it; `base` is where routes begin, as `http://localhost:7071/api`.

        Raises HttpCallError if the host would not route it to the function.
        """
        request = trigger.request
        if request is None:
            if self.is_given:
                raise HttpCallError(
                    f"--method, --query, --header and --param are for http functions, and {function.name!r} has a "
                    f"{function.trigger.type}: give its value by --data, --json or --file"
                )
            return trigger
        method = request.method if self.method is None else self.method.upper()
        if function.methods is not None and method not in function.methods:
            raise HttpCallError(
                f"{function.name!r} takes {', '.join(function.methods) or 'no method'}: the host would answer 404 to "
                f"{method}"
            )
        path, params = self._path(function)
        url = f"{base.rstrip('/')}/{path}"
        if self.query:
            url += "?" + urllib.parse.urlencode(self.query)
        given = {name.lower() for name, _ in self.headers}
        headers = (*((n, v) for n, v in request.headers if n.lower() not in given), *self.headers)
        value = HttpRequest(method, url, headers, params, request.body)
        return dataclasses.replace(trigger, value=value)

    def _path(self, function: Function) -> tuple[str, Params]:
        route = Route(function.route)
        given = dict(self.params)
        names = [parameter.name for parameter in route.parameters]
        for name in given:
            if name not in names:
                near = get_close_matches(name, names, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names) or 'none'}"
                raise HttpCallError(f"--param {name}: the route {function.route!r} has no such parameter; {hint}")
        segments = []
        for segment in route.segments:
            parts = [_filled(part, given, function.route) for part in segment]
            if "" in parts and len(parts) == 1:
                break  # an optional one at the end
            segments.append("".join(parts))
        params = route.match("/" + "/".join(segments))
        if params is None:
            said = ", ".join(f"{name}={value}" for name, value in given.items())
            raise HttpCallError(
                f"{said or 'no --param'} does not fit the route {function.route!r}: the host would answer 404"
            )
        return urllib.parse.quote("/".join(segments)), params


def _filled(part: Text | Parameter, given: dict[str, str], route: str) -> str:
    if isinstance(part, Text):
        return part.text
    value = given.get(part.name, part.default)
    if value is None and not (part.optional or part.rest):
        raise HttpCallError(f"the route {route!r} needs {part.name!r}: give it by --param {part.name}=VALUE")
    return value or ""
