"""Which files of an app matter, and whether they have changed.

Used by session.py. Rule: only source and configuration, so that what a handler writes starts no reload.
"""

import os
from pathlib import Path
from typing import Final

from watchfiles import DefaultFilter, awatch

LANGUAGES: Final = ".py .js .mjs .cjs .ts .go .rs .rb .php .r .pl .lua .sh .ps1 .jar .class .dll"
SUFFIXES: Final = frozenset(f"{LANGUAGES} .json .toml .yaml .yml .env".split())
SKIPPED: Final = frozenset({*DefaultFilter.ignore_dirs, ".fastworker", "venv", "env", ".ruff_cache", "dist", "target"})


def matters(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def snapshot(root: Path) -> dict[Path, int]:
    """The files that matter, each with the time of its last change."""
    found: dict[Path, int] = {}
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in SKIPPED]
        for name in names:
            path = Path(folder, name)
            if matters(path):
                try:
                    found[path] = path.stat().st_mtime_ns
                except OSError:
                    continue  # gone, or a link to nowhere
    return found


async def wait_for_change(root: Path, before: dict[Path, int]) -> list[str]:
    """The names, relative to `root`, of files that differ from `before`; returns as soon as there is one."""
    watch = awatch(root, watch_filter=_Filter(), debounce=200, step=50, rust_timeout=1000, yield_on_timeout=True)
    async for _ in watch:
        now = snapshot(root)
        names = sorted({path for path in now.keys() | before.keys() if now.get(path) != before.get(path)})
        if names:
            return [str(path.relative_to(root)) for path in names]
    return ["something"]


class _Filter(DefaultFilter):
    def __init__(self) -> None:
        super().__init__(ignore_dirs=tuple(SKIPPED))

    def __call__(self, change: object, path: str) -> bool:
        return matters(Path(path)) and super().__call__(change, path)  # type: ignore[arg-type]
