"""Settings: the environment and the flags of `fastworker serve`, read once into one frozen Struct.

Called by cli.py; everybody else is handed the result. docs/configuration.md is the user's view of this file.
Rule: pure. Nobody else reads the environment, and every mistake is reported, not only the first one.
"""

import argparse
import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, NoReturn, get_args

import msgspec
from msgspec import Meta

from fastworker.deadline import CAP_S, DEFAULT_S, TimeLimits
from fastworker.errors import SettingsError
from fastworker.option_texts import least_and_most, parse_address, parse_ipv4, parse_size, parse_threads

PREFIX = "FASTWORKER_"
DEBUGPY_PORT = "5678"
# The only place where a Functions host looks (protocol 1.4).
LOOPBACK = "127.0.0.1"
ANYWHERE = "0.0.0.0"
PORT_NAMES = ("FUNCTIONS_CUSTOMHANDLER_PORT", "FUNCTIONS_HTTPWORKER_PORT")

Seconds = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]


# The standard variables that name a receiver of traces, and so turn them on.
OTLP_NAMES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER")
OTEL_NAMES = (
    *("OTEL_TRACES_EXPORTER", "OTEL_TRACES_SAMPLER", "OTEL_RESOURCE_ATTRIBUTES"),
    *("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"),
)
INSIGHTS = "APPLICATIONINSIGHTS_CONNECTION_STRING"
# What Azure tells an app about where it runs: attributes of every span (docs/tracing.md).
SITE_NAMES = (
    *("WEBSITE_SITE_NAME", "WEBSITE_SLOT_NAME", "WEBSITE_INSTANCE_ID", "WEBSITE_OWNER_NAME", "WEBSITE_RESOURCE_GROUP"),
    *("REGION_NAME", "CONTAINER_NAME"),
)

# Overrides of host.json, and what tells the plan.
HOST_SETTINGS = ("AZUREFUNCTIONSJOBHOST", "CONTAINER_NAME", "WEBSITE_INSTANCE_ID", "WEBSITE_SKU")


