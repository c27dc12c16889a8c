"""The functions through fastworker's codec, without any process or storage."""

import json

from function_app import app

from fastworker.testing import TestClient

ORDER = {"id": 1005, "quantity": 2, "color": "black"}


def test_order_goes_to_the_queue():
    result = TestClient(app).invoke("order", json=ORDER)
    assert result.response.text == "Order complete"
    assert json.loads(result.outputs["message"]) == ORDER


def test_receipt_has_the_total():
    result = TestClient(app).invoke("receipt", job=ORDER)
    assert json.loads(result.return_value) == {"id": 1005, "total": 19.9}
