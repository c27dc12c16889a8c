"""What the host makes of a trigger's place and time when it loads a function: schedules, queue names, blob paths.

Used by app.py for serve and sync, and by the local host. Rule: pure; settings are filled in before, and a text that
still has a `%NAME%` is not judged.
"""

from typing import NamedTuple

from fastworker.hostrules.functions import (
    blob_path_problem,
    container_doubt,
    container_problem,
    queue_problem,
)
from fastworker.hostrules.schedules import Schedule, ScheduleError
from fastworker.protocol.bindings import Binding


class Check(NamedTuple):
    """`problem` puts the function in error, `stops_host` all of them; `warnings` are surprises."""

    problem: str | None = None
    stops_host: bool = False
    warnings: tuple[str, ...] = ()


def check_trigger(trigger: Binding) -> Check:
    """What is wrong or surprising with a trigger's own properties."""
    if trigger.key == "timertrigger":
        return _schedule(trigger.properties.get("schedule"))
    if trigger.key == "queuetrigger":
        name = _text(trigger.properties.get("queueName"))
        return Check() if "%" in name else Check(queue_problem(name))
    if trigger.key == "blobtrigger":
        path = _text(trigger.properties.get("path"))
        if "%" in path:
            return Check()
        problem = blob_path_problem(path)
        if problem is None and (stops := container_problem(path)):
            return Check(stops, stops_host=True)
        doubt = container_doubt(path) if problem is None else None
        return Check(problem, warnings=(doubt,) if doubt else ())
    return Check()


def _schedule(value: object) -> Check:
    text = _text(value)
    if not text:
        return Check('a timer trigger needs a "schedule": six fields (second minute hour day month weekday)')
    if "%" in text:
        return Check()
    try:
        return Check(warnings=tuple(Schedule(text).warnings))
    except ScheduleError as error:
        return Check(str(error))


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)
