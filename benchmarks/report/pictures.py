"""Which plots a run gets: by scenario, from the rows alone.

Calls plots_*.py; called by page.py. Rule: a plot whose figures are not there is left out, and nothing is drawn for it.
"""

from collections.abc import Callable, Iterable, Sequence

import matplotlib as mpl

from benchmarks.report import look, words
from benchmarks.report import plots_bars as bars
from benchmarks.report import plots_latency as latency
from benchmarks.report import plots_load as load
from benchmarks.report.picture import Picture
from benchmarks.report.results import Result, Results, common_members
from benchmarks.report.shown import SHOWN

MOST_PANELS = 3


def pictures(results: Results) -> list[Picture]:
    """Every plot that the rows can fill, in the order of the scenarios."""
    with mpl.rc_context(look.RC):
        drawn = [picture for scenario in results.scenarios for picture in PLOTS.get(scenario, _nothing)(results)]
    return [picture for picture in drawn if picture is not None]


def _nothing(results: Results) -> Iterable[Picture | None]:
    return []


def _hop(results: Results) -> Iterable[Picture | None]:
    alone = _groups(results.of("hop"), lambda result: result.variant.get("in_flight") == 1)
    rare = _groups(results.of("hop"), lambda result: "per_second" in result.variant)
    detail = (
        "From the request's first byte to the answer's last at the host's side, no work in the handler. Bar: median of "
        "the rounds; whisker: least to greatest round; beside it the ratio and the time."
    )
    yield bars.against_floor(
        results,
        "hop-ratios",
        "p50_us",
        "The hop, one request in flight",
        detail,
        _with_broken(results, "hop", alone[:1]),
    )
    yield bars.against_floor(
        results, "hop-payloads", "p50_us", "The hop with larger payloads, and when requests are rare", detail,
        _with_broken(results, "hop", [*alone[1:], *rare]),
    )  # fmt: skip
    yield load.over_in_flight(
        results, "hop", "p50_us", "The hop over requests in flight",
        "Closed loop: more in flight than workers must wait for their turn. Both axes logarithmic.",
    )  # fmt: skip
    panels = _ends(results.of("hop"), "in_flight")
    detail = "All rounds together. The axis stretches the tail: each step to the right is ten times rarer."
    yield latency.by_percentile("hop", panels, "The hop by percentile", detail, share_y=True)
    yield latency.cumulative("hop", panels, "The hop, cumulative", "All rounds together; further left is better.")


def _capacity(results: Results) -> Iterable[Picture | None]:
    best = _groups(results.of("capacity"), lambda result: result.variant.get("in_flight") == "best")
    groups = best or _groups(results.of("capacity"), lambda result: bool(result.variant))
    yield bars.against_floor(
        results, "capacity", "per_second", "Capacity: requests per second at saturation",
        "Closed loop, the best of several numbers in flight. Bar: median of the rounds; whisker: least to greatest "
        "round; beside it the ratio and the rate.", _with_broken(results, "capacity", groups), more_is_better=True,
    )  # fmt: skip


def _cpu(results: Results) -> Iterable[Picture | None]:
    yield load.against_ideal(
        results, "cpu", _metric(results, "cpu", "p99"), "load", "CPU-heavy functions: p99 beside the ideal",
        "Open load at appointed times. The ideal is a simulated central queue before as many servers, with the same "
        "arrivals and the same measured work: nobody can be below it but by chance.",
    )  # fmt: skip
    yield from _distributions(results, "cpu", "CPU-heavy functions by percentile", _nearest(results.of("cpu"), 0.8))


def _mix(results: Results) -> Iterable[Picture | None]:
    metric = _metric(results, "mix", "short p99")
    yield load.against_ideal(
        results, "mix", metric, "load", "Short requests among long ones: their p99 beside the ideal",
        "95 % short, 5 % long, on keep-alive connections, at appointed times. The ideal is a simulated central queue "
        "with the same arrivals and the same measured work.",
    )  # fmt: skip
    yield from _distributions(
        results, "mix", "Short requests among long ones, by percentile", _nearest(results.of("mix"), 0.8)
    )


def _workers(results: Results) -> Iterable[Picture | None]:
    mine = results.of("workers")
    knob = next((name for name in ("workers", "processes") if any(name in r.variant for r in mine)), "workers")
    yield load.over_workers(
        results, "workers", knob, ["per_second", _metric(results, "workers", "p99")], "How many workers",
        "fastworker on this machine, with a function that computes and one that waits half of its time.",
    )  # fmt: skip


def _faults(results: Results) -> Iterable[Picture | None]:
    for fault, group in _by(results.of("faults"), "fault").items():
        name = f"faults-{fault}"
        title = {
            "crash": "While workers crash",
            "overrun": "While workers overrun",
            "stuck": "While workers hang in C code",
        }.get(str(fault), f"Faults: {fault}")
        both = bars.pairs_of(group, "p99_ms", _contender, "calm_p99_ms", "without faults")
        yield bars.panels(
            "faults", name, title,
            "A closed loop of short requests, a few of which kill their worker or never end. Lost: broken connections "
            "and wrong answers among the innocent.",
            [
                ("Innocent requests lost per 1,000 faults", "requests", _named(group, "lost_per_1000")),
                ("p99 of the innocent, and of the same load without faults", "ms", both),
            ],
        )  # fmt: skip


