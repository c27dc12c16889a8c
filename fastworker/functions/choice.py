"""Which function a request is for, and whether it is the host's envelope or the client's own request (protocol 1.7, 3).

Made by dispatch.py from what app.py has loaded. Rule: pure, and decides by nothing that a client could forge; which
that is in each mode is told, with the proof, in docs/security.md.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Generic, Protocol, TypeVar

from fastworker.functions.http_routes import HttpRoute
from fastworker.functions.mixed_auth import Forwarding
from fastworker.protocol.http_request import Headers, Request
from fastworker.protocol.route_template import Params
from fastworker.protocol.routing import RouteTable

T = TypeVar("T")

# The host asks so whether anybody is there (protocol 1.5).
READINESS: Final = (b"GET", b"HEAD")
# The proxying host adds each of these to a client's request, and none to an envelope (protocol 3.2).
PROXIED: Final = frozenset({b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-ms-invocation-id"})
OWN_AGENT: Final = b"Azure-Functions-Host/"
# What decides the mode where `--http-mode` does.
OVERRIDDEN: Final = "--http-mode"
# Methods for which routes without parameters are looked up once and for all.
USUAL: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
LONGEST_TELLING: Final = max(map(len, PROXIED))


class Conditions(Protocol):
    """How the server was started (settings.py)."""

    @property
    def under_host(self) -> bool: ...
    @property
    def core_tools(self) -> bool: ...
    @property
    def disabled(self) -> frozenset[str]: ...


class Choice(Generic[T]):
    """`of` gives a request's target, and the parameters of its route; these are None for an envelope.

    `targets` are by function name; `nothing` stands for no function.
    """

    def __init__(
        self,
        host: Forwarding,
        routes: Sequence[HttpRoute],
        targets: Mapping[str, T],
        nothing: T,
        conditions: Conditions,
    ) -> None:
        self._nothing = nothing
        self._trusts_nobody = conditions.under_host
        self._core_tools = conditions.core_tools
        self.forwards = host.http_mode != "envelope"
        # Unless a flag says so, and host.json perhaps something else: what a client sends may come then.
        self._is_enveloped = not self.forwards and host.http_mode_key != OVERRIDDEN
        self._by_name = self.forwards and host.forwards_by_name
        self._envelopes = {b"/" + name.encode(): target for name, target in targets.items()}
        plain = [route for route in routes if route.is_plain] if self.forwards else []
        self._plain_names = {b"/" + route.name.encode() for route in plain}
        self._table: RouteTable[T | None] = RouteTable(host.route_prefix)
        for route in routes if self.forwards and not self._by_name else ():
            is_open = route.is_plain and route.is_known and route.name.lower() not in conditions.disabled
            self._table.add(route.name, route.template, route.methods, targets.get(route.name) if is_open else None)
        self._known = self._without_parameters()

    def named(self, target: bytes) -> T | None:
        """The function for an envelope of such a target, if it is one."""
        return self._envelopes.get(target)

    def of(self, request: Request) -> tuple[T, Params | None]:
        """What a request asks for."""
        target = request.target
        named = self._envelopes.get(target)
        if self._is_enveloped:  # the host sends nothing else: a client chooses neither path nor method
            return (self._nothing if named is None else named), None
        if named is not None and self.is_envelope(request.method, target, request.headers):
            return named, None
        return self.plain(request.method, target, is_hosts_own=not request.invocation_id)

    def plain(self, method: bytes, target: bytes, *, is_hosts_own: bool = False) -> tuple[T, Params | None]:
        """The same for one that is no envelope. What the host asks for itself has no invocation id."""
        path = target.partition(b"?")[0]
        if not self.forwards:
            return self._nothing, None
        known = self._known.get((method, path))
        if known is not None:
            return known
        if self._by_name:
            if path in self._plain_names and path in self._envelopes:
                return self._envelopes[path], {}
            return self._nothing, None
        if path == b"/" and is_hosts_own and method in READINESS and self._trusts_nobody:
            return self._nothing, None  # by hand no host asks, and a function may have that path
        found = self._table.find(method.decode("latin-1"), path.decode("latin-1"))
        if found is None or found[0] is None:
            return self._nothing, None
        return found[0], found[1]

    def is_envelope(self, method: bytes, target: bytes, headers: Headers) -> bool:
        """Whether a request is the host's envelope for one of the functions; see the table in docs/security.md."""
        if target not in self._envelopes or self._is_enveloped:
            return target in self._envelopes
        is_plain = target in self._plain_names
        if method != b"POST":
            return not self.forwards  # refused by its method
        framed = agent = False
        for spelt, value in headers:
            name = spelt.lower() if len(spelt) <= LONGEST_TELLING else b""
            if name in PROXIED:
                return False
            if name == b"transfer-encoding":
                framed = b"chunked" in value.lower()
            elif name == b"user-agent":
                agent = value.startswith(OWN_AGENT)
        if self._core_tools and not framed:
            framed = [name.lower() for name, _ in headers[-2:]] == [b"content-type", b"content-length"]
        if self._trusts_nobody:
            return framed
        # By hand no host stands between, and no key is asked for: whoever posts to a name means its envelope, but for
        # functions whose name may be their route as well.
        return not is_plain or (framed and agent)

    def _without_parameters(self) -> dict[tuple[bytes, bytes], tuple[T, Params]]:
        """What the table finds for the plainest spelling of routes without parameters: most requests ask for one."""
        known: dict[tuple[bytes, bytes], tuple[T, Params]] = {}
        for path in self._table.literal_paths():
            for method in USUAL:
                found = self._table.find(method, path)
                if found is not None and found[0] is not None and not found[1]:
                    known[method.encode(), path.encode()] = (found[0], found[1])
        return known
