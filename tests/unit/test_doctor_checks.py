"""doctor_checks.py: which facts contradict each other, and what is to be changed."""

import msgspec
import pytest

from fastworker.commands.doctor_checks import Facts, FunctionFacts, Package, findings
from fastworker.config.host_json import ConcurrencyOptions, HostJson, HttpOptions, QueueOptions
from fastworker.settings import parse_settings

MIB = 2**20
QUEUE = FunctionFacts("work", "queuetrigger", False)
BUS = FunctionFacts("bus", "servicebustrigger", True)
HTTP = FunctionFacts("page", "httptrigger", False)


def settings(**values):
    environ = {f"FASTWORKER_{name.upper()}": str(value) for name, value in values.items()}
    return parse_settings(["--port", "0"], environ)


def facts(host=None, timeout_s=None, **more):
    given = settings(**more.pop("settings", {}))
    return Facts(given, host or HostJson(), timeout_s, **{"cpus": 2, "memory_bytes": 1024 * MIB, **more})


def test_what_fits_is_not_told_of():
    assert findings(facts(functions=(HTTP,), resident_bytes=50 * MIB)) == []


@pytest.mark.parametrize(
    ("given", "subject", "says", "change"),
    [
        ({"problems": ("app.py:3: no trigger",)}, "app", "no trigger", "as it says"),
        ({"packages": (Package("uvloop", "", "0.21"),)}, "packages", "not installed", "pip install 'uvloop>=0.21'"),
        (
            {"packages": (Package("orjson", "3.9.7", "3.10"),)},
            "packages",
            "3.9.7 is older",
            "pip install 'orjson>=3.10'",
        ),
        ({"settings": {"threads": 2}}, "threads", "makes 4 computing threads", "FASTWORKER_THREADS=auto"),
        ({"thread_limits": {"OMP_NUM_THREADS": "8"}}, "threads", "16 computing", "remove OMP_NUM_THREADS"),
        (
            {"settings": {"max_rss": "50MiB"}, "resident_bytes": 60 * MIB},
            "memory",
            "replaced after its first request",
            "FASTWORKER_MAX_RSS=120MiB, or off",
        ),
        (
            {"settings": {"max_rss": "900MiB"}, "resident_bytes": 100 * MIB},
            "memory",
            "1700MiB together",
            "FASTWORKER_MAX_RSS=562MiB, or fewer workers",
        ),
        (
            {"settings": {"preload": 0}, "resident_bytes": 600 * MIB},
            "memory",
            "1200MiB together",
            "FASTWORKER_PRELOAD=1, or FASTWORKER_WORKERS=1",
        ),
        ({"settings": {"max_buffered": "2GiB"}}, "memory", "2048MiB", "FASTWORKER_MAX_BUFFERED=auto"),
        (
            {"functions": (FunctionFacts("slow", "queuetrigger", False, 50.0),), "timeout_s": 30.0},
            "deadlines",
            "is cut to 29 s",
            '"functionTimeout": "00:00:54"',
        ),
        (
            {"functions": (HTTP,), "timeout_s": 30.0, "settings": {"deadline": 40}},
            "deadlines",
            "has 29 s, and not the 40 s",
            '"functionTimeout": "00:00:44"',
        ),
        (
            {
                "functions": (QUEUE,),
                "host": HostJson(
                    queues=QueueOptions(batch_size=16, new_batch_threshold=8),
                    concurrency=ConcurrencyOptions(batch_size=16),
                ),
            },
            "concurrency",
            "24 queue messages at once for each of work, and 2 can run",
            "sync --tune",
        ),
        (
            {"functions": (BUS,), "host": HostJson(concurrency=ConcurrencyOptions(service_bus_calls=500))},
            "concurrency",
            "500 Service Bus messages",
            "extensions.serviceBus.maxConcurrentCalls",
        ),
        (
            {"functions": (HTTP,), "host": HostJson(http=HttpOptions(max_concurrent=1))},
            "concurrency",
            "1 of them never do",
            "maxConcurrentRequests=2 or more",
        ),
        (
            {"functions": (QUEUE,), "host": HostJson(concurrency=ConcurrencyOptions(is_dynamic=True, batch_size=4))},
            "concurrency",
            "reads none of those",
            "dynamicConcurrencyEnabled",
        ),
        ({"lost_threads": {"Polars": 4}}, "threads", "Polars (4)", "FASTWORKER_PRELOAD=0"),
        (
            {"host": HostJson(http_mode="proxy"), "host_version": "4.1037.0"},
            "host",
            "this one is 4.1037.0",
            "enableForwardingHttpRequest",
        ),
    ],
)
def test_a_contradiction_is_told_with_the_line_to_change(given, subject, says, change):
    (found,) = [finding for finding in findings(facts(**given)) if finding.level == "contradiction"]
    assert found.subject == subject
    assert says in found.what
    assert change in found.change


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"settings": {"workers": 4}}, "4 workers on 2 usable CPUs"),
        ({"settings": {"workers": 1}}, "1 of them stay idle"),
        ({"functions": (QUEUE,)}, "has by default 32 queue messages"),
        ({"functions": (HTTP,), "timeout_s": 30.0}, "has 29 s, and not the 55 s"),
        ({"host": HostJson(http_mode="proxy")}, "--host-version tells doctor yours"),
        ({"settings": {"threads": "off"}}, "may start 2 threads"),
    ],
)
def test_what_is_only_a_default_is_advice(given, says):
    """And does not fail a pipeline."""
    (found,) = findings(facts(**given))
    assert (found.level, says in found.what) == ("advice", True)


def test_newer_hosts_and_dynamic_concurrency_are_left_alone():
    assert findings(facts(host=HostJson(http_mode="proxy"), host_version="4.1040.100")) == []
    dynamic = HostJson(concurrency=ConcurrencyOptions(is_dynamic=True))
    assert findings(facts(host=dynamic, functions=(QUEUE, BUS))) == []


def test_contradictions_come_first():
    found = findings(facts(functions=(QUEUE,), settings={"workers": 1}, lost_threads={"Polars": 1}))
    assert [finding.level for finding in found] == ["contradiction", "advice", "advice"]
    assert msgspec.json.decode(msgspec.json.encode(found[0]))["subject"] == "threads"
