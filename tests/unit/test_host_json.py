"""host.json as the real host judged it: what runs, what stops it, and what each value comes to."""

import json
from typing import Any

import pytest

from fastworker.config.host_json import HostJson, read_host_json

HANDLER = {"description": {"defaultExecutablePath": "python3", "arguments": ["h.py"]}}


def read(document: Any, **environ: str) -> HostJson:
    """A host.json of text, bytes, or members beside a version and a handler."""
    if isinstance(document, dict):
        document = json.dumps({"version": "2.0", "customHandler": HANDLER, **document})
    data = document.encode() if isinstance(document, str) else document
    return read_host_json("/app/host.json", data, environ)


def judged(found: HostJson) -> list[str]:
    return [*found.problems, *found.lacks]


WHOLE = '{"version": "2.0", "customHandler": {"description": {"defaultExecutablePath": "p"}}}'


@pytest.mark.parametrize(
    "data",
    [
        "/* a */ " + WHOLE + " // end",
        WHOLE.replace("}}}", "},},}"),
        WHOLE.replace('"', "'"),
        WHOLE.replace('"version"', "version").replace('"customHandler"', "customHandler"),
        b"\xef\xbb\xbf" + WHOLE.encode(),
        b"\xff\xfe" + WHOLE.encode("utf-16-le"),
        b"\xfe\xff" + WHOLE.encode("utf-16-be"),
        WHOLE.replace('"p"', '"caf\xe9"').encode("latin-1"),
        WHOLE.replace("{", '{"x": "a\tb\nc", ', 1),
        WHOLE.replace("{", '{"x": undefined, ', 1),
        '{"version": "1.0", ' + WHOLE[1:],
        WHOLE.replace("customHandler", "CUSTOMHANDLER").replace("description", "Description"),
    ],
    ids=lambda data: repr(data)[:40],
)
def test_json_that_the_host_takes_is_taken(data):
    """E-syn-*: Newtonsoft's leniency, byte order marks, bytes that are no UTF-8, keys in any case."""
    assert judged(read(data)) == []


