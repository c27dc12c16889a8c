"""App settings: local.settings.json over the environment, and `%NAME%` in bindings.

Used by hostjson.py (overrides), functions.py (expansion), process.py (the handler's environment).
Rule: nobody else of the local host reads local.settings.json or os.environ.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fastworker.devhost.jsonfile import ConfigError, member, read_json

PERCENT: Final = re.compile(r"%([^%]+)%")
TRUE: Final = frozenset({"true", "1"})


@dataclass(frozen=True, slots=True)
class AppSettings:
    """`values` is the whole environment of host and handler; `cors` the allowed origins of local.settings.json."""

    values: Mapping[str, str]
    port: int | None = None
    cors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = field(default=())

    def get(self, name: str) -> str | None:
        """A setting, ignoring case as .NET configuration does; `a:b` is also looked for as `a__b`."""
        if name in self.values:
            return self.values[name]
        wanted = name.replace(":", "__").lower()
        return next((v for k, v in self.values.items() if k.replace(":", "__").lower() == wanted), None)

    def is_true(self, name: str) -> bool:
        return (self.get(name) or "").strip().lower() in TRUE

    def expand(self, text: str) -> str:
        """`%NAME%` becomes the setting's value. Raises KeyError with the name of a setting that does not exist."""

        def value_of(match: re.Match[str]) -> str:
            value = self.get(match[1])
            if value is None:
                raise KeyError(match[1])
            return value

        return PERCENT.sub(value_of, text)


def read_app_settings(root: Path, environ: Mapping[str, str]) -> AppSettings:
    """The environment, with the `Values` of local.settings.json where the environment has none."""
    path = root / "local.settings.json"
    try:
        file = read_json(path)
    except FileNotFoundError:
        return AppSettings(dict(environ))
    warnings = []
    if member(file.document, "IsEncrypted") is True:
        raise file.wrong(("IsEncrypted",), "the settings are encrypted: run `func settings decrypt` and try again")
    values = member(file.document, "Values") or {}
    if not isinstance(values, dict):
        raise file.wrong(("Values",), '"Values" is an object of strings')
    settings: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, dict | list):
            raise file.wrong(("Values", name), f"{name!r} is a string, not {json.dumps(value)}; nest with __ in names")
        if value is not None:
            settings[name] = value if isinstance(value, str) else json.dumps(value)
        if name in environ and environ[name] != settings.get(name):
            warnings.append(f"{file.where('Values', name)}: {name} is set in the environment, which wins")
    host = member(file.document, "Host") or {}
    return AppSettings({**settings, **environ}, _port(file.where("LocalHttpPort"), host), _cors(host), tuple(warnings))


def _port(where: str, host: Any) -> int | None:
    port = member(host, "LocalHttpPort") if isinstance(host, dict) else None
    if port is None:
        return None
    text = str(port)
    if not text.isdigit() or not 0 <= int(text) <= 65535:
        raise ConfigError(f'{where}: "LocalHttpPort" is a port number, not {json.dumps(port)}')
    return int(text)


def _cors(host: Any) -> tuple[str, ...]:
    text = member(host, "CORS") if isinstance(host, dict) else None
    return tuple(part.strip() for part in text.split(",") if part.strip()) if isinstance(text, str) else ()