def option(
    expects: str, meaning: str, *, word: str | None = None, parse: Callable[[str], object] | None = None
) -> Meta:
    """What a field accepts and means; `word` stands for None (`auto`, `off`); `parse` replaces msgspec's."""
    return Meta(description=meaning, extra={"expects": expects, "word": word, "parse": parse})


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How this server is to run. Every field with an `option` has a variable and a flag of its name."""

    app: str | None = None
    app_root: str | None = None
    # XDG_RUNTIME_DIR: where the status socket is.
    runtime_folder: str | None = None
    # Started by a Functions host, which names the port in the environment; by hand it is False.
    under_host: bool = False
    # The host runs under Core Tools: its envelopes have a length then (protocol 2.1).
    core_tools: bool = False
    # Functions that app settings disable, in lower case; the host answers 404 for them.
    disabled: frozenset[str] = frozenset()
    port: Annotated[int, Meta(ge=0, le=65535)]
    # What the host reads its configuration from beside host.json (protocol 1.1): its own names only.
    host_settings: dict[str, str] = {}
    # Where spans go, if anywhere.
    traces: Literal["otel", "azure-monitor"] | None = None
    # The standard variables that are not left to OpenTelemetry's own reading alone, and what Azure tells of the app.
    otel: dict[str, str] = {}
    site: dict[str, str] = {}

    workers: Annotated[
        Annotated[int, Meta(ge=1, le=1024)] | None,
        option(
            "a whole number from 1 to 1024, a range such as 2-8, or auto",
            "worker processes; auto: usable CPUs; a range grows and shrinks as requests wait",
            word="auto",
        ),
    ] = None
    # The upper end, where `workers` is a range.
    most_workers: int | None = None
    spin: Annotated[
        Annotated[int, Meta(ge=0, le=10_000)] | None,
        option(
            "microseconds from 0 to 10000, or auto",
            "how long a worker polls before it blocks; auto: 50, or 0 while CPUs are not free",
            word="auto",
        ),
    ] = None
    concurrency: Annotated[
        Annotated[int, Meta(ge=1, le=4096)] | None,
        option(
            "a whole number from 1 to 4096, or auto",
            "async invocations in flight per worker; auto: 64, or 1 for a web application with `def` endpoints",
            word="auto",
        ),
    ] = None
    deadline: Annotated[
        Seconds | None,
        option(
            "seconds above 0, or auto",
            f"per invocation, counted from the host's send; auto: {DEFAULT_S:g}, or what the function itself says",
            word="auto",
        ),
    ] = None
    grace: Annotated[
        Seconds, option("seconds above 0", "from the soft deadline to the kill; deadline + grace is under the cap")
    ] = 2.0
    cap: Annotated[
        Seconds | None,
        option(
            "seconds above 0, or host",
            "no deadline + grace reaches it; host: host.json's functionTimeout",
            word="host",
        ),
    ] = CAP_S
    drain: Annotated[Seconds, option("seconds above 0", "for what is in flight after SIGTERM")] = 10.0
    start_timeout: Annotated[
        Seconds, option("seconds above 0", "for the app to be imported and the first worker to be ready")
    ] = 300.0
    read_timeout: Annotated[Seconds, option("seconds above 0", "for a request to arrive whole")] = 30.0
    max_body: Annotated[
        int, option("a size above 0 such as 100MiB, 2GB or 4096", "bytes of a client's body, decoded", parse=parse_size)
    ] = 100 * 2**20
    max_buffered: Annotated[
        int | None,
        option(
            "a size such as 512MiB, or auto",
            "bytes of all request bodies together, in all workers; auto: a quarter of the memory",
            word="auto",
            parse=parse_size,
        ),
    ] = None
    max_requests: Annotated[
        Count | None,
        option("a whole number from 1, or off", "requests after which a worker is recycled", word="off"),
    ] = None
    max_rss: Annotated[
        int | None,
        option(
            "a size such as 512MiB, or off",
            "resident bytes beyond which a worker is recycled",
            word="off",
            parse=parse_size,
        ),
    ] = None
    preload: Annotated[bool, option("1 or 0", "import the app once, before workers are forked")] = True
    threads: Annotated[
        int | None,
        option(
            "a whole number from 1, auto or off",
            "native threads (OpenMP, BLAS) per worker; auto: usable CPUs / workers",
            word="auto",
            parse=parse_threads,
        ),
    ] = None
    http_mode: Annotated[
        Literal["envelope", "forward", "proxy"] | None,
        option(
            "envelope, forward, proxy or auto", "what http-only functions get; auto: as host.json says", word="auto"
        ),
    ] = None
    mixed_auth: Annotated[
        Literal["refuse", "allow"],
        option("refuse or allow", "forwarded functions that could be run without the key that they need"),
    ] = "refuse"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        option("debug, info, warning or error", "the least severe record that is written"),
    ] = "info"
    log_format: Annotated[
        Literal["text", "json", "line"] | None,
        option(
            "text, json, line or auto",
            "of entries on stdout and stderr; auto: line under a host, else text",
            word="auto",
        ),
    ] = None

    telemetry: Annotated[
        Literal["otel", "azure-monitor", "off"] | None,
        option(
            "otel, azure-monitor, off or auto",
            "where the spans of invocations go; auto: by OTLP if a standard OTEL_ variable names a receiver",
            word="auto",
        ),
    ] = None

    address: Annotated[
        str,
        option(
            "an IPv4 address such as 127.0.0.1 or 0.0.0.0",
            "where requests are taken; 0.0.0.0 in a container without a Functions host, where nobody asks for keys",
            parse=parse_ipv4,
        ),
    ] = LOOPBACK
    metrics_port: Annotated[
        Annotated[int, Meta(ge=0, le=65535)] | None,
        option("a port from 0 (any) to 65535, or off", "serve metrics to Prometheus there", word="off"),
    ] = None
    metrics_address: Annotated[
        str,
        option(
            "an IP address such as 127.0.0.1 or ::1",
            "where metrics are served; 0.0.0.0 for a scraper in another pod",
            parse=parse_address,
        ),
    ] = "127.0.0.1"

    debugpy: Annotated[
        Annotated[int, Meta(ge=1, le=65535)] | None,
        option("a port, or off", "listen for a debugger: one worker, no deadlines", word="off"),
    ] = None

    @property
    def limits(self) -> TimeLimits:
        """What is set of time, for deadline.py's rules."""
        return TimeLimits(self.deadline, self.grace, self.cap)

    @property
    def app_name(self) -> str:
        """What the app is called where nothing else names it: its folder, or its module."""
        named = self.app_root or (self.app or "").removesuffix("function_app.py").partition(":")[0]
        return named.rstrip("/").rpartition("/")[2].removesuffix(".py").strip(".") or "fastworker"

    @property
    def on_mixed_auth(self) -> Literal["refuse", "allow", "warn"]:
        """What becomes of an app whose functions could be run without their key; by hand nobody asks for keys."""
        return self.mixed_auth if self.under_host else "warn"


