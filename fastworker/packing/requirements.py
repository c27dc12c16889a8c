"""What an app's packages are: the lines of requirements.txt, and fastworker's own dependencies in place of its name.

Used by dependencies.py. Rule: no index is asked for fastworker itself: the one that runs is packed.
"""

import re
from importlib import metadata
from pathlib import Path
from typing import Final, NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from fastworker import __version__
from fastworker.foreign import DISTRIBUTION
from fastworker.packing.errors import PackError

FILE: Final = "requirements.txt"
INCLUDES: Final = re.compile(r"^(?:-r|--requirement)[\s=]\s*(.+)$")


class Line(NamedTuple):
    """A line of a requirements file, and where it stands."""

    place: str
    text: str


def wanted(root: Path) -> list[str]:
    """The lines to install, without fastworker's own name and with its dependencies.

    Raises:
        PackError: a file that is missing, a line that asks for another project of the name fastworker, or for a version
            of fastworker that is not the one that packs.
    """
    path = root / FILE
    lines = _lines(path) if path.exists() else []
    extras: set[str] = set()
    rest = []
    for line in lines:
        requirement = _requirement(line.text)
        if requirement is None or canonicalize_name(requirement.name) not in ("fastworker", DISTRIBUTION):
            rest.append(line.text)
            continue
        if canonicalize_name(requirement.name) == "fastworker":
            raise PackError(
                f"{line.place}: 'fastworker' is another project's package (a task queue): write {DISTRIBUTION}"
            )
        if not requirement.specifier.contains(__version__, prereleases=True):
            raise PackError(
                f"{line.place}: asks for {requirement.name}{requirement.specifier}, and version {__version__} packs: "
                f"run pip install '{DISTRIBUTION}{requirement.specifier}', or change the line"
            )
        extras |= requirement.extras
    return [*rest, *_own_dependencies(extras)]


def _lines(path: Path) -> list[Line]:
    """All lines, those of included files in place of their `-r`; without comments and empty lines."""
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PackError(f"{path}:1: cannot be read: {error}") from None
    found: list[Line] = []
    for number, raw in enumerate(text.replace("\\\n", "").splitlines(), 1):
        line = re.sub(r"(^|\s)#.*$", "", raw).strip()
        if included := INCLUDES.match(line):
            found += _lines(path.parent / included[1].strip())
        elif line:
            found.append(Line(f"{path}:{number}", line))
    return found


def _requirement(line: str) -> Requirement | None:
    """None for options, paths and URLs, which are the installer's to read."""
    try:
        return Requirement(re.split(r"\s--", line, maxsplit=1)[0])
    except InvalidRequirement:
        return None


def _own_dependencies(extras: set[str]) -> list[str]:
    """The four of the core, and what the extras that the app names bring."""
    try:
        declared = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        raise PackError(
            f"the fastworker that runs was not installed as a package, so that its dependencies are unknown: "
            f"run pip install {DISTRIBUTION} (in a checkout: pip install -e .)"
        ) from None
    found = []
    for text in declared:
        requirement = Requirement(text)
        marker = requirement.marker
        requirement.marker = None
        named = canonicalize_name(requirement.name) == DISTRIBUTION
        if not named and (marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *sorted(extras)))):
            found.append(str(requirement))
    return found