@pytest.mark.parametrize(
    ("data", "place"),
    [
        ("", "host.json:1: is empty"),
        ("[]", "host.json:1: must hold a JSON object"),
        ('"x"', "host.json:1: must hold a JSON object"),
        ("null", "host.json:1: must hold a JSON object"),
        (WHOLE + " x", "host.json:1: is no JSON"),
        (WHOLE.replace(", ", ",, ", 1), "host.json:1: is no JSON"),
        ('{"version": "2.0",\n "x": "a\\q"}', "host.json:2: is no JSON"),
        ('{\n "version": "1.0"}', 'host.json:2: "version" must be the text "2.0"'),
        ('{"VERSION": "2.0"}', 'is spelt "version"'),
        (WHOLE.replace('"2.0"', "2.0"), '"version" must be'),
        (WHOLE.replace('"2.0"', '" 2.0 "'), '"version" must be'),
        (WHOLE.replace('"2.0"', "null"), '"version": "2.0" is missing'),
        ('{"version": "2.0"}', 'no "customHandler" section'),
        (None, "does not exist"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_file_that_stops_the_host_is_told_with_its_place(data, place):
    """E-syn-*, E-ver-*, E-sec-none."""
    found = judged(read(data))
    assert any(line.startswith("/app/host.json:") and place in line for line in found), found


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"functionTimeout": "five"}, "\"functionTimeout\": 'five' is no time span"),
        ({"functionTimeout": "300"}, "from 1 second to 24 days"),
        ({"functionTimeout": "00:00:00.5"}, "from 1 second"),
        ({"functionTimeout": "-00:00:01"}, "from 1 second"),
        ({"customHandler": {**HANDLER, "enableForwardingHttpRequest": 1}}, "true or false, not"),
        ({"customHandler": {**HANDLER, "enableForwardingHttpRequest": ""}}, "true or false, not"),
        ({"customHandler": {**HANDLER, "initializationTimeout": None}}, "is no time span"),
        ({"customHandler": {**HANDLER, "initializationTimeout": "00:00:00"}}, "greater than zero"),
        ({"customHandler": {**HANDLER, "port": "%PT%"}}, "whole number"),
        ({"customHandler": {**HANDLER, "port": 0}}, "whole number"),
        ({"customHandler": "python3"}, 'needs a "description"'),
        ({"customHandler": {"description": {"arguments": ["x"]}}}, "must name the program"),
        ({"customHandler": {"description": {"defaultExecutablePath": ["p"]}}}, "is a text, not an array"),
        ({"extensions": {"http": {"routePrefix": "/api"}}}, "with a slash at its begin or end"),
        ({"extensions": {"http": {"routePrefix": "api/"}}}, "write 'api'"),
        ({"extensions": {"http": {"maxOutstandingRequests": "many"}}}, "whole number"),
        ({"extensions": {"http": {"dynamicThrottlesEnabled": "yes"}}}, "true or false"),
        ({"extensions": {"queues": {"batchSize": 100}}}, "from 1 to 32"),
        ({"extensions": {"queues": {"maxPollingInterval": "00:00:00.05"}}}, "at least"),
        ({"extensions": {"queues": {"messageEncoding": "utf8"}}}, "one of none, base64"),
        ({"extensions": {"blobs": {"poisonBlobThreshold": 0}}}, "from 1"),
        ({"singleton": {"lockPeriod": "00:00:01"}}, "15 to 60 seconds"),
        ({"logging": {"logLevel": {"default": "loud"}}}, "is one of trace"),
        ({"logging": {"fileLoggingMode": "x"}}, "is one of never"),
        ({"concurrency": {"dynamicConcurrencyEnabled": "x"}}, "true or false"),
        ({"configurationProfile": "x"}, "is one of"),
        ({"retry": {"maxRetryCount": 2, "delayInterval": "00:00:01"}}, 'needs "minimumInterval"'),
        ({"retry": {"strategy": "x", "maxRetryCount": 2}}, "fixedDelay or exponentialBackoff"),
        ({"retry": {"strategy": "fixedDelay", "maxRetryCount": -2, "delayInterval": "00:00:01"}}, "or -1 for ever"),
        (
            {
                "retry": {
                    "strategy": "exponentialBackoff",
                    "maxRetryCount": 2,
                    "minimumInterval": "00:00:05",
                    "maximumInterval": "00:00:01",
                }
            },
            "must not be greater",
        ),
    ],
    ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else "",
)
def test_a_value_that_stops_the_host_is_told(members, words):
    """E-type-*, E-timeout-*, E-initto-*, E-http-*, E-top-*, E-retry-host-*, E-opt-*."""
    found = judged(read(members))
    assert len(found) == 1 and words in found[0] and found[0].startswith("/app/host.json:1: "), found


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"functionTimeout": "00:05:00"}, {"function_timeout_s": 300.0, "local_timeout_s": 300.0}),
        ({"functionTimeout": 5}, {"function_timeout_s": 5 * 86400.0}),
        ({"functionTimeout": -1}, {"function_timeout_s": None, "local_timeout_s": None}),
        ({"functionTimeout": ""}, {"function_timeout_s": None, "local_timeout_s": 1800.0}),
        ({"functionTimeout": None}, {"local_timeout_s": 1800.0}),
        ({"functionTimeout": " 00:05:00 "}, {"function_timeout_s": 300.0}),
        ({"extensions": {"http": {"routePrefix": None}}}, {"route_prefix": ""}),
        ({"extensions": {"http": {"routePrefix": 5}}}, {"route_prefix": "5"}),
        ({"Extensions": {"Http": {"RoutePrefix": "x"}}}, {"route_prefix": "x"}),
        ({"extensions": []}, {"route_prefix": "api"}),
        ({"extensions": {"http": []}}, {"route_prefix": "api"}),
        ({"http": {"routePrefix": "x"}}, {"route_prefix": "api"}),
        ({"customHandler": {**HANDLER, "enableForwardingHttpRequest": "True"}}, {"http_mode": "forward"}),
        ({"customHandler": {**HANDLER, "enableProxyingHttpRequest": True}}, {"http_mode": "proxy"}),
        ({"customHandler": {**HANDLER, "http": {"enableProxying": True}}}, {"http_mode": "proxy"}),
        ({"httpWorker": HANDLER}, {"http_mode": "envelope", "forwards_by_name": False}),
        ({"customHandler": None, "httpWorker": HANDLER}, {"http_mode": "forward"}),
        ({"customHandler": {**HANDLER, "port": "8081"}}, {"port": 8081}),
        ({"functions": ["a", "b"]}, {"function_filter": ("a", "b")}),
        ({"functions": []}, {"function_filter": None}),
        ({"retry": {}}, {"retry": None}),
        ({"retry": "x"}, {"retry": None}),
    ],
    ids=lambda value: json.dumps(value)[:70] if isinstance(value, dict) else "",
)
def test_values_come_to_what_the_host_makes_of_them(members, expected):
    """E-type-*, E-timeout-*, E-prefix-*, E-sec-*."""
    found = read(members)
    if "customHandler" not in members or members["customHandler"]:
        assert judged(found) == []
    assert {name: getattr(found, name) for name in expected} == expected