def options() -> dict[str, Meta]:
    """The configurable fields by name, each with its `option`."""
    found = {}
    for field in msgspec.structs.fields(Settings):
        metas = [meta for meta in get_args(field.type)[1:] if isinstance(meta, Meta) and meta.extra]
        if metas:
            found[field.name] = metas[0]
    return found


def parse_settings(argv: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """The settings of `fastworker serve *argv` under `environ`.

    A flag wins over the variable of the same name. The port is the exception: the host's variables win over
    `--port`, for the host will knock nowhere else.

    Raises:
        SettingsError: with every mistake found, not only the first.
    """
    problems: list[str] = []
    flags = _parse_flags(argv, problems)
    known = options()

    values: dict[str, Any] = {
        "app": flags.pop("app"),
        "app_root": environ.get("FUNCTIONS_APP_ROOT_PATH") or None,
        "runtime_folder": environ.get("XDG_RUNTIME_DIR") or None,
        "under_host": any(environ.get(name) for name in PORT_NAMES),
        "host_settings": {name: text for name, text in environ.items() if name.upper().startswith(HOST_SETTINGS)},
        "core_tools": bool(environ.get("FUNCTIONS_CORETOOLS_ENVIRONMENT")),
        "disabled": disabled_functions(environ),
        "otel": {name: environ[name] for name in OTEL_NAMES if environ.get(name)},
        "site": {name: environ[name] for name in SITE_NAMES if environ.get(name)},
    }
    values["port"] = _port(flags.pop("port"), environ, problems)
    sources = {name: (PREFIX + name.upper(), environ.get(PREFIX + name.upper())) for name in known}
    if sources["workers"][1] is None and "FUNCTIONS_WORKER_PROCESS_COUNT" in environ:
        sources["workers"] = ("FUNCTIONS_WORKER_PROCESS_COUNT", environ["FUNCTIONS_WORKER_PROCESS_COUNT"])
    for name, text in flags.items():
        sources[name] = (_flag(name), text)
    sources["workers"], values["most_workers"] = least_and_most(*sources["workers"])

    fields = {field.name: field for field in msgspec.structs.fields(Settings)}
    for name, (source, text) in sources.items():
        if text is None:
            continue
        try:
            values[name] = _convert(text, fields[name].type, known[name])
        except (ValueError, msgspec.ValidationError):
            problems.append(f"{source}={text!r}: expected {(known[name].extra or {})['expects']}")
    values["traces"] = traces_wanted(environ, values.get("telemetry"))
    if values["traces"] == "azure-monitor" and not environ.get(INSIGHTS):
        problems.append(f"FASTWORKER_TELEMETRY='azure-monitor': {INSIGHTS} is not set: set it, or say 'otel'")
    problems += _unknown_names(environ, known)
    problems += _too_late(values, fields)
    if values["under_host"] and values.get("address", LOOPBACK) not in (LOOPBACK, ANYWHERE):
        problems.append(
            f"FASTWORKER_ADDRESS={values['address']}: a Functions host has started this server, and looks for it on "
            f"{LOOPBACK} only; leave FASTWORKER_ADDRESS out"
        )
    if problems:
        raise SettingsError(problems)
    return Settings(**values)


def traces_wanted(environ: Mapping[str, str], telemetry: str | None = None) -> Literal["otel", "azure-monitor"] | None:
    """Where spans go: as `telemetry` says, or the variable of FASTWORKER_TELEMETRY; else as the standard ones do."""
    telemetry = telemetry or environ.get(f"{PREFIX}TELEMETRY", "auto").strip()
    if telemetry == "off" or environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    if telemetry == "azure-monitor":
        return "azure-monitor"
    if environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none":
        return None
    return "otel" if telemetry == "otel" or any(environ.get(name) for name in OTLP_NAMES) else None


def disabled_functions(environ: Mapping[str, str]) -> frozenset[str]:
    """In lower case, the functions that `AzureWebJobs.NAME.Disabled` or `AzureWebJobs_NAME_Disabled` turn off.

    Names in any case; `true` in any case or `1`, without blanks (protocol 6.1).
    """
    found = set()
    for name, value in environ.items():
        match = re.fullmatch(r"azurewebjobs(?:\.(.+)\.|_(.+)_)disabled", name.lower())
        if match is not None and value.lower() in ("true", "1"):
            found.add(match[1] or match[2])
    return frozenset(found)


def build_parser() -> argparse.ArgumentParser:
    """The flags of `fastworker serve`; their values stay text until `parse_settings` has seen them all."""
    parser = _Parser(
        prog="fastworker serve",
        allow_abbrev=False,
        description="Serve Azure Functions as a custom handler.",
        epilog="Each flag has an environment variable of the same name: --workers is FASTWORKER_WORKERS.",
    )
    parser.add_argument("app", nargs="?", metavar="APP", help="function_app.py, module:attribute or a folder")
    parser.add_argument("--port", "-p", nargs="?", const="", help=f"on --address; the host's {PORT_NAMES[0]} wins")
    for name, meta in options().items():
        expects = (meta.extra or {})["expects"]
        # As debugpy's own documentation has it, its port may be left out; of all others a missing value is told later.
        missing = DEBUGPY_PORT if name == "debugpy" else ""
        help_text = f"{meta.description} ({expects})"
        short = ("-w",) if name == "workers" else ()  # gunicorn's
        parser.add_argument(_flag(name), *short, nargs="?", const=missing, metavar="VALUE", help=help_text)
    return parser


class _Parser(argparse.ArgumentParser):
    """argparse leaves the process at the first mistake; ours are collected with all the others."""

    def error(self, message: str) -> NoReturn:
        raise argparse.ArgumentError(None, message)


def _parse_flags(argv: Sequence[str], problems: list[str]) -> dict[str, str | None]:
    parser = build_parser()
    try:
        namespace, rest = parser.parse_known_args(argv)
    except argparse.ArgumentError as error:
        problems.append(f"{error}; see fastworker serve --help")
        namespace, rest = parser.parse_args([]), []
    names = ["--port", *(_flag(name) for name in options())]
    if rest:
        from fastworker import flag_hints  # noqa: PLC0415 - nobody else needs it

        problems += flag_hints.unknown_flags(rest, names, flag_hints.SERVE, "serve")
    given = vars(namespace)
    return {name: text for name, text in given.items() if text is not None or name in ("app", "port")}


def app_argument(argv: Sequence[str]) -> str | None:
    """The APP of `fastworker serve *argv`; None if there is none."""
    return _parse_flags(argv, []).get("app")


def _port(flag: str | None, environ: Mapping[str, str], problems: list[str]) -> int:
    named = [(name, environ[name]) for name in PORT_NAMES if environ.get(name)]
    if flag is not None:
        named.append(("--port", flag))
    if not named:
        problems.append(f"no port: the host sets {PORT_NAMES[0]}; elsewhere give --port NUMBER")
        return 0
    source, text = named[0]
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        problems.append(f"{source}={text!r}: expected a port from 0 to 65535")
        return 0
    return int(text)


def _convert(text: str, kind: Any, meta: Meta) -> Any:
    extra = meta.extra or {}
    text = text.strip()
    if extra["word"] is not None and text.lower() == extra["word"]:
        return None
    if extra["parse"] is not None:
        return extra["parse"](text)
    if text.lower() in ("null", "nan", "inf", "infinity", "-inf"):
        raise ValueError(text)  # msgspec would take them; no option does
    return msgspec.convert(text, kind, strict=False)


def _unknown_names(environ: Mapping[str, str], known: Mapping[str, Meta]) -> list[str]:
    names = [PREFIX + name.upper() for name in known]
    problems = []
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in names:
            nearest = difflib.get_close_matches(name, names, 1, cutoff=0)
            problems.append(f"{name}: no such setting; the nearest is {nearest[0]}")
    return problems


def _too_late(values: Mapping[str, Any], fields: Mapping[str, Any]) -> list[str]:
    deadline, grace, cap = (values.get(name, fields[name].default) for name in ("deadline", "grace", "cap"))
    if deadline is None:
        deadline = DEFAULT_S
    if cap is None or deadline + grace < cap:
        return []
    return [
        f"FASTWORKER_DEADLINE={deadline:g} and FASTWORKER_GRACE={grace:g}: {deadline:g} + {grace:g} = "
        f"{deadline + grace:g} s, but deadline + grace must be under {cap:g} s (FASTWORKER_CAP); lower one of them, or "
        f"set FASTWORKER_CAP (seconds, or host) where the host waits longer"
    ]


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
