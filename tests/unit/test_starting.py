"""starting.py: a long start says what it waits for, and what the host must be told."""

import pytest

from fastworker.logs import log
from fastworker.settings import Settings
from fastworker.supervisor.pool import AppReady, Pool, Tick, WorkerForked
from fastworker.supervisor.starting import Starting, advice


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, object]]]:
    lines: list[tuple[str, dict[str, object]]] = []
    monkeypatch.setattr(log, "warning", lambda event, **fields: lines.append((event, fields)))
    return lines


def begun(**settings: object) -> tuple[Pool, Starting]:
    pool = Pool(size=1, slots=3, start_timeout_s=300, retire_s=60)
    pool.step(0, Tick())
    return pool, Starting(Settings(port=0, app="shop.py", **settings), pool, 0)  # type: ignore[arg-type]


def test_a_quick_start_says_nothing(told):
    """Nor does anything that comes later: the server serves then."""
    _, start = begun()
    start.look(9.9)
    start.ready(9.9)
    start.look(100)
    assert told == []


def test_a_long_import_is_told_ever_more_rarely_and_at_its_end(told):
    """What it waits for, and the limits of the host; at the end with the time that it really took."""
    _, start = begun()
    for second in range(100):
        start.look(second)
    start.ready(100)
    assert [fields["seconds"] for _, fields in told] == [10, 20, 40, 80, 100]
    assert {fields["waits_for"] for _, fields in told[:-1]} == {"the import of shop.py"}
    assert [event for event, _ in told] == ["start.slow"] * 4 + ["start.took"]


@pytest.mark.parametrize(
    ("preload", "forked", "expected"),
    [
        (True, False, "a worker to be forked"),
        (True, True, "a start hook (@app.on_worker_start)"),
        (False, True, "the import of shop.py or a start hook (@app.on_worker_start)"),
    ],
)
def test_what_is_waited_for_is_told_by_name(told, preload, forked, expected):
    """The import, a hook, or the fork."""
    pool, start = begun(preload=preload)
    pool.step(1, AppReady(0))
    if forked:
        pool.step(1, WorkerForked(0))
    start.look(11)
    assert told[0][1]["waits_for"] == expected


@pytest.mark.parametrize(
    ("took_s", "function_timeout", "initialization"),
    [
        (10, "00:00:20", "default of 00:00:30"),
        (60, "00:01:30", "default of 00:00:30"),
        (100, "00:02:30", '"initializationTimeout": "00:00:40"'),
        (400, "00:10:00", '"initializationTimeout": "00:02:30"'),
    ],
)
def test_the_advice_has_room(took_s, function_timeout, initialization):
    """Half as long again; the host waits four times its initializationTimeout."""
    assert f"above {function_timeout}" in advice(took_s)
    assert initialization in advice(took_s)
