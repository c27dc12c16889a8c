"""settings.py: every row of the configuration table, from the environment and from the flags."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastworker.errors import SettingsError
from fastworker.option_texts import parse_size
from fastworker.settings import PREFIX, Settings, build_parser, options, parse_settings

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
HOST = {"FUNCTIONS_CUSTOMHANDLER_PORT": "4711"}
MIB = 2**20

# name, default, (text, value)..., texts that are wrong
SECONDS_WRONG = ["0", "-1", "nan", "inf", "-inf", "1e999", "null", "5s", "", "auto"]
TABLE: list[tuple[str, Any, list[Any], list[str]]] = [
    (
        "workers",
        None,
        [("1", 1), ("1024", 1024), ("auto", None), ("AUTO", None)],
        ["0", "1025", "2.5", "two", "", "off", "8-2", "0-2", "2-1025", "2-", "-2"],
    ),
    ("spin", None, [("0", 0), ("10000", 10000), ("auto", None)], ["-1", "10001", "0.5", "off"]),
    ("concurrency", None, [("1", 1), ("4096", 4096), ("auto", None)], ["0", "4097", "null"]),
    ("deadline", None, [("0.5", 0.5), ("57.9", 57.9), (" 7 ", 7.0), ("auto", None)], SECONDS_WRONG[:-1]),
    ("grace", 2.0, [("0.1", 0.1), ("4", 4.0)], SECONDS_WRONG),
    ("cap", 60.0, [("300", 300.0), ("57.5", 57.5), ("host", None), ("HOST", None)], SECONDS_WRONG),
    ("drain", 10.0, [("0.5", 0.5), ("120", 120.0)], SECONDS_WRONG),
    ("start_timeout", 300.0, [("0.5", 0.5), ("900", 900.0)], SECONDS_WRONG),
    ("read_timeout", 30.0, [("0.5", 0.5), ("90", 90.0)], SECONDS_WRONG),
    (
        "max_body",
        100 * MIB,
        [("4096", 4096), ("2GB", 2 * 10**9), ("1 KiB", 1024), ("5mb", 5 * 10**6), ("7B", 7)],
        ["0", "0MiB", "-1", "1.5GB", "MiB", "1TB", "off", "", "9" * 5000],
    ),
    (
        "max_buffered",
        None,
        [("4096", 4096), ("512MiB", 512 * MIB), ("auto", None)],
        ["0", "-1", "half", "off", "1.5GB"],
    ),
    ("max_requests", None, [("1", 1), ("100000", 100000), ("off", None)], ["0", "-1", "1.5", "auto"]),
    ("max_rss", None, [("512MiB", 512 * MIB), ("off", None)], ["0", "half", "auto", "1.5GB"]),
    ("preload", True, [("0", False), ("1", True)], ["2", "yes", "", "null"]),
    ("threads", None, [("1", 1), ("16", 16), ("off", 0), ("auto", None)], ["0", "-1", "1.5", "", "99999"]),
    ("http_mode", None, [("proxy", "proxy"), ("envelope", "envelope"), ("auto", None)], ["raw", ""]),
    ("mixed_auth", "refuse", [("allow", "allow"), ("refuse", "refuse")], ["1", "", "deny"]),
    ("log_level", "info", [(level, level) for level in ("debug", "info", "warning", "error")], ["warn", "", "null"]),
    ("log_format", None, [("text", "text"), ("json", "json"), ("line", "line"), ("auto", None)], ["xml", ""]),
    ("telemetry", None, [("otel", "otel"), ("off", "off"), ("auto", None)], ["on", "azure", "", "1"]),
    ("address", "127.0.0.1", [("0.0.0.0", "0.0.0.0"), ("127.0.0.1", "127.0.0.1")], ["", "localhost", "::1", "1.2.3"]),
    ("metrics_port", None, [("9108", 9108), ("0", 0), ("off", None)], ["65536", "-1", "on", ""]),
    ("metrics_address", "127.0.0.1", [("0.0.0.0", "0.0.0.0"), ("::1", "::1")], ["", "localhost", "1.2.3", "::1:80:"]),
    ("debugpy", None, [("5678", 5678), ("off", None)], ["0", "65536", "1.5", "auto", ""]),
]
NAMES = [row[0] for row in TABLE]


def variable(name: str) -> str:
    return PREFIX + name.upper()


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def problems_of(*argv: str, environ: dict[str, str] | None = None) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        parse_settings(argv, HOST if environ is None else environ)
    assert caught.value.exit_code == 2
    return caught.value.problems


def test_the_table_is_complete():
    """A new option needs a row here, and a flag."""
    assert list(options()) == NAMES
    assert {flag(name) for name in NAMES} | {"--port"} <= set(build_parser()._option_string_actions)


@pytest.mark.parametrize(("name", "default"), [row[:2] for row in TABLE])
def test_an_option_that_nobody_gives_has_its_default(name, default):
    """The default is the design's."""
    assert getattr(parse_settings([], HOST), name) == default


