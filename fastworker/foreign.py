"""A stranger's `fastworker` in the same environment: a task queue on PyPI has the same import name and command.

Called by cli.py before anything else of ours is imported.
Rule: looks at names of files only, so that a start does not get slower by it.
"""

import os

DISTRIBUTION = "fastworker-functions"


def foreign_installation(package: str) -> str | None:
    """What to do about another distribution that has put its files over ours; None if there is none.

    `package` is the folder of our package. Both distributions have a folder of this name, so that whichever was
    installed last has overwritten parts of the other.
    """
    site = os.path.dirname(package)
    try:
        names = os.listdir(site)
    except OSError:
        return None
    foreign = sorted(n for n in names if n.startswith("fastworker-") and n.endswith((".dist-info", ".egg-info")))
    if not foreign:
        return None
    return (
        f"{os.path.join(site, foreign[0])} belongs to another project of the name fastworker (a task queue), which "
        f"shares our package's name: run `pip uninstall fastworker`, then "
        f"`pip install --force-reinstall {DISTRIBUTION}`"
    )
