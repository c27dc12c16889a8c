"""Which function the host loads, and what stops it: names of functions, bindings, queues and containers; the switch
that disables one (protocol 6.1, 7).

Rule: pure. A check returns None, or what is wrong in words that name the mend.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

# .NET's `$` lets one newline follow (E-479).
FUNCTION_NAME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]{0,127}")
BINDING_NAME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9]{0,127}\n?")
# From host 4.1038 on single underscores are taken.
NEWER_BINDING_NAME: Final = re.compile(r"(?!.*__)[a-zA-Z_][a-zA-Z0-9_]{0,127}\n?")
UNDERSCORES_SINCE: Final = "4.1038"
RETURN: Final = "$return"
# Binding data of these names is the host's own, so a trigger of such a name cannot be bound (E-478).
TAKEN_TRIGGER_NAMES: Final = ("query", "headers", "sys")

QUEUE: Final = re.compile(r"[a-z0-9-]+")
CONTAINER: Final = re.compile(r"(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
SPECIAL_CONTAINERS: Final = ("$root", "$web", "$logs")


def function_name_problem(name: str) -> str | None:
    """A folder's name as that of a function."""
    if FUNCTION_NAME.fullmatch(name) and name.lower() != "host":
        return None
    return (
        f"the function name {name!r} is illegal: a letter, then up to 127 letters, digits, '-' and '_', and not 'host'"
    )


def binding_name_problem(name: str, *, returns: bool) -> str | None:
    """A binding's name; `returns` tells that it may be `$return`, an output."""
    if name == RETURN:
        return None if returns else f"{RETURN!r} is for outputs only"
    if NEWER_BINDING_NAME.fullmatch(name):
        return None
    if "__" in name:
        return f"the binding name {name!r} is illegal: no two underscores in a row"
    return (
        f"the binding name {name!r} is illegal: a letter or _, then up to 127 letters, digits and single underscores "
        f"(or {RETURN!r} for an output)"
    )


def needs_newer_host(name: str) -> bool:
    """Whether hosts before 4.1038 refuse a binding's name that newer ones take."""
    return name != RETURN and not BINDING_NAME.fullmatch(name) and bool(NEWER_BINDING_NAME.fullmatch(name))


def is_disabled(name: str, settings: Mapping[str, str]) -> bool:
    """Whether a setting disables a function; `disabled` in function.json does nothing (B-478 to B-491, E-fdis-*)."""
    names = (f"azurewebjobs.{name.lower()}.disabled", f"azurewebjobs_{name.lower()}_disabled")
    return any(value.lower() in ("true", "1") for key, value in settings.items() if key.lower() in names)


def twins(names: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of folders that differ in case only: the host takes them for one function and does not start."""
    first: dict[str, str] = {}
    found = []
    for name in sorted(names):
        known = first.setdefault(name.lower(), name)
        if known != name:
            found.append((known, name))
    return found


def queue_problem(name: str) -> str | None:
    """A queueTrigger's queue, settings filled in; upper case is lowered by the host (B-261)."""
    lower = name.lower()
    if not lower:
        return "a queue trigger needs a queueName"
    if "{" in lower or "}" in lower:
        return f"the queue name {name!r} has an expression, and a trigger's cannot: nothing has triggered yet"
    if not 3 <= len(lower) <= 63:
        return f"the queue name {name!r} must have 3 to 63 characters"
    if not QUEUE.fullmatch(lower):
        return f"the queue name {name!r} can have letters, digits and - only"
    if "--" in lower or lower[0] == "-" or lower[-1] == "-":
        return f"the queue name {name!r} can have single - only, and between letters or digits"
    return None


def blob_path_problem(path: str) -> str | None:
    """A blobTrigger's path, settings filled in: what puts the function in error."""
    container, slash, _ = path.partition("/")
    if not path or (not slash and not container):
        return "a blob trigger needs a path: container/{name}"
    if slash and not container:
        return f"the path {path!r} must not begin with a slash: write container/{{name}}"
    if "{" in container or "}" in container:
        return f"the path {path!r} has an expression in the container's place, and a trigger's cannot"
    return template_problem(path)


def template_problem(text: str) -> str | None:
    """Braces of a binding expression: each has its other one; doubled ones are plain braces."""
    rest = text.replace("{{", "").replace("}}", "")
    depth = 0
    for character in rest:
        depth += (character == "{") - (character == "}")
        if depth not in (0, 1):
            break
    return None if depth == 0 else f"{text!r}: each {{ needs its }}; a brace that is meant as such is doubled"


def container_problem(path: str) -> str | None:
    """A blobTrigger's container that ends the whole host, not only its function (E-350, E-351)."""
    container = path.partition("/")[0]
    odd = next((c for c in container if c.isupper() or c == "_"), None)
    if odd is None or "{" in container:
        return None
    return (
        f"the container {container!r} of a blob trigger stops the whole host ({odd!r} in it): 3 to 63 lower-case "
        f"letters, digits and single - within"
    )


def container_doubt(path: str) -> str | None:
    """A container's name that the storage service refuses."""
    container = path.partition("/")[0]
    if "{" in container or container in SPECIAL_CONTAINERS or CONTAINER.fullmatch(container):
        return None
    return f"the container name {container!r} is illegal: 3 to 63 lower-case letters, digits and single - within"
