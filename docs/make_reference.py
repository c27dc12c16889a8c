"""Writes docs/reference.md from the docstrings of everything public: `python docs/make_reference.py`.

A test fails while the page differs from what this makes, and runs every example on it.
"""

import inspect
import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

import fastworker
from fastworker import testing
from fastworker.errors import FastworkerError
from fastworker.functions.ai_decorators import AiDecorators
from fastworker.functions.app import App
from fastworker.functions.dapr_decorators import DaprDecorators
from fastworker.functions.database_decorators import DatabaseDecorators
from fastworker.functions.declarations import COMMON_ARGUMENTS
from fastworker.functions.input_decorators import InputDecorators
from fastworker.functions.output_decorators import OutputDecorators
from fastworker.functions.trigger_decorators import TriggerDecorators
from fastworker.settings import PREFIX, Settings, options

PAGE = Path(__file__).parent / "reference.md"
DECORATORS = {
    "Triggers": TriggerDecorators,
    "Inputs": InputDecorators,
    "Outputs": OutputDecorators,
    "SQL and MySQL": DatabaseDecorators,
    "Dapr": DaprDecorators,
    "MCP and OpenAI": AiDecorators,
}
APP = ("function", "include", "retry", "on_worker_start", "on_worker_stop")
TYPES = {
    "Requests and responses": ("Request", "Response", "EventStream", "Event"),
    "What a handler gets and gives": ("Context", "Out", "Result", "DeadlineExceeded"),
    "Types of triggers": (
        "Blob",
        "QueueMessage",
        "ServiceBusMessage",
        "EventHubEvent",
        "EventGridEvent",
        "CloudEvent",
        "TimerRequest",
    ),
}
TESTING = ("TestClient", "InvocationResult", "HttpResponse")
SIGNALS = {
    "SIGTERM, SIGINT": "stop: no new work, what is in flight has FASTWORKER_DRAIN seconds; a second one ends at once",
    "SIGHUP": "reload: the app is imported anew and the workers are replaced one by one",
    "SIGUSR1": "write the board (who runs what since when) to the log",
    "SIGTERM to one worker": "it finishes what it has and is replaced",
}


def page() -> str:
    """The whole page."""
    parts = [
        "# Reference",
        "Every public name, made from the docstrings by `python docs/make_reference.py`. In the examples `fw` is the "
        "module `fastworker` and `app` is `fw.App()`. Sections of the protocol are those of "
        "[protocol.md](protocol.md).",
        "## App",
        _class("App", App, list(APP)),
    ]
    for title, cls in DECORATORS.items():
        parts += [f"## {title}", inspect.getdoc(cls) or ""]
        parts += [_member(f"@app.{name}", member, common=COMMON_ARGUMENTS) for name, member in _public(cls)]
    for title, names in TYPES.items():
        parts.append(f"## {title}")
        parts += [_class(name, getattr(fastworker, name), None) for name in names]
    parts.append("## Tests without a server (`fastworker.testing`)")
    parts += [_class(name, getattr(testing, name), None) for name in TESTING]
    parts += ["## Settings", _settings(), "## Signals", _table(("signal", "what `fastworker serve` does"), SIGNALS)]
    parts += ["## Exit codes", _exit_codes()]
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def examples() -> list[tuple[str, str]]:
    """The Python code on the page, each with the heading that it stands under."""
    found = []
    heading = ""
    for part in re.split(r"^(#{2,4} .*)$", page(), flags=re.M):
        if part.startswith("#"):
            heading = part.lstrip("# ")
        found += [(heading, code) for code in re.findall(r"```python\n(.*?)```", part, flags=re.S)]
    return found


def _public(cls: type) -> list[tuple[str, Any]]:
    return [
        (name, member)
        for name, member in vars(cls).items()
        if not name.startswith("_") and (callable(member) or isinstance(member, property | staticmethod))
    ]


def _class(name: str, cls: type, members: list[str] | None) -> str:
    parts = [f"### {name}", _signature(name, cls), _text(inspect.getdoc(cls) or "")]
    chosen = _public(cls) if members is None else [(member, getattr(cls, member)) for member in members]
    for member_name, member in chosen:
        parts.append(_member(f"{name}.{member_name}", member, level=4))
    return "\n\n".join(part for part in parts if part)


def _member(title: str, member: Any, level: int = 3, common: Mapping[str, str] | None = None) -> str:
    plain = member.__func__ if isinstance(member, staticmethod) else member
    doc = inspect.getdoc(plain.fget if isinstance(plain, property) else plain) or ""
    text = _text(_with_common(doc, plain, common or {}) if "Args:" in doc else doc)
    shown = "" if isinstance(plain, property) else _signature(title, plain)
    return "\n\n".join(part for part in (f"{'#' * level} {title}", shown, text) if part)


