"""The functions through fastworker's codec, without any process; a stream comes joined."""

import hashlib
import json

import function_app
import pytest
from function_app import app

from fastworker.testing import TestClient


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    monkeypatch.setattr(function_app, "FILES", tmp_path)
    return tmp_path


def events(text):
    return [dict(line.split(": ", 1) for line in block.split("\n")) for block in text.split("\n\n") if block]


def test_primes_are_counted_in_steps():
    response = TestClient(app).invoke("primes", query={"limit": "5000"}).response
    steps = events(response.text)[1:]
    assert [step["event"] for step in steps] == ["progress", "progress", "done"]
    assert json.loads(steps[-1]["data"]) == {"tested": 5000, "limit": 5000, "primes": 669}


def test_counting_goes_on_behind_the_last_event():
    client = TestClient(app)
    steps = events(client.invoke("primes", query={"limit": "5000"}).response.text)[1:]
    later = client.invoke("primes", query={"limit": "5000"}, headers={"Last-Event-ID": steps[0]["id"]})
    assert events(later.response.text)[1:] == steps[1:]
    over = client.invoke("primes", query={"limit": "5000"}, headers={"Last-Event-ID": steps[-1]["id"]})
    assert over.response.status_code == 204


@pytest.mark.parametrize("query", [{"limit": "many"}, {"limit": "0"}, {"limit": "1e9"}])
def test_wrong_limit_is_told(query):
    assert TestClient(app).invoke("primes", query=query).response.status_code == 400


def test_table_has_two_forms():
    client = TestClient(app)
    lines = client.invoke("table", query={"rows": "3"}).response.text.splitlines()
    array = client.invoke("table", query={"rows": "3", "format": "json"}).response.json()
    assert [json.loads(line) for line in lines] == array == [
        {"id": n, "name": f"row {n}", "square": n * n} for n in range(3)
    ]  # fmt: skip


def test_stored_file_can_be_fetched(files):
    client = TestClient(app)
    text = "Grüße\n" * 100_000
    headers = {"Content-Type": "application/octet-stream"}
    stored = client.invoke("store", method="PUT", params={"name": "a.txt"}, headers=headers, body=text.encode())
    assert stored.response.json()["sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert [file.name for file in files.iterdir()] == ["a.txt"]
    fetched = client.invoke("fetch", params={"name": "a.txt"}).response
    assert fetched.text == text
    assert "a.txt" in fetched.headers["content-disposition"]


@pytest.mark.parametrize("name", ["..", "../x", ".hidden", "a\nb", "x" * 300])
def test_name_that_leads_elsewhere_is_refused(name, files):
    stored = TestClient(app).invoke("store", method="PUT", params={"name": name}, body="x").response
    assert stored.status_code == 400
    assert not list(files.iterdir())


def test_unknown_file_is_not_found():
    assert TestClient(app).invoke("fetch", params={"name": "nobody.txt"}).response.status_code == 404
