"""The WSGI bridge by itself: PEP 3333 as wsgiref's validator reads it, bodies, files and old applications."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import pytest

from fastworker.adapters.exact_response import ExactResponse
from fastworker.adapters.wsgi import BodyFile, WsgiApp
from fastworker.protocol.answer import Answer
from fastworker.protocol.http_request import Request as HttpRequest
from fastworker.protocol.plain_http import FileBody, PlainRequest, Streaming


def request_of(
    target: bytes = b"/x", method: bytes = b"GET", body: bytes = b"", headers: list[tuple[bytes, bytes]] | None = None
) -> PlainRequest[Any]:
    fields = [(b"Host", b"h"), *(headers or [])]
    return PlainRequest(HttpRequest(method, target, fields, body, True, b"", None), {})


def body_of(response: ExactResponse) -> bytes:
    answer = response.in_plain_http()
    if isinstance(answer, Answer):
        return answer.body
    assert isinstance(answer, Streaming)
    return b"".join(answer.source)


def test_the_validator_of_the_standard_library_finds_nothing_to_say() -> None:
    """Environ, start_response, iteration and close, in the order of PEP 3333."""

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        data = environ["wsgi.input"].read(5) + environ["wsgi.input"].readline() + environ["wsgi.input"].read(100)
        start_response("200 OK", [("Content-Type", "text/plain"), ("X-Len", str(len(data)))])
        return [data, b"!"]

    request = request_of(b"/api/a%20b?q=1", b"POST", b"hello\nworld", [(b"Content-Type", b"text/plain")])
    response = WsgiApp(validator(application), "api")(request)
    assert response.status_code == 200
    assert body_of(response) == b"hello\nworld!"


def test_the_environ_tells_what_the_client_asked_for() -> None:
    """The prefix as SCRIPT_NAME, and no header that would pass for another one."""
    seen: dict[str, Any] = {}

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        seen.update(environ)
        start_response("204 No Content", [])
        return []

    headers = [(b"X-A", b"1"), (b"X-A", b"2"), (b"X_A", b"forged"), (b"Content-Length", b"0"), (b"Proxy", b"evil")]
    headers.append((b"X-Forwarded-For", b"[::1]:99"))
    WsgiApp(application, "api")(request_of(b"/api/%C3%A9?q", headers=headers))
    assert (seen["SCRIPT_NAME"], seen["PATH_INFO"], seen["QUERY_STRING"]) == ("/api", "/\xc3\xa9", "q")
    assert (seen["HTTP_X_A"], seen["CONTENT_LENGTH"], seen["REMOTE_ADDR"]) == ("1,2", "0", "::1")
    assert (seen["wsgi.multithread"], seen["wsgi.multiprocess"]) == (False, True)


def test_pieces_are_sent_as_they_are_made_and_close_is_called() -> None:
    """Also if the client leaves in the middle."""
    made: list[Any] = []

    class Pieces:
        def __iter__(self) -> Any:
            for n in range(3):
                made.append(n)
                yield b"%d" % n

        def close(self) -> None:
            made.append("closed")

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return Pieces()

    answer = WsgiApp(application)(request_of()).in_plain_http()
    assert isinstance(answer, Streaming)
    assert made == [0]
    assert next(answer.source) == b"0"
    answer.source.close()
    assert made == [0, "closed"]


def test_write_and_a_late_start_are_understood() -> None:
    """As old applications do it."""

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        write = start_response("200 OK", [])
        write(b"a")
        write(b"b")
        return [b"c", b"d"]

    def late(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("X-Late", "1")])
        yield b"x"

    assert body_of(WsgiApp(application)(request_of())) == b"abcd"
    assert body_of(WsgiApp(late)(request_of())) == b"x"


def test_an_error_page_may_replace_a_response_that_has_not_begun() -> None:
    """start_response with exc_info; without it a second call is the application's mistake."""

    def replaced(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        try:
            raise LookupError
        except LookupError as error:
            start_response("500 Oops", [], (LookupError, error, error.__traceback__))
        return [b"sorry"]

    def twice(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        start_response("200 OK", [])
        return []

    assert WsgiApp(replaced)(request_of()).status_code == 500
    with pytest.raises(AssertionError, match="called twice"):
        WsgiApp(twice)(request_of())


def test_an_application_that_never_starts_its_response_fails() -> None:
    """With words of ours, for it has none."""
    with pytest.raises(RuntimeError, match="without calling start_response"):
        WsgiApp(lambda environ, start_response: [b"x"])(request_of())


@pytest.mark.parametrize("length", ["2", "9"])
def test_a_length_that_is_not_kept_is_the_applications_failure(length: str) -> None:
    """Whole or in pieces."""

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", length)])
        return [b"abc"] if environ["PATH_INFO"] == "/whole" else iter([b"ab", b"c"])

    with pytest.raises(RuntimeError, match="promised"):
        WsgiApp(application)(request_of(b"/whole"))
    with pytest.raises(RuntimeError, match="promised"):
        body_of(WsgiApp(application)(request_of(b"/pieces")))


def test_a_file_of_the_file_system_is_sent_by_the_kernel(tmp_path: Path) -> None:
    """By its open descriptor, so that the application may close its own at once."""
    path = tmp_path / "file.bin"
    path.write_bytes(b"content")

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "application/x-thing")])
        return environ["wsgi.file_wrapper"](open(path, "rb"))

    answer = WsgiApp(application)(request_of()).in_plain_http()
    assert isinstance(answer, FileBody) and isinstance(answer.path, int)
    assert os.pread(answer.path, 100, 0) == b"content"
    os.close(answer.path)


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_the_input_is_a_file_however_its_pieces_are_cut(size: int) -> None:
    """read, readline, readlines and iteration."""
    data = b"one\ntwo\n\nthree"

    def cut() -> BodyFile:
        return BodyFile(iter([data[i : i + size] for i in range(0, len(data), size)]))

    assert cut().read() == data
    assert list(cut()) == data.splitlines(keepends=True)
    assert cut().readlines() == data.splitlines(keepends=True)
    file = cut()
    assert [file.readline(2), file.readline(), file.read(3), file.read(0), file.read()] == [
        b"on",
        b"e\n",
        b"two",
        b"",
        b"\n\nthree",
    ]