def _with_common(doc: str, method: Any, common: Mapping[str, str]) -> str:
    """A docstring whose list of arguments has each one of the signature: its type, and a common text where it has none.

    Raises KeyError for an argument that nobody describes.
    """
    head, _, rest = doc.partition("Args:\n")
    listed, _, tail = rest.partition("\n\n")
    found = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", listed, flags=re.M)
    own = {name: " ".join(text.split()) for name, text in found}
    parameters = [p for name, p in inspect.signature(method).parameters.items() if name != "self"]
    lines = [f"    {p.name}{_type(p)}: {own.pop(p.name, None) or common[p.name]}" for p in parameters]
    assert not own, f"{method.__qualname__} has no such arguments: {list(own)}"
    return head + "\n".join(["Args:", *lines]) + f"\n\n{tail}"


def _type(parameter: inspect.Parameter) -> str:
    if parameter.kind is parameter.VAR_KEYWORD:
        return ""
    text = re.sub(r"\b(?:[a-z_]+\.)+(?=[A-Z])", "", inspect.formatannotation(parameter.annotation))
    optional = re.fullmatch(r"Optional\[(.*)\]", text)
    return f" ({optional[1]} | None)" if optional else f" ({text})"


def _signature(title: str, member: Any) -> str:
    try:
        signature = inspect.signature(member)
    except (TypeError, ValueError):
        return ""
    parameters = [p for n, p in signature.parameters.items() if n != "self"]
    if not parameters:
        return ""
    words = []
    star = False
    for p in parameters:
        if p.kind is p.KEYWORD_ONLY and not star:
            words.append("*")
            star = True
        star = star or p.kind is p.VAR_POSITIONAL
        prefix = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
        words.append(f"{prefix}{p.name}" + ("" if p.default is p.empty else f"={p.default!r}"))
    text = ", ".join(words)
    return f"```\n{textwrap.fill(f'{title}({text})', 110, subsequent_indent='    ', break_on_hyphens=False)}\n```"


def _text(doc: str) -> str:
    """A docstring as Markdown: its arguments as a list, its example as code."""
    lines: list[str] = []
    section = ""
    for line in doc.splitlines():
        if re.fullmatch(r"(Args|Raises|Returns|Example):", line):
            section = line.rstrip(":")
            lines += ["```python"] if section == "Example" else []
            continue
        inside = line.startswith("    ") or not line
        if section and not inside:
            if section == "Example":
                _end_code(lines)
            section = ""
        if section == "Example":
            lines.append(line[4:])
        elif section and line.startswith("        "):
            lines[-1] += " " + line.strip()
        elif section and line:
            name, _, rest = line.strip().partition(":")
            name, _, kind = name.partition(" ")
            lines.append(f"- `{name}`{kind and ' '}{kind}:{rest}")
        else:
            lines.append(line)
    if section == "Example":
        _end_code(lines)
    return "\n".join(lines).strip()


def _end_code(lines: list[str]) -> None:
    while not lines[-1].strip():
        lines.pop()
    lines += ["```", ""]


def _table(head: tuple[str, str], rows: dict[str, str]) -> str:
    return "\n".join([f"| {head[0]} | {head[1]} |", "| --- | --- |", *(f"| {a} | {b} |" for a, b in rows.items())])


def _settings() -> str:
    fields = {field.name: field for field in msgspec.structs.fields(Settings)}
    rows = ["| variable, flag | default | meaning |", "| --- | --- | --- |"]
    for name, meta in options().items():
        extra = meta.extra or {}
        default = fields[name].default
        shown = extra.get("word") if default is None else default
        flag = f"--{name.replace('_', '-')}"
        rows.append(f"| `{PREFIX}{name.upper()}`, `{flag}` | {shown} | {meta.description} ({extra['expects']}) |")
    return "\n".join(rows)


def _exit_codes() -> str:
    rows = {
        "0": "an orderly end",
        "200": "an orderly end under a host, which then starts it anew (protocol 5.3)",
    }
    for cls in [FastworkerError, *_subclasses(FastworkerError)]:
        if cls.__module__ == "fastworker.errors":
            first = (inspect.getdoc(cls) or "").splitlines()[0]
            code = str(cls.exit_code)
            rows[code] = f"{rows[code]}; {first}" if code in rows else first
    return _table(("code", "meaning"), dict(sorted(rows.items(), key=lambda item: int(item[0]))))


def _subclasses(cls: type[FastworkerError]) -> list[type[FastworkerError]]:
    return [found for child in cls.__subclasses__() for found in (child, *_subclasses(child))]


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"written: {PAGE}")