@pytest.mark.parametrize(("name", "text", "value"), [(row[0], *pair) for row in TABLE for pair in row[2]])
def test_an_option_is_read_from_its_variable_or_its_flag(name, text, value):
    """Both take the same texts, and the flag wins."""
    other = next(other for row in TABLE if row[0] == name for other, _ in row[2][::-1])
    assert getattr(parse_settings([], HOST | {variable(name): text}), name) == value
    assert getattr(parse_settings([flag(name), text], HOST | {variable(name): other}), name) == value


@pytest.mark.parametrize(("name", "text"), [(row[0], text) for row in TABLE for text in row[3]])
def test_a_wrong_value_is_refused_by_name(name, text):
    """The problem shows what was given, where, and what would do; the same for both ways."""
    expects = (options()[name].extra or {})["expects"]
    assert problems_of(environ=HOST | {variable(name): text}) == (f"{variable(name)}={text!r}: expected {expects}",)
    assert problems_of(f"{flag(name)}={text}") == (f"{flag(name)}={text!r}: expected {expects}",)


def test_all_mistakes_are_reported_together():
    """One start, one list: wrong values, unknown names, unknown flags, no port, deadlines that do not add up."""
    environ = {variable(name): "?" for name in NAMES} | {"FASTWORKER_WROKERS": "4", "OTHER_WROKERS": "4"}
    del environ[variable("deadline")]
    problems = problems_of("--nonsense", "--grace", "58", environ=environ)
    named = {problem.split("=")[0].split(":")[0] for problem in problems}
    wrong = {variable(name) for name in NAMES if name not in ("deadline", "grace")}
    assert named == wrong | {"FASTWORKER_WROKERS", "--nonsense", "no port", "FASTWORKER_DEADLINE"}
    assert len(problems) == len(named)


def test_the_last_line_of_many_problems_names_a_cause():
    """The host shows only the end of what was written."""
    with pytest.raises(SettingsError) as caught:
        parse_settings([], {"FASTWORKER_SPIN": "?", "FASTWORKER_DRAIN": "?"})
    title, *listed, last = str(caught.value).splitlines()
    assert title == "bad configuration: 3 problems"
    assert len(listed) == 2
    assert last.startswith("  - FASTWORKER_")


@pytest.mark.parametrize("name", NAMES)
def test_a_misspelt_name_is_an_error_with_the_nearest_one(name):
    """A variable with a letter too many and a flag with a letter missing both lead to the option."""
    wrong = variable(name) + "X"
    assert problems_of(environ=HOST | {wrong: "1"}) == (f"{wrong}: no such setting; the nearest is {variable(name)}",)
    wrong = flag(name).replace("--", "--x", 1)
    assert problems_of(wrong) == (f"{wrong}: no such argument; did you mean {flag(name)}?",)


def test_other_peoples_variables_are_left_alone():
    """Only FASTWORKER_ is ours."""
    parse_settings([], HOST | {"AzureWebJobsStorage": "x", "MY_FASTWORKER_X": "1", "PATH": "/bin"})