def _deadline(results: Results) -> Iterable[Picture | None]:
    kinds = _by(results.of("deadline"), "kind")
    late = [result for kind in ("soft", "hard") for result in kinds.get(kind, [])]
    sets = [
        ("Answered later than the deadline by", "ms",
         bars.pairs_of(late, "median_ms", lambda one: f"{one.contender}, {one.variant['kind']}", "max_ms", "worst")),
        ("From a crash's answer to the next answer", "ms",
         bars.pairs_of(kinds.get("replacement", []), "median_ms", _contender, "max_ms", "worst")),
    ]  # fmt: skip
    detail = (
        "Soft: Python code, which is interrupted; hard: one long C call, whose worker is killed. Seen by the client, "
        "one worker. The kernel counts waiting in ticks, so a little below zero can be."
    )
    yield bars.panels("deadline", "deadline", "Deadlines, and a dead worker's replacement", detail, sets)


def _memory(results: Results) -> Iterable[Picture | None]:
    def name(result: Result) -> str:
        return f"{result.contender}, {'preloaded' if result.variant.get('preload') else 'not preloaded'}"

    group = results.of("memory")
    detail = "numpy and a table of 200 MB. Extra: what one more worker adds to the tree's proportional set size."
    yield bars.panels(
        "memory", "memory", "Memory of one more worker", detail,
        [
            ("Extra memory per worker", "MB", bars.bars_of(group, "extra_mb", name)),
            ("Private to each worker", "MB", bars.bars_of(group, "private_mb", name)),
        ],
    )  # fmt: skip


def _start(results: Results) -> Iterable[Picture | None]:
    sets = []
    for app, group in _by(results.of("start"), "app").items():
        fastest_first = bars.ordered(group, lambda one: one.median("first_answer_ms"), more_is_better=False)
        sets.append((f"{str(app).capitalize()} app", "ms", _named(fastest_first, "first_answer_ms")))
    yield bars.panels("start", "start", "Start: from exec to the first right answer", SHOWN["start"].meaning, sets)


def _stream(results: Results) -> Iterable[Picture | None]:
    def name(result: Result) -> str:
        return f"{result.contender}, {result.variant['body']}" if "body" in result.variant else result.contender

    group = results.of("stream")
    titles = {
        "first_byte_ms": "Time to the first byte",
        "late_p99_ms": "Each item is late by (p99)",
        "item_us": "Per item",
    }
    sets = [(f"{title}", words.unit_of(metric), bars.bars_of(group, metric, name)) for metric, title in titles.items()]
    yield bars.panels("stream", "stream", "Streaming", SHOWN["stream"].meaning, sets)


PLOTS: dict[str, Callable[[Results], Iterable[Picture | None]]] = {
    "hop": _hop,
    "capacity": _capacity,
    "cpu": _cpu,
    "mix": _mix,
    "workers": _workers,
    "faults": _faults,
    "deadline": _deadline,
    "memory": _memory,
    "start": _start,
    "stream": _stream,
}


def _named(group: Sequence[Result], metric: str) -> list[bars.Bar]:
    return bars.bars_of(group, metric, _contender)


def _contender(result: Result) -> str:
    return result.contender


def _by(results: Sequence[Result], member: str) -> dict[object, list[Result]]:
    groups: dict[object, list[Result]] = {}
    for result in results:
        groups.setdefault(result.variant.get(member, ""), []).append(result)
    return groups


def _groups(
    results: Sequence[Result], wanted: Callable[[Result], bool] = lambda result: True
) -> list[tuple[str, list[Result]]]:
    """The results by variant, in order; a member that is the same in all is not named."""
    known = [result for result in results if wanted(result)]
    same = common_members(known)
    groups: dict[str, list[Result]] = {}
    for result in known:
        groups.setdefault(words.variant(result.variant, same), []).append(result)
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


def _ends(results: Sequence[Result], knob: str) -> list[latency.Panel]:
    """The least and the greatest of a knob, of the first of everything else."""
    first = next(iter(results), None)
    if first is None:
        return []
    rest = {name: value for name, value in first.variant.items() if name != knob}
    mine = [r for r in results if {n: v for n, v in r.variant.items() if n != knob} == rest]
    places = sorted({result.variant[knob] for result in mine if knob in result.variant})
    chosen = [places[0], places[-1]] if len(places) > 1 else places
    leave_out = frozenset(rest) - {"payload"}
    return [
        latency.panel(
            words.variant({**rest, knob: place}, leave_out), [r for r in mine if r.variant.get(knob) == place]
        )
        for place in chosen
    ]


def _nearest(results: Sequence[Result], load_share: float) -> list[Result]:
    """The results at the load nearest to the one that is wanted; all of them where there is no load."""
    loads = {r.variant["load"] for r in results if isinstance(r.variant.get("load"), int | float)}
    if not loads:
        return list(results)
    nearest = min(loads, key=lambda one: abs(one - load_share))
    return [result for result in results if result.variant.get("load") == nearest]


def _distributions(results: Results, scenario: str, title: str, chosen: Sequence[Result]) -> Iterable[Picture | None]:
    panels = [latency.panel(name, group) for name, group in _groups(chosen)][:MOST_PANELS]
    first = chosen[0].variant.get("load") if chosen else None
    at = f"At {first:.0%} load. " if isinstance(first, float) else ""
    detail = f"{at}From the appointed time of each request to its answer, all rounds together."
    yield latency.by_percentile(scenario, panels, title, detail)
    yield latency.cumulative(scenario, panels, title.replace("by percentile", "cumulative"), detail)


def _metric(results: Results, scenario: str, quantity: str) -> str:
    """The metric's full name, in the unit in which the scenario wrote it."""
    names = {name for result in results.of(scenario) for row in result.right for name in row.metrics}
    return next((name for name in sorted(names) if words.quantity_of(name) == quantity != name), quantity)
