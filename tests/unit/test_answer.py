"""answer.py: the bytes of an answer, and the members of a problem."""

from http import HTTPStatus

import orjson
import pytest

from fastworker.protocol.answer import Answer, problem, render


def test_an_answer_is_one_piece_of_http():
    """Status line, type, length, the answer's own headers, an empty line, the body; nothing else."""
    answer = Answer(200, b'{"a":1}', headers=((b"Retry-After", b"1"), (b"X-B", b"2")))
    assert render(answer) == (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\n"
        b'Retry-After: 1\r\nX-B: 2\r\n\r\n{"a":1}'
    )


def test_an_answer_that_ends_its_connection_says_so():
    """Without it the host would send its next request into a closing connection."""
    assert render(Answer(200, b"x"), keep_alive=False).split(b"\r\n\r\n")[0].endswith(b"\r\nConnection: close")
    assert b"Connection" not in render(Answer(200, b"x"))


def test_head_gets_the_length_but_not_the_body():
    """The answer to HEAD is the answer to GET without its body."""
    answer = Answer(200, b"four")
    assert render(answer, head_only=True) == render(answer).removesuffix(b"four")


@pytest.mark.parametrize("status", [400, 404, 405, 408, 413, 431, 500, 503, 504])
def test_a_problem_says_what_where_and_which(status):
    """RFC 9457, with the function and the invocation as members of ours."""
    answer = problem(status, 'odd "detail" \u00fc', function="order", invocation_id="1-2")
    assert answer.content_type == b"application/problem+json"
    assert orjson.loads(answer.body) == {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": 'odd "detail" \u00fc',
        "function": "order",
        "invocationId": "1-2",
    }
    assert render(answer).startswith(b"HTTP/1.1 %d %b\r\n" % (status, HTTPStatus(status).phrase.encode()))


def test_a_problem_outside_of_any_function_names_none():
    """The members are there all the same, so that readers need not ask whether they are."""
    body = orjson.loads(problem(400, "what").body)
    assert (body["function"], body["invocationId"]) == (None, None)