@pytest.mark.parametrize(
    ("deadline", "grace", "good"),
    [("57.9", "2", True), ("58", "2", False), ("55", "4.9", True), ("55", "5", False), ("59.5", "0.4", True)],
)
def test_deadline_and_grace_must_be_under_the_cap(deadline, grace, good):
    """Nothing is answered later than 60 s after the host sent it; also with one of the two at its default."""
    given = {"FASTWORKER_DEADLINE": deadline, "FASTWORKER_GRACE": grace}
    defaults = {"FASTWORKER_DEADLINE": "55", "FASTWORKER_GRACE": "2"}
    for environ in (given, {name: text for name, text in given.items() if text != defaults[name]}):
        if good:
            parse_settings([], HOST | environ)
        else:
            [problem] = problems_of(environ=HOST | environ)
            assert f"FASTWORKER_DEADLINE={deadline} and FASTWORKER_GRACE={grace}" in problem
            assert "must be under 60 s" in problem


def test_the_cap_is_lifted_by_a_setting_of_its_own():
    """With it longer deadlines are taken; the sum is still shown where it is reached."""
    parse_settings([], HOST | {"FASTWORKER_DEADLINE": "290", "FASTWORKER_CAP": "300"})
    parse_settings([], HOST | {"FASTWORKER_DEADLINE": "3000", "FASTWORKER_CAP": "host"})
    [problem] = problems_of(environ=HOST | {"FASTWORKER_DEADLINE": "298", "FASTWORKER_CAP": "300"})
    assert "298 + 2 = 300 s" in problem
    assert "must be under 300 s" in problem


@pytest.mark.parametrize(
    ("environ", "argv", "port"),
    [
        ({"FUNCTIONS_CUSTOMHANDLER_PORT": "1", "FUNCTIONS_HTTPWORKER_PORT": "2"}, ["--port", "3"], 1),
        ({"FUNCTIONS_HTTPWORKER_PORT": "2"}, ["--port", "3"], 2),
        ({"FUNCTIONS_CUSTOMHANDLER_PORT": "", "FUNCTIONS_HTTPWORKER_PORT": ""}, ["--port", "3"], 3),
        ({}, ["--port", "0"], 0),
        ({}, ["--port=65535"], 65535),
    ],
)
def test_the_port_is_the_hosts_where_there_is_a_host(environ, argv, port):
    """The host knocks at its own port and nowhere else, so its variables win over the flag."""
    assert parse_settings(argv, environ).port == port


@pytest.mark.parametrize("text", ["65536", "-1", "http", "80.0", "\u0663", " 80"])
def test_a_wrong_port_is_refused_by_name(text):
    """Whoever gave it."""
    assert problems_of(environ={"FUNCTIONS_HTTPWORKER_PORT": text})[0].startswith("FUNCTIONS_HTTPWORKER_PORT=")
    assert problems_of(f"--port={text}", environ={})[0].startswith("--port=")


def test_no_port_at_all_is_an_error_that_says_how_to_give_one():
    """Somebody has started the command by hand."""
    [problem] = problems_of(environ={})
    assert "FUNCTIONS_CUSTOMHANDLER_PORT" in problem
    assert "--port" in problem


def test_a_flag_without_a_value_does_not_make_others_look_missing():
    """One mistake is one problem: the port was given."""
    [problem] = problems_of("--port", "80", "--workers", environ={})
    assert "--workers" in problem


def test_the_hosts_process_count_counts_unless_ours_is_given():
    """FUNCTIONS_WORKER_PROCESS_COUNT is what users of the Python worker know; it is checked alike."""
    count = HOST | {"FUNCTIONS_WORKER_PROCESS_COUNT": "3"}
    assert parse_settings([], count).workers == 3
    assert parse_settings([], count | {"FASTWORKER_WORKERS": "5"}).workers == 5
    assert parse_settings([], count | {"FASTWORKER_WORKERS": "auto"}).workers is None
    assert parse_settings(["--workers", "7"], count).workers == 7
    [problem] = problems_of(environ=HOST | {"FUNCTIONS_WORKER_PROCESS_COUNT": "0"})
    assert problem.startswith("FUNCTIONS_WORKER_PROCESS_COUNT='0'")


