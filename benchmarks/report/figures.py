"""Which plots a run gets: those that docs/ and the README show, by scenario, from the rows alone.

Calls bars.py and lines.py; called by page.py. Rule: a plot whose figures are not there is left out.
"""

from collections.abc import Callable, Iterable, Sequence

import matplotlib as mpl

from benchmarks.report import bars, formats, lines, style
from benchmarks.report.results import Result, Results, common_members

Plots = Iterable[style.Plot | None]


def plots(results: Results) -> list[style.Plot]:
    """Every plot that the rows can fill, in the order of the scenarios."""
    with mpl.rc_context(style.RC):
        drawn = [plot for scenario in results.scenarios for plot in PLOTS.get(scenario, _nothing)(results)]
    return [plot for plot in drawn if plot is not None]


def _nothing(results: Results) -> Plots:
    return []


def _hop(results: Results) -> Plots:
    alone = _groups(results.of("hop"), lambda result: result.variant.get("in_flight") == 1)
    yield bars.against_floor(
        results, "hop", "p50_us", "The hop, one request in flight",
        "From the request's first byte to the answer's last at the host's side, no work in the handler. Bar: median of "
        "the rounds; whisker: least to greatest round; beside it the ratio and the time.",
        _with_broken(results, "hop", alone[:1]),
    )  # fmt: skip


def _capacity(results: Results) -> Plots:
    best = _groups(results.of("capacity"), lambda result: result.variant.get("in_flight") == "best")
    yield bars.against_floor(
        results, "capacity", "per_second", "Capacity: requests per second at saturation",
        "Closed loop, the best of several numbers in flight. Bar: median of the rounds; whisker: least to greatest "
        "round; beside it the ratio and the rate.", _with_broken(results, "capacity", best), more_is_better=True,
    )  # fmt: skip


def _cpu(results: Results) -> Plots:
    yield lines.against_ideal(
        results, "cpu", "p99_ms", "load", "CPU-heavy functions: p99 beside the ideal",
        "Open load at appointed times. The ideal is a simulated central queue before as many servers, with the same "
        "arrivals and the same measured work: nobody can be below it but by chance.",
    )  # fmt: skip


def _mix(results: Results) -> Plots:
    yield lines.against_ideal(
        results, "mix", "short_p99_ms", "load", "Short requests among long ones: their p99 beside the ideal",
        "95 % short, 5 % long, on keep-alive connections, at appointed times. The ideal is a simulated central queue "
        "with the same arrivals and the same measured work.",
    )  # fmt: skip


def _workers(results: Results) -> Plots:
    yield lines.over_knob(
        results, "workers", "workers", ["per_second", "p99_ms"], "How many workers",
        "fastworker on this machine, with a function that computes and one that waits half of its time.",
    )  # fmt: skip


def _faults(results: Results) -> Plots:
    crash = [result for result in results.of("faults") if result.variant.get("fault") == "crash"]
    both = bars.pairs_of(crash, "p99_ms", _contender, "calm_p99_ms", "without faults")
    yield bars.panels(
        "faults", "faults", "While workers crash",
        "A closed loop of short requests, a few of which kill their worker. Lost: broken connections and wrong answers "
        "among the innocent.",
        [
            ("Innocent requests lost per 1,000 faults", "requests", bars.bars_of(crash, "lost_per_1000", _contender)),
            ("p99 of the innocent, and of the same load without faults", "ms", both),
        ],
    )  # fmt: skip


def _adapters(results: Results) -> Plots:
    mine = results.of("adapters")
    sets = []
    for metric, title in (("per_second", "Requests per second"), ("p99_ms", "p99 at 80 % load")):
        for name, group in _groups(mine):
            ordered = bars.ordered(group, lambda one, m=metric: one.median(m), more_is_better=metric == "per_second")  # type: ignore[misc]
            sets.append((f"{title}: {name}", formats.unit_of(metric), bars.bars_of(ordered, metric, _contender)))
    yield bars.panels("adapters", "adapters", "The same app on its usual server and here", "Functions of 10 ms.", sets)


def _scale(results: Results) -> Plots:
    yield lines.over_a_day(
        results, "scale", "A day from 1 to 10,000 requests a second",
        "Simulated with this server's measured times; one CPU and one worker an instance. The dotted line: as many as "
        "compute all the time. Two steps of five minutes double the load.",
    )  # fmt: skip


PLOTS: dict[str, Callable[[Results], Plots]] = {
    "hop": _hop,
    "capacity": _capacity,
    "cpu": _cpu,
    "mix": _mix,
    "workers": _workers,
    "faults": _faults,
    "adapters": _adapters,
    "scale": _scale,
}


def _contender(result: Result) -> str:
    return result.contender


def _groups(
    results: Sequence[Result], wanted: Callable[[Result], bool] = lambda result: True
) -> list[tuple[str, list[Result]]]:
    """The results by variant, in order; a member that is the same in all is not named."""
    known = [result for result in results if wanted(result)]
    same = common_members(known)
    groups: dict[str, list[Result]] = {}
    for result in known:
        groups.setdefault(formats.variant(result.variant, same), []).append(result)
    return list(groups.items())


def _with_broken(
    results: Results, scenario: str, groups: Sequence[tuple[str, Sequence[Result]]]
) -> list[tuple[str, Sequence[Result]]]:
    """The groups, each with those who failed before any variant: they did not start."""
    broken = [result for result in results.of(scenario) if not result.variant and not result.right]
    return [
        (name, [*group, *(one for one in broken if all(one.contender != result.contender for result in group))])
        for name, group in groups
    ]
