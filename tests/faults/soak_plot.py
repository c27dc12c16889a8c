"""Draws what test_soak.py has sampled: `python -m tests.faults.soak_plot SAMPLES.jsonl PICTURE.svg` (matplotlib)."""

import collections
import json
import sys
from pathlib import Path
from typing import Any


def main(source: Path, target: Path) -> None:
    """Resident size and descriptors by role (the largest of several workers), and the board's rows."""
    import matplotlib as mpl  # noqa: PLC0415 - comes with the extra `bench`

    mpl.use("svg")
    from matplotlib import pyplot  # noqa: PLC0415

    samples = [json.loads(line) for line in source.read_text().splitlines()]
    _, (sizes, counts) = pyplot.subplots(2, 1, sharex=True, figsize=(8, 5), layout="constrained")
    for role in sorted({sample["role"] for sample in samples}):
        most: dict[float, dict[str, Any]] = collections.defaultdict(lambda: {"resident": 0, "descriptors": 0})
        for sample in samples:
            if sample["role"] == role:
                at = most[sample["second"]]
                for name in at:
                    at[name] = max(at[name], sample[name])
        minutes = [second / 60 for second in most]
        sizes.plot(minutes, [at["resident"] / 1e6 for at in most.values()], label=role, linewidth=1)
        counts.plot(minutes, [at["descriptors"] for at in most.values()], label=role, linewidth=1)
    rows = {sample["second"] / 60: sample["rows"] for sample in samples}
    counts.plot(list(rows), list(rows.values()), label="rows on the board", linewidth=1, linestyle=":")
    sizes.set_ylabel("resident size, MB")
    sizes.set_ylim(bottom=0)
    counts.set_ylabel("descriptors, rows")
    counts.set_ylim(bottom=0)
    counts.set_xlabel("minutes")
    sizes.legend(loc="upper left", fontsize="small", ncols=3)
    counts.legend(loc="upper left", fontsize="small", ncols=3)
    pyplot.savefig(target)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