def test_the_app_and_its_folder():
    """APP is the one positional argument; the folder is where the host says it is."""
    environ = HOST | {"FUNCTIONS_APP_ROOT_PATH": "/home/site/wwwroot"}
    settings = parse_settings(["module:app", "--workers", "2"], environ)
    assert (settings.app, settings.app_root) == ("module:app", "/home/site/wwwroot")
    settings = parse_settings([], HOST | {"FUNCTIONS_APP_ROOT_PATH": ""})
    assert (settings.app, settings.app_root) == (None, None)
    assert problems_of("a.py", "b.py") == ("b.py: no such argument; see fastworker serve --help",)


def test_settings_cannot_be_changed():
    """Read once, the same for every process."""
    settings = parse_settings([], HOST)
    with pytest.raises(AttributeError):
        settings.workers = 3  # type: ignore[misc]


@given(st.dictionaries(st.sampled_from(sorted(map(variable, NAMES))), st.text(max_size=12), max_size=4))
def test_any_text_is_a_setting_or_a_problem_of_that_name(environ):
    """No value of a variable raises anything else, or is blamed on another one."""
    try:
        parse_settings([], HOST | environ)
    except SettingsError as error:
        assert {re.split("[=:]", problem)[0] for problem in error.problems} <= {*environ, "FASTWORKER_DEADLINE"}


@pytest.mark.parametrize("text", ["", "MiB", "1,5MB", "1 2", "0", "00KB", "1TiB", "0x10", "\u0663"])
def test_a_size_is_a_number_with_a_unit(text):
    """Anything else, and nothing at all, is no size."""
    with pytest.raises(ValueError, match=r".*"):
        parse_size(text)


def test_help_explains_every_flag(capsys):
    """`serve --help` works (argparse formats the texts with %) and leaves with 0."""
    with pytest.raises(SystemExit) as left:
        parse_settings(["--help"], {})
    assert left.value.code == 0
    shown = capsys.readouterr().out
    assert all(flag(name) in shown for name in NAMES)


def test_the_page_of_the_documentation_has_a_row_for_every_option():
    """docs/configuration.md: a table row `| `FASTWORKER_X` | `default` | ...` each, and the ports' names."""
    rows = dict(re.findall(r"^\| `(FASTWORKER_[A-Z_]+)`[^|]*\| `([^`]*)`[^|]*\|", PAGE.read_text(), re.MULTILINE))
    defaults = {
        **{variable(name): str(default) for name, default, *_ in TABLE},
        **{variable(name): f"{default:g}" for name, default, *_ in TABLE if isinstance(default, float)},
        **{variable(name): (options()[name].extra or {})["word"] for name, default, *_ in TABLE if default is None},
        "FASTWORKER_PRELOAD": "1",
        "FASTWORKER_MAX_BODY": "100MiB",
    }
    assert rows == defaults
    for name in ("FUNCTIONS_CUSTOMHANDLER_PORT", "FUNCTIONS_HTTPWORKER_PORT", "FUNCTIONS_WORKER_PROCESS_COUNT"):
        assert f"`{name}`" in PAGE.read_text()


def test_a_port_in_the_environment_means_that_a_host_started_the_server():
    """The host names its port in the environment; a port by flag is somebody's own start."""
    assert parse_settings([], {"FUNCTIONS_CUSTOMHANDLER_PORT": "1"}).under_host
    assert parse_settings([], {"FUNCTIONS_HTTPWORKER_PORT": "1"}).under_host
    assert not parse_settings(["--port", "1"], {}).under_host


@pytest.mark.parametrize(
    ("name", "value", "is_disabled"),
    [
        ("AzureWebJobs.Work.Disabled", "true", True),
        ("AzureWebJobs.work.Disabled", "1", True),
        ("AzureWebJobs_work_Disabled", "True", True),
        ("AZUREWEBJOBS.WORK.DISABLED", "TRUE", True),
        ("AzureWebJobs.work.Disabled", " true ", False),
        ("AzureWebJobs.work.Disabled", "yes", False),
        ("AzureWebJobs.work.Disabled", "0", False),
        ("AzureWebJobs.work.Disabled", "", False),
        ("AzureWebJobs__work__Disabled", "true", False),
        ("AzureWebJobs:work:Disabled", "true", False),
        ("work.Disabled", "true", False),
    ],
)
def test_functions_that_app_settings_disable_are_known(name, value, is_disabled):
    """As the host was recorded: names in any case, values without blanks."""
    assert ("work" in parse_settings([], {**HOST, name: value}).disabled) == is_disabled


