"""Which switch a new host.json gets: the fastest mode that carries what the app does and lets nobody around a key.

Used by sync, and so by `new` and `dev`. docs/modes.md is the user's view of it. Rule: pure.
"""

import inspect
import typing
from collections.abc import Sequence
from typing import Final, NamedTuple

from fastworker.functions.build import Function
from fastworker.functions.declarations import unwrapped
from fastworker.functions.http_routes import HttpRoute
from fastworker.functions.mixed_auth import reachable, table

FORWARD: Final = "enableForwardingHttpRequest"
PROXY: Final = "enableProxyingHttpRequest"
# What a handler that streams is annotated to return.
STREAMS: Final = ("EventStream", "Iterator", "Iterable", "Generator")


class Mode(NamedTuple):
    """The switch of `customHandler` to turn on, or None for envelopes; and why, if there is anything to say."""

    switch: str | None
    why: str


def fitting_mode(functions: Sequence[Function], routes: Sequence[HttpRoute], prefix: str) -> Mode:
    """The mode for an app under such a route prefix."""
    plain = {route.name for route in routes if route.is_plain and route.is_served}
    if not plain:
        return Mode(None, "")  # all get envelopes, whatever the switch
    found = reachable(routes, prefix)
    if found:
        return Mode(
            None,
            f"envelopes, for if the host forwarded, functions could be run without the key that they need (see "
            f"docs/security.md for the ways out):\n{table(found, prefix)}",
        )
    streaming = [function.name for function in functions if function.name in plain and streams(function)]
    if streaming:
        return Mode(
            PROXY,
            f"{PROXY}, for {', '.join(streaming)} streams: it needs a host newer than 4.1037 (those since mid-2025 "
            f"know it); an older one sends envelopes, in which a stream arrives as a whole",
        )
    return Mode(FORWARD, f"{FORWARD}: 3 to 10 times as fast through the host as envelopes (docs/modes.md)")


def streams(function: Function) -> bool:
    """Whether a handler reads its request's body, or makes its answer's, piece by piece, as far as its code tells."""
    plain = unwrapped(function.handler)
    if function.streams_request or inspect.isgeneratorfunction(plain) or inspect.isasyncgenfunction(plain):
        return True
    try:
        returns = typing.get_type_hints(plain).get("return")
    except Exception:  # user code: an annotation that cannot be evaluated has been told of elsewhere
        return False
    return any(name in str(returns) for name in STREAMS)
