"""Who may talk to the endpoints of the local host itself (`/admin/`, `/runtime/webhooks/`), and in what form.

Called by front.py before admin.py. A browser sends any page's requests to 127.0.0.1, and a page whose name resolves to
127.0.0.1 (DNS rebinding) can read the answers: so these endpoints look at what a browser says of itself.
Rule: a request of a tool on this machine passes, that of a page from elsewhere does not; what nobody can read is a 4xx.
"""

import ipaddress
import socket
from collections.abc import Awaitable, Callable, Collection
from typing import Final
from urllib.parse import urlsplit

from fastworker.devhost.client_head import Headers
from fastworker.devhost.webserver import Request, Response

# What a request may raise that is not as its endpoint needs it: no UTF-8, an unknown charset, JSON nested too deeply.
UNREADABLE: Final = (ValueError, LookupError, RecursionError)


def why_refused(headers: Headers, address: str, cors: Collection[str] = ()) -> str | None:
    """Why the request does not come from a tool on this machine; None if it may.

    `address` is what the local host listens on, `cors` the origins that local.settings.json lets in by name.
    """
    hosts = _all(headers, "host")
    if len(hosts) != 1 or not is_own_host(hosts[0], address):
        return (
            f"the Host {', '.join(hosts)[:100]!r} is not this machine: call it by http://localhost or http://127.0.0.1"
        )
    origins = _all(headers, "origin")
    if origins and origins[0] in cors and len(origins) == 1:
        return None
    if origins and origins != [f"http://{hosts[0]}"]:
        return (
            f"a page of {', '.join(origins)[:100]!r} may not call it: "
            f"add the origin to Host.CORS in local.settings.json if it should"
        )
    if not {"none", "same-origin"}.issuperset(site.lower() for site in _all(headers, "sec-fetch-site")):
        return "a page from elsewhere may not call it (Sec-Fetch-Site)"
    return None


def _all(headers: Headers, name: str) -> list[str]:
    return [value.strip() for key, value in headers if key.lower() == name]


def is_own_host(host: str, address: str) -> bool:
    """A name or address of this machine, with or without a port; `address` is the one that is listened on."""
    try:
        name = urlsplit(f"//{host}").hostname
        if name is None or "@" in host or "/" in host:
            return False
        _ = urlsplit(f"//{host}").port
    except ValueError:
        return False
    name = name.rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        number = ipaddress.ip_address(name)
    except ValueError:
        # A name can be rebound; the machine's own is of use only where others may call.
        return not is_loopback(address) and name in (address.lower(), socket.gethostname().lower())
    return number.is_loopback or not is_loopback(address)


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach what listens there."""
    try:
        return address.lower() == "localhost" or ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


async def guarded(
    request: Request, address: str, cors: Collection[str], answer: Callable[[], Awaitable[Response]]
) -> Response:
    """`answer`, unless the request is refused (403) or cannot be read (400)."""
    refusal = why_refused(request.headers, address, cors)
    if refusal is not None:
        return Response(403, text=refusal)
    try:
        return await answer()
    except UNREADABLE as error:
        return Response(400, text=f"the request cannot be read: {str(error)[:200] or type(error).__name__}")
