"""What a process has taken of memory at most, as the kernel counts it."""

import os
import re
from pathlib import Path

MIB = 2**20
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Peak:
    """`growth()` is how many bytes above its resident set at the beginning a process has been since then."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak is what it is now
        self._before = self._bytes("VmRSS")

    def growth(self) -> int:
        return self._bytes("VmHWM") - self._before

    def _bytes(self, name: str) -> int:
        match = re.search(rf"^{name}:\s+(\d+) kB$", self._status.read_text(), re.MULTILINE)
        assert match is not None
        return int(match[1]) * 1024


def resident_bytes(pid: int) -> int:
    """The resident set of a process now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES
