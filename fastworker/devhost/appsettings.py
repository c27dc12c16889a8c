"""App settings: local.settings.json over the environment, and `%NAME%` in bindings.

Used by hostjson.py (overrides), functions.py (expansion), process.py (the handler's environment).
Rule: nobody else of the local host reads local.settings.json or os.environ.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fastworker.config.app_files import read_bytes
from fastworker.config.config_files import ConfigFileError
from fastworker.config.local_settings import read_local_settings
from fastworker.devhost.config_error import ConfigError

PERCENT: Final = re.compile(r"%([^%]+)%")
TRUE: Final = frozenset({"true", "1"})


@dataclass(frozen=True, slots=True)
class AppSettings:
    """`values` is the whole environment of host and handler; `cors` the allowed origins of local.settings.json."""

    values: Mapping[str, str]
    port: int | None = None
    cors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = field(default=())
    cors_credentials: bool = False

    def get(self, name: str) -> str | None:
        """A setting, ignoring case as .NET configuration does; `a:b` is also looked for as `a__b`."""
        if name in self.values:
            return self.values[name]
        wanted = name.replace(":", "__").lower()
        return next((v for k, v in self.values.items() if k.replace(":", "__").lower() == wanted), None)

    def is_true(self, name: str) -> bool:
        return (self.get(name) or "").strip().lower() in TRUE

    def has_connection(self, name: str) -> bool:
        """Whether a connection of a binding leads anywhere; AzureWebJobsStorage always does, locally."""
        names = {name.lower(), f"azurewebjobs{name.lower()}"}
        if "azurewebjobsstorage" in names:
            return True
        return any(k.lower() in names or k.lower().partition("__")[0] in names for k in self.values)

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
        data = read_bytes(path)
        if data is None:
            return AppSettings(dict(environ))
        local = read_local_settings(str(path), data)
    except ConfigFileError as error:
        raise ConfigError(str(error)) from None
    taken = [
        f"{local.places[name]}: {name} is set in the environment, which wins"
        for name, value in local.values.items()
        if environ.get(name, value) != value
    ]
    warnings = (*local.warnings, *taken)
    return AppSettings({**local.values, **environ}, local.port, local.cors, warnings, local.cors_credentials)