def test_old_section_forwards_by_name():
    """protocol 1.7: httpWorker always forwards, whatever else it says (E-sec-httpworker*)."""
    found = read(json.dumps({"version": "2.0", "httpWorker": {**HANDLER, "enableForwardingHttpRequest": False}}))
    assert (judged(found), found.http_mode, found.forwards_by_name) == ([], "forward", True)


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        ({"arguments": ["a", 1, True, None, 1.5]}, ("a", "1", "True", "", "1.5")),
        ({"arguments": {"b": "x", "a": "y"}}, ("y", "x")),
        ({"arguments": "plain"}, ()),
        ({"arguments": '["a", "b"]'}, ("a", "b")),
    ],
)
def test_arguments_are_texts(description, expected):
    """E-type-args-*, E-env-args-*."""
    members = {"customHandler": {"description": {"defaultExecutablePath": "p", **description}}}
    assert read(members).description.arguments == expected


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("AzureFunctionsJobHost__extensions__http__routePrefix", "x", {"route_prefix": "x"}),
        ("AZUREFUNCTIONSJOBHOST__EXTENSIONS__HTTP__ROUTEPREFIX", "", {"route_prefix": ""}),
        ("AzureFunctionsJobHost:extensions:http:routePrefix", "null", {"route_prefix": "null"}),
        ("AzureFunctionsJobHost__functionTimeout", "00:00:05", {"function_timeout_s": 5.0}),
        ("AzureFunctionsJobHost__customHandler__enableForwardingHttpRequest", "true", {"http_mode": "forward"}),
        ("AzureFunctionsJobHost__version", "1.0", {"problems": ()}),
        ("AzureFunctionsJobHost__functions__0", "hello", {"function_filter": ("hello",)}),
        ("CONTAINER_NAME", "abc", {"function_timeout_s": None, "problems": ()}),
    ],
)
def test_settings_override_the_file(name, value, expected):
    """E-env-*: in any case, with __ or :; the version is the file's alone."""
    found = read({}, **{name: value})
    assert {key: getattr(found, key) for key in expected} == expected


def test_one_element_of_an_array_can_be_overridden():
    """E-env-args-index0; a whole array as JSON takes the file's place (E-env-args-json)."""
    key = "AzureFunctionsJobHost__customHandler__description__arguments"
    two = {"customHandler": {"description": {"defaultExecutablePath": "p", "arguments": ["nonsense", "b"]}}}
    assert read(two, **{f"{key}__0": "a"}).description.arguments == ("a", "b")
    assert read(two, **{key: '["c"]'}).description.arguments == ("c",)


@pytest.mark.parametrize(("timeout", "runs"), [("00:10:00", True), ("00:11:00", False), ("-1", False)])
def test_the_consumption_plan_allows_ten_minutes(timeout, runs):
    """E-timeout-consumption-*."""
    alone = read({"functionTimeout": timeout}, CONTAINER_NAME="c")
    assert (judged(alone), ["Consumption" in line for line in alone.warnings]) == ([], [] if runs else [True])
    assert (judged(read({"functionTimeout": timeout}, CONTAINER_NAME="c", WEBSITE_SKU="Dynamic")) == []) is runs


def test_a_profile_passes_everything_on_with_the_level_of_the_file():
    """protocol 1.6, case a1-14: the profile's one route is of http.defaultAuthorizationLevel."""
    handler = {**HANDLER, "http": {"DefaultAuthorizationLevel": "anonymous"}}
    found = read({"configurationProfile": "MCP-custom-handler", "customHandler": handler})
    assert (found.http_mode, found.route_prefix, found.http_routes) == ("proxy", "", (("{*route}", "anonymous"),))
    assert read({"configurationProfile": "mcp-custom-handler"}).http_routes == (("{*route}", "function"),)


def test_keys_that_nobody_reads_are_named_once_with_the_nearest():
    """With file and line; what only newer hosts or extensions read is known all the same."""
    text = (
        '{"version": "2.0",\n"customHandler": {"description": {"defaultExecutablePath": "p"},\n'
        '"enableForwardingHttpRequests": true},\n"extensions": {"serviceBus": {"x": 1}},\n"foo": {"bar": 1}}'
    )
    assert [line.removeprefix("/app/") for line in read(text).warnings] == [
        'host.json:3: nobody reads "customHandler.enableForwardingHttpRequests": did you mean '
        '"enableForwardingHttpRequest"?',
        'host.json:5: nobody reads "foo": check its spelling and its place',
    ]


def test_keys_that_the_local_host_does_not_obey_are_known():
    """Every key that the documentation names is obeyed, or named as not obeyed."""
    found = read({"logging": {"logLevel": {"default": "Debug"}}, "extensions": {"http": {"hsts": {"isEnabled": True}}}})
    assert found.not_obeyed == ("extensions.http.hsts", "logging")


def test_both_sections_are_told():
    """E-sec-both."""
    found = read({"httpWorker": HANDLER})
    assert found.warnings == ("/app/host.json:1: customHandler is used, httpWorker is ignored",)