def test_core_tools_are_known_by_their_variable():
    """The handler inherits it from the host."""
    assert parse_settings([], {**HOST, "FUNCTIONS_CORETOOLS_ENVIRONMENT": "true"}).core_tools
    assert not parse_settings([], {**HOST, "FUNCTIONS_CORETOOLS_ENVIRONMENT": ""}).core_tools


@pytest.mark.parametrize(
    ("variables", "traces"),
    [
        ({}, None),
        ({"OTEL_SERVICE_NAME": "shop", "OTEL_TRACES_SAMPLER": "always_on"}, None),  # nobody to send to
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4318"}, "otel"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x:4318/v1/traces"}, "otel"),
        ({"OTEL_TRACES_EXPORTER": "console"}, "otel"),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4318"}, None),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4318"}, None),
        ({"OTEL_SDK_DISABLED": "true", "FASTWORKER_TELEMETRY": "otel"}, None),
        ({"FASTWORKER_TELEMETRY": "otel"}, "otel"),
        ({"FASTWORKER_TELEMETRY": "off", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4318"}, None),
        ({"APPLICATIONINSIGHTS_CONNECTION_STRING": "InstrumentationKey=0"}, None),  # the host has it always
        (
            {"FASTWORKER_TELEMETRY": "azure-monitor", "APPLICATIONINSIGHTS_CONNECTION_STRING": "InstrumentationKey=0"},
            "azure-monitor",
        ),
    ],
)
def test_traces_are_on_when_the_standard_variables_or_our_own_say_so(variables, traces):
    """And only then."""
    assert parse_settings([], HOST | variables).traces == traces


def test_azure_monitor_without_a_connection_string_is_refused():
    """Nobody would get the spans."""
    (problem,) = problems_of(environ=HOST | {"FASTWORKER_TELEMETRY": "azure-monitor"})
    assert "APPLICATIONINSIGHTS_CONNECTION_STRING is not set" in problem


@pytest.mark.parametrize(
    ("app", "root", "name"),
    [
        ("function_app.py", "/home/site/wwwroot", "wwwroot"),
        ("shop/function_app.py", None, "shop"),
        ("shop.py", None, "shop"),
        ("shop:app", None, "shop"),
        (".", None, "fastworker"),
        (None, None, "fastworker"),
    ],
)
def test_an_app_without_a_name_is_called_by_its_folder_or_module(app, root, name):
    """As `service.name` of its spans."""
    assert Settings(port=0, app=app, app_root=root).app_name == name


def test_under_a_host_the_server_must_be_where_the_host_looks():
    """127.0.0.1, or everywhere; elsewhere the host would give up after minutes, without a word why."""
    host = {"FUNCTIONS_CUSTOMHANDLER_PORT": "4000"}
    assert parse_settings([], host).address == "127.0.0.1"
    assert parse_settings([], host | {"FASTWORKER_ADDRESS": "0.0.0.0"}).address == "0.0.0.0"
    with pytest.raises(SettingsError, match=r"looks for it on 127\.0\.0\.1 only"):
        parse_settings(["--address", "10.0.0.5"], host)
    assert parse_settings(["--address", "10.0.0.5", "--port", "80"], {}).address == "10.0.0.5"


@pytest.mark.parametrize("text", ["2-8", " 2 - 8 "])
def test_a_range_of_workers_has_two_ends(text):
    settings = parse_settings([], {**HOST, "FASTWORKER_WORKERS": text})
    assert (settings.workers, settings.most_workers) == (2, 8)
    assert parse_settings(["--workers", "3"], {**HOST, "FASTWORKER_WORKERS": text}).most_workers is None
