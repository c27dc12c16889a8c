"""local.settings.json as Core Tools understand it: app settings, and a few wishes for the local host (protocol 7).

Used by dev, sync and invoke. Rule: pure; the host itself never reads this file, so nothing of it reaches the cloud.
"""

from dataclasses import dataclass, field

from fastworker.config.config_files import JsonFile, Node, configuration, member, net_text, shown, unread_keys
from fastworker.config.host_json_keys import LOCAL_SETTINGS


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """`values` by name, `places` where each stands; `port` and `cors` are for the local host."""

    values: dict[str, str] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    port: int | None = None
    cors: tuple[str, ...] = ()
    cors_credentials: bool = False
    warnings: tuple[str, ...] = ()


def read_local_settings(path: str, data: bytes) -> LocalSettings:
    """Raises ConfigFileError naming file and line."""
    file = JsonFile(path, data)
    if member(file.document, "IsEncrypted") is True:
        raise file.wrong(("IsEncrypted",), "the settings are encrypted: run `func settings decrypt` and try again")
    values: dict[str, str] = {}
    places: dict[str, str] = {}
    for section, prefix in (("Values", ""), ("ConnectionStrings", "ConnectionStrings:")):
        found = member(file.document, section)
        if found is None:
            continue
        if not isinstance(found, dict):
            raise file.wrong((section,), f'"{section}" is an object of strings, not {shown(found)}')
        for name, value in found.items():
            if isinstance(value, dict) and prefix and member(value, "ConnectionString") is not None:
                value = member(value, "ConnectionString")  # noqa: PLW2901 - the long form of the same
            if isinstance(value, dict | list):
                raise file.wrong((section, name), f"{name!r} is a string, not {shown(value)}; nest with __ in names")
            if value is not None:
                text = net_text(value)
                values[prefix + name] = text.lower() if isinstance(value, bool) else text
                places[prefix + name] = file.where(section, name)
    tree = configuration(file, {})
    host = tree.at("Host") or Node("Host", path)
    credentials = (host.at("CORSCredentials") or host).value or ""
    return LocalSettings(
        values=values,
        places=places,
        port=_port(file, host),
        cors=tuple(part.strip() for part in ((host.at("CORS") or host).value or "").split(",") if part.strip()),
        cors_credentials=credentials.lower() == "true",
        warnings=tuple(unread_keys(tree, LOCAL_SETTINGS)),
    )


def _port(file: JsonFile, host: Node) -> int | None:
    port = host.at("LocalHttpPort")
    if port is None or not port.value:
        return None
    if not port.value.isdecimal() or int(port.value) > 65535:
        raise file.wrong((host.key, port.key), f'"LocalHttpPort" is a port number, not {shown(port.value)}')
    return int(port.value)
