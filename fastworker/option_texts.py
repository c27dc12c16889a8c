"""What the texts of settings mean that are no plain number or word.

Used by settings.py. Rule: pure; a text that means nothing raises ValueError, and settings.py says what was expected.
"""

import ipaddress
import re
from typing import Final

MOST_WORKERS: Final = 1024
UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def parse_size(text: str) -> int:
    """Bytes of `100MiB`, `2 GB` or `4096`; raises ValueError for anything else, and for zero."""
    match = re.fullmatch(r"([0-9]+)\s*([A-Za-z]*)", text.strip())
    if match is None or match[2].upper() not in UNITS or int(match[1]) == 0:
        raise ValueError(text)
    return int(match[1]) * UNITS[match[2].upper()]


def parse_address(text: str) -> str:
    """An IPv4 or IPv6 address; raises ValueError for anything else, names included."""
    return str(ipaddress.ip_address(text))


def parse_ipv4(text: str) -> str:
    """An IPv4 address; raises ValueError for anything else."""
    return str(ipaddress.IPv4Address(text))


def parse_threads(text: str) -> int:
    """A number of threads; 0 for `off`. Raises ValueError for anything else."""
    if text.lower() == "off":
        return 0
    if re.fullmatch(r"[0-9]{1,4}", text) is None or int(text) == 0:
        raise ValueError(text)
    return int(text)


def least_and_most(source: str, text: str | None) -> tuple[tuple[str, str | None], int | None]:
    """`2-8` as its lower end, beside where it was said, and its upper end; whatever is no range as it is, and None."""
    found = re.fullmatch(r"\s*([0-9]{1,4})\s*-\s*([0-9]{1,4})\s*", text or "")
    if found is None or not 1 <= int(found[1]) <= int(found[2]) <= MOST_WORKERS:
        return (source, text), None
    return (source, found[1]), int(found[2])
