"""surroundings.py: what a handler does to its thread is gone when the next one runs."""

import asyncio
import contextvars
import decimal
from collections.abc import Callable, Iterator

import pytest
import uvloop

from fastworker.worker.surroundings import Surroundings

name = contextvars.ContextVar("name", default="nobody")


class Policy(asyncio.DefaultEventLoopPolicy):
    """Somebody's own."""


class Foreign(asyncio.AbstractEventLoopPolicy):
    """One that keeps its loop where nobody looks."""

    loop: asyncio.AbstractEventLoop | None = None

    def get_event_loop(self) -> asyncio.AbstractEventLoop:
        assert self.loop is not None
        return self.loop

    def set_event_loop(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self.loop = loop

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.SelectorEventLoop()


made: list[asyncio.AbstractEventLoop] = []


def set_another_loop() -> None:
    made.append(asyncio.new_event_loop())
    asyncio.set_event_loop(made[-1])


async def nothing() -> None:
    pass


SPOILS: list[Callable[[], object]] = [
    lambda: None,
    set_another_loop,
    lambda: asyncio.set_event_loop(None),
    lambda: asyncio.get_event_loop().close(),
    lambda: asyncio.get_event_loop().run_until_complete(nothing()),
    lambda: asyncio.set_event_loop_policy(Policy()),
    lambda: asyncio.set_event_loop_policy(None),
    lambda: asyncio.run(nothing()),
    lambda: uvloop.run(nothing()),
    lambda: name.set("alice"),
    lambda: setattr(decimal.getcontext(), "prec", 3),
]


@pytest.fixture(autouse=True, params=[False, True], ids=["", "decimal in use"])
def used_decimal(request: pytest.FixtureRequest) -> Iterator[None]:
    """The import of the app may have had a decimal context already, which can be changed in place."""
    if request.param:
        before = decimal.getcontext().copy()
        decimal.getcontext()
        yield
        decimal.setcontext(before)
    else:
        yield


@pytest.fixture(params=[asyncio.DefaultEventLoopPolicy, uvloop.EventLoopPolicy, Foreign], ids=lambda p: p.__name__)
def around(request: pytest.FixtureRequest) -> Iterator[Surroundings]:
    asyncio.set_event_loop_policy(request.param())
    around = Surroundings()
    yield around
    if around.home is not None:
        around.home.close()
    while made:
        made.pop().close()
    asyncio.set_event_loop_policy(None)


def found() -> tuple[object, ...]:
    return name.get(), decimal.getcontext().prec, asyncio.get_event_loop_policy(), type(asyncio.get_event_loop())


@pytest.mark.parametrize("spoil", SPOILS)
def test_the_next_one_finds_what_the_first_one_found(around, spoil):
    """Policy, current loop (one that is open), context variables, decimal's context."""
    first = around.copy().run(found)
    for _ in range(2):
        around.copy().run(spoil)
        around.after()
        assert around.copy().run(found) == first
        loop = asyncio.get_event_loop()
        assert not loop.is_closed()
        loop.run_until_complete(nothing())
        around.after()


def test_the_current_loop_stays_the_same_one(around):
    """A handler that asks for it makes no new one, whose descriptors nobody would close."""
    first = asyncio.get_event_loop()
    for _ in range(3):
        around.copy().run(lambda: asyncio.run(nothing()))
        around.after()
        assert asyncio.get_event_loop() is first


def test_a_context_begins_as_the_worker_began(around):
    """What the start hooks have set is there."""
    name.set("the hook")
    try:
        again = Surroundings()
        assert again.copy().run(name.get) == "the hook"
        assert again.home is not None
        again.home.close()
    finally:
        name.set("nobody")
