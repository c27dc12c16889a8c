"""Who may call the local host's own endpoints, and what becomes of requests that nobody can read."""

import itertools
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from fastworker.devhost.visitors import is_loopback, is_own_host, why_refused
from tests.devhost.stand import HTTP_IN, HTTP_OUT, MANUAL, QUEUE_IN, LocalHost, scripted

EVENT_GRID = {"type": "eventGridTrigger", "direction": "in", "name": "event"}
ENDPOINTS = [
    ("GET", "/admin/host/ping"),
    ("GET", "/admin/host/status"),
    ("GET", "/admin/functions"),
    ("GET", "/ADMIN/Functions/q"),
    ("POST", "/admin/functions/q"),
    ("GET", "/admin/functions/q/status"),
    ("POST", "/runtime/webhooks/eventgrid?functionName=g"),
    ("POST", "/Runtime/webhooks/fastworker/invoke/q"),
    ("GET", "/admin/nothing"),
]


@pytest.mark.parametrize(
    ("host", "address", "own"),
    [
        ("localhost", "127.0.0.1", True),
        ("LOCALHOST:7071", "127.0.0.1", True),
        ("app.localhost:7071", "127.0.0.1", True),
        ("localhost.", "127.0.0.1", True),
        ("127.0.0.1:7071", "127.0.0.1", True),
        ("127.9.9.9", "127.0.0.1", True),
        ("[::1]:7071", "127.0.0.1", True),
        ("evil.com", "127.0.0.1", False),
        ("localhost.evil.com", "127.0.0.1", False),
        ("127.0.0.1.evil.com", "127.0.0.1", False),
        ("evil.com@localhost", "127.0.0.1", False),
        ("localhost/evil.com", "127.0.0.1", False),
        ("evillocalhost", "127.0.0.1", False),
        ("192.168.1.5", "127.0.0.1", False),
        ("0.0.0.0:7071", "127.0.0.1", False),
        ("", "127.0.0.1", False),
        (":7071", "127.0.0.1", False),
        ("localhost:port", "127.0.0.1", False),
        ("[::1", "127.0.0.1", False),
        # Where the network may come in, it comes by an address; a name could be anybody's.
        ("192.168.1.5:7071", "0.0.0.0", True),
        ("evil.com", "0.0.0.0", False),
        (socket.gethostname(), "0.0.0.0", True),
        (socket.gethostname() + ".evil.com", "0.0.0.0", False),
    ],
)
def test_a_host_is_this_machine_or_it_is_not(host: str, address: str, own: bool) -> None:
    """By what the client wrote; nothing is looked up."""
    assert is_own_host(host, address) == own


