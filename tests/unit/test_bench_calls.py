"""benchmarks/calls.py: right answers pass in any form that means the same to the host; wrong ones are named."""

import base64
import json
from typing import Any

import pytest

from benchmarks import calls
from benchmarks.calls import Call, WrongAnswerError
from benchmarks.functions.work import burn

ORDER_TEXT = '{"id":1005,"quantity":1600,"color":"black"}'


def answer(outputs: Any = None, returned: Any = None) -> bytes:
    return json.dumps({"Outputs": outputs or {}, "Logs": [], "ReturnValue": returned}).encode()


def order_answer(message: Any, body: str = "Order complete", status: Any = 200) -> bytes:
    return answer({"res": {"statusCode": status, "body": body}, "message": message})


@pytest.mark.parametrize(
    "message",
    [ORDER_TEXT, base64.b64encode(ORDER_TEXT.encode()).decode(), json.loads(ORDER_TEXT), [ORDER_TEXT]],
    ids=["text", "base64", "object", "list"],
)
def test_every_form_of_the_same_message_is_right(message: Any):
    """The host writes the same order to the queue, with more or fewer spaces."""
    calls.order().check(200, order_answer(message))


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (500, order_answer(ORDER_TEXT), "status 500"),
        (200, order_answer(ORDER_TEXT, body="Order"), "Outputs.res"),
        (200, order_answer(ORDER_TEXT, status=201), "Outputs.res"),
        (200, order_answer('{"id":1}'), "Outputs.message"),
        (200, order_answer(None), "Outputs.message"),
        (200, b"OK", "no JSON"),
        (200, b"[]", "no object"),
    ],
)
def test_a_wrong_order_is_named(status: int, body: bytes, told: str):
    with pytest.raises(WrongAnswerError, match=rf"order: .*{told}"):
        calls.order().check(status, body)


def test_echo_must_tell_the_length_of_its_body():
    """The body inside of the envelope, not the envelope."""
    call = calls.echo(1024)
    assert json.loads(call.envelope)["Data"]["req"]["Body"] == "x" * 1024
    call.check(200, answer({"res": {"statusCode": 200, "body": "1024"}}))
    with pytest.raises(WrongAnswerError, match="1024"):
        call.check(200, answer({"res": {"statusCode": 200, "body": str(len(call.envelope))}}))


def test_work_must_answer_with_the_digest_of_that_much_work():
    """A server that did less of it has another digest."""
    call = calls.work(2, rounds_per_ms=3)
    assert json.loads(call.envelope)["Data"] == {"job": "2"}
    call.check(200, answer(returned=base64.b64encode(burn(2, 3)).decode()))
    with pytest.raises(WrongAnswerError, match="ReturnValue"):
        call.check(200, answer(returned=base64.b64encode(burn(1, 3)).decode()))


def test_half_waiting_does_half_of_the_work():
    calls.wait(4, rounds_per_ms=3).check(200, answer(returned=base64.b64encode(burn(2, 3)).decode()))


def test_a_users_answer_must_be_an_object_and_200():
    call = calls.users("mine", b"{}")
    assert not call.exact
    call.check(200, b'{"Outputs":{"at":"12:00"}}')
    with pytest.raises(WrongAnswerError, match="status 404"):
        call.check(404, b"{}")


def test_a_lenient_call_takes_anything():
    """For requests that are meant to kill their worker."""
    Call("crash", "crash", b"{}", lambda answer: "never asked", lenient=True).check(500, b"gone")