def test_the_answer_to_head_never_tells_a_length_that_is_not_that_of_get() -> None:
    """A list's, the application's own, or none for an iterable; this is closed."""
    closed: list[bool] = []

    class Pieces(list[bytes]):
        def close(self) -> None:
            closed.append(True)

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", "9")] if environ["PATH_INFO"] == "/own" else [])
        return {"/list": [b"abc"], "/own": [b""]}.get(environ["PATH_INFO"]) or Pieces([b"a", b"b"])

    def answer(path: bytes) -> Any:
        return WsgiApp(application)(request_of(path, b"HEAD")).in_plain_http()

    assert answer(b"/list").body == b"abc"  # its length is told, and it is not sent
    assert answer(b"/own").length == 9
    assert answer(b"/pieces").length is None
    assert closed == [True]


def test_the_environ_has_what_applications_look_for_beyond_the_standard() -> None:
    """The target as it came; the client's address, which is this machine's without a proxy."""
    seen: dict[str, Any] = {}

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        seen.update(environ)
        start_response("304 Not Modified", [("Content-Length", "5")])
        return []

    assert WsgiApp(application)(request_of(b"/a%2Fb?q=%41")).status_code == 304
    assert (seen["RAW_URI"], seen["REQUEST_URI"]) == ("/a%2Fb?q=%41", "/a%2Fb?q=%41")
    assert (seen["PATH_INFO"], seen["REMOTE_ADDR"], seen["SERVER_SOFTWARE"]) == ("/a/b", "127.0.0.1", "fastworker")