def test_an_address_lets_the_network_in_unless_it_is_loopback():
    """A name other than localhost may be anything."""
    assert all(map(is_loopback, ("127.0.0.1", "127.1.2.3", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.1.5", "example.com", "")))


OWN = "127.0.0.1:7071"
CORS = ("https://portal.example",)


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({}, True),
        ({"Origin": f"http://{OWN}"}, True),
        ({"Origin": f"http://{OWN}", "Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Origin": "https://portal.example", "Sec-Fetch-Site": "cross-site"}, True),
        ({"Origin": "https://evil.com"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": ""}, False),
        ({"Origin": "http://localhost:3000"}, False),
        ({"Origin": "http://127.0.0.1:7072"}, False),
        ({"Origin": f"https://{OWN}"}, False),
        ({"Origin": f"http://{OWN}.evil.com"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "Same-Site"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": f"http://{OWN}"}, False),
        ({"Sec-Fetch-Site": ""}, False),
        ({"Host": "evil.com"}, False),
    ],
)
def test_a_tool_may_call_and_a_page_from_elsewhere_may_not(headers: dict[str, str], passes: bool) -> None:
    """By what the browser says of itself, which no page can change."""
    given = {"Host": OWN, **headers}
    assert (why_refused(list(given.items()), "127.0.0.1", CORS) is None) == passes


def test_two_hosts_or_origins_are_none():
    """Whoever sends two hopes that one of them is looked at."""
    for double in ([("Host", OWN)] * 2, [("Host", OWN), ("Origin", CORS[0]), ("Origin", "https://evil.com")]):
        assert why_refused(double, "127.0.0.1", CORS) is not None


def functions() -> list[tuple[str, list[dict[str, Any]]]]:
    return [("f", [HTTP_IN, HTTP_OUT]), ("q", [QUEUE_IN]), ("g", [EVENT_GRID]), ("m", [MANUAL])]


def test_no_endpoint_of_the_local_host_listens_to_a_page(tmp_path: Path) -> None:
    """None runs, none tells; with `*` in CORS neither. An app's own functions are for everybody."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "local.settings.json").write_text('{"Host": {"CORS": "*"}}')
    with scripted(tmp_path / "app", *functions()) as (host, handler):
        for (method, path), headers in itertools.product(
            ENDPOINTS, [{"Origin": "https://evil.com"}, {"Sec-Fetch-Site": "cross-site"}, {"Host": "evil.com"}]
        ):
            reply = host.call(method, path, b'{"input": "x"}', Content_Type="text/plain", **headers)
            assert reply.status == 403, (path, headers)
        assert handler.received == []
        assert host.call("GET", "/api/f", Origin="https://evil.com").status == 204
        assert host.call("POST", "/admin/functions/m", '{"input": "x"}').status == 202
        host.says("[m] succeeded")


BODIES = [
    b"",
    b"\xff\xfe\x00",
    b"nonsense",
    b"[",
    b"[" * 100_000,
    b'{"input":' * 20_000,
    b"null",
    b"1e999",
    b'"\\ud800"',
    b'{"input": null}',
    b'{"input": 7, "input": []}',
    b"[null, 1, []]",
    b"{}" * 3,
]
TYPES = ["application/json", "text/plain; charset=nonsense", "application/json; charset=utf-16", "\x7f", "a/b; c", ""]


def raw(host: LocalHost, data: bytes) -> int:
    """The status of whatever is answered; 0 if the connection just ends."""
    with socket.create_connection(("127.0.0.1", host.port), timeout=20) as connection:
        connection.sendall(data)
        try:
            line = connection.makefile("rb").readline()
        except ConnectionError:
            return 0
    return int(line.split()[1]) if line else 0


def test_wrong_input_is_the_clients_fault_at_every_endpoint(tmp_path: Path) -> None:
    """No body, header or path makes a 5xx; what a function makes of its input is another matter."""
    paths = [path for _, path in ENDPOINTS] + [
        "/api/f",
        "/admin/functions/%00",
        "/admin/functions/%ff",
        "/admin//",
        "/",
    ]
    wrong = []
    with scripted(tmp_path / "app", *functions()) as (host, _):
        for path, method, body, kind in itertools.product(paths, ("POST", "GET"), BODIES, TYPES):
            head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
            if path.startswith("/api") and kind != TYPES[0]:
                continue
            status = raw(host, head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            if status >= 500 or status == 0:
                wrong.append((method, path, body[:20], kind, status))
        for path, header in itertools.product(paths, HEADERS):
            status = raw(host, f"POST {path} HTTP/1.1\r\n".encode() + header + b"Content-Length: 0\r\n\r\n")
            if status >= 500:
                wrong.append(("POST", path, header, "", status))
        assert json.loads(host.call("GET", "/admin/host/status").body)["state"] == "Running"
    assert sorted({(path, status) for _, path, _, _, status in wrong}) == [], wrong[:20]


HEADERS = [
    b"Host: localhost\r\nx-functions-key: \xff\r\n",
    b"Host: localhost\r\nCookie: \xff=\xff; =; ;;\r\n",
    b"Host: localhost\r\nOrigin: \xff\r\n",
    b"Host: [::1\r\n",
    b"Host: localhost:99999999\r\n",
    b"Host: \xff\r\n",
    b"Host: a b\r\n",
    b"Host:\r\n",
    b"",
    b"Host: localhost\r\nContent-Encoding: gzip\r\n",
    b"Host: localhost\r\nExpect: nonsense\r\n",
    b"Host: localhost\r\nRange: bytes=x\r\n",
]
