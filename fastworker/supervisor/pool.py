"""The worker pool as a pure state machine: how many workers there are, and which are started and ended.

Fed by supervisor/run.py with (now, event); answers with actions: StartZygote, StopZygote, Fork, Abandon, Retire, Kill,
GiveUp. backoff.py says when a start may be tried again, generations.py from which import of the app.
Rule: every change of a WorkerState happens in this file, and nothing here touches the system or reads a clock.

A worker is replaced by first making its successor: Fork, wait for READY, then Retire the old one. Reload (a new
generation of the app) and recycling (one worker has grown old) are therefore the same thing, one worker at a time,
and there are never fewer ready workers than before.

    FORKING --forked--> STARTING --ready--> READY --retire--> RETIRING
       |                   |                  |                  |
       +-------------------+------- gone -----+------------------+----> GONE (the slot is free)

`NEXT` has every transition; any other one is a defect of ours.
"""

import enum
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from fastworker.supervisor.backoff import Backoff
from fastworker.supervisor.generations import NONE, Generations

# A worker that lived this long, or answered anything, has started well: its end is not a failed start.
YOUNG_S = 1.0
# So many failed starts in a row, and no worker to go on with: nothing can be started any more.
FAILED_STARTS = 5
# A fork takes milliseconds, of a large app some hundred; a zygote that does not fork within this stands still.
FORK_S = 15.0
# Beyond what its invocations may take, for a retiring worker's stop hooks.
STOP_HOOKS_S = 10.0


class WorkerState(enum.Enum):
    FORKING = "forking"
    STARTING = "starting"
    READY = "ready"
    RETIRING = "retiring"


# -- events


class Tick(NamedTuple):
    """Time has passed."""


class AppReady(NamedTuple):
    """A zygote has imported the app."""

    generation: int


class ZygoteGone(NamedTuple):
    """A zygote has ended, or said that it cannot import the app; its workers, if any, are reported on their own.

    `unborn`: it could not even be forked, which says nothing about the app.
    """

    generation: int
    exit_code: int
    cause: str
    unborn: bool = False


class WorkerForked(NamedTuple):
    slot: int


class WorkerReady(NamedTuple):
    slot: int


class WorkerGone(NamedTuple):
    """The worker's process has ended. `served`: it has answered at least one request. `unborn`: it was never there.

    `killed`: by somebody else's SIGKILL, the out-of-memory killer's perhaps.
    """

    slot: int
    cause: str
    served: bool
    exit_code: int = 5
    unborn: bool = False
    killed: bool = False


class RecycleAsked(NamedTuple):
    """This worker has grown old (requests, memory)."""

    slot: int


class ReloadAsked(NamedTuple):
    """Import the app anew and roll the workers."""


class ResizeAsked(NamedTuple):
    """Keep so many workers from now on, at most one less than there are slots."""

    size: int


class StopAsked(NamedTuple):
    """What was in flight has ended, or its time is up: end everything."""


Event: TypeAlias = (
    Tick
    | AppReady
    | ZygoteGone
    | WorkerForked
    | WorkerReady
    | WorkerGone
    | RecycleAsked
    | ReloadAsked
    | ResizeAsked
    | StopAsked
)

# -- actions


class StartZygote(NamedTuple):
    generation: int


class StopZygote(NamedTuple):
    """Nothing is forked from it any more."""

    generation: int


class Fork(NamedTuple):
    generation: int
    slot: int


class Abandon(NamedTuple):
    """It was never forked, and nobody waits for it any more."""

    slot: int


class Retire(NamedTuple):
    """Let it finish what is in flight and exit."""

    slot: int


class Kill(NamedTuple):
    slot: int
    reason: str


class Tell(NamedTuple):
    """Something an operator should know: an event name and its fields."""

    event: str
    fields: dict[str, object]


class GiveUp(NamedTuple):
    """Nothing can be started any more: end the server with this code and cause."""

    exit_code: int
    cause: str


Action: TypeAlias = StartZygote | StopZygote | Fork | Abandon | Retire | Kill | Tell | GiveUp


NEXT: Final[dict[tuple[WorkerState, type], WorkerState]] = {
    (WorkerState.FORKING, WorkerForked): WorkerState.STARTING,
    (WorkerState.STARTING, WorkerReady): WorkerState.READY,
    (WorkerState.FORKING, Retire): WorkerState.RETIRING,
    (WorkerState.STARTING, Retire): WorkerState.RETIRING,
    (WorkerState.READY, Retire): WorkerState.RETIRING,
    # Told to go while it was still on its way in.
    (WorkerState.RETIRING, WorkerForked): WorkerState.RETIRING,
    (WorkerState.RETIRING, WorkerReady): WorkerState.RETIRING,
}


@dataclass
class _Worker:
    generation: int
    since: float  # of its state
    state: WorkerState = WorkerState.FORKING
    outdated: bool = False
    doomed: bool = False  # its zygote has died: its end says nothing about the app

    def move(self, step: WorkerForked | WorkerReady | Retire, now: float) -> None:
        after = NEXT.get((self.state, type(step)))
        if after is None:
            raise AssertionError(f"worker {step.slot} is {self.state}, in which there can be no {step}")
        if after is not self.state:
            self.state, self.since = after, now


@dataclass
class Pool:
    """Keeps `size` workers of the newest generation that imports.

    `slots` is how many there may be at once; `retire_s` how long a retiring worker may take.
    """

    size: int
    slots: int
    start_timeout_s: float
    retire_s: float
    generations: Generations = field(default_factory=Generations)
    _backoff: Backoff = field(default_factory=Backoff)
    _workers: dict[int, _Worker] = field(default_factory=dict)
    _stopping: bool = False
    _reload_wanted: bool = False

    def step(self, now: float, event: Event) -> list[Action]:
        """What to do about `event`. Instants are monotonic seconds."""
        actions: list[Action] = []
        match event:
            case Tick():
                self._end_overdue(now, actions)
            case AppReady(generation):
                self._app_ready(generation)
            case ZygoteGone():
                self._zygote_gone(now, event, actions)
            case WorkerForked(slot) | WorkerReady(slot):
                self._backoff.forked()
                self._workers[slot].move(event, now)
            case WorkerGone():
                self._worker_gone(now, event, actions)
            case RecycleAsked(slot):
                if slot in self._workers:
                    self._workers[slot].outdated = True
            case ReloadAsked():
                self._reload_wanted = True
            case ResizeAsked(size):
                self.size = size
            case StopAsked():
                self._stopping = True
        self._plan(now, actions)
        self._stop_unused_zygotes(actions)
        return actions

    @property
    def empty(self) -> bool:
        """No worker exists."""
        return not self._workers

    @property
    def settled(self) -> bool:
        """All is as it should be, and no Tick changes that: `size` workers of the newest generation are ready."""
        return (
            self.generations.loading is None
            and not self._stopping
            and not self._reload_wanted
            and not self._backoff.in_a_row
            and len(self._workers) == self.size
            and all(worker.state is WorkerState.READY for worker in self._workers.values())
            and not any(map(self._replaceable, self._workers.values()))
        )

    def slots_in(self, *states: WorkerState) -> list[int]:
        """The slots of the workers in these states."""
        return [slot for slot, worker in self._workers.items() if worker.state in states]

    def state_of(self, slot: int) -> WorkerState | None:
        worker = self._workers.get(slot)
        return worker.state if worker else None

    # -- events --------------------------------------------------------------------------------------------

    def _app_ready(self, generation: int) -> None:
        if self.generations.newest != NONE:
            self._start_over()
        self.generations.imported(generation)

    def _zygote_gone(self, now: float, event: ZygoteGone, actions: list[Action]) -> None:
        generations = self.generations
        was_newest, was_loading = event.generation == generations.newest, event.generation == generations.loading
        generations.lost(event.generation)
        for worker in self._of(event.generation):
            worker.doomed = True
        if was_loading:
            generations.failed()
            if generations.newest != NONE:
                actions.append(Tell("reload.failed", {"cause": event.cause, "serving": "the code from before"}))
            elif generations.has_imported or event.unborn:
                # It did import before, or has not been tried: what hinders it now may pass.
                self._failed_start(now, event, actions)
            else:
                self._give_up(event.exit_code, event.cause, actions)
        elif was_newest and not self._stopping:
            # Its workers die with it. Import again: the state that a zygote dies of need not be for ever.
            self._failed_start(now, event, actions)

    def _worker_gone(self, now: float, event: WorkerGone, actions: list[Action]) -> None:
        worker = self._workers.pop(event.slot)
        started = worker.state in (WorkerState.READY, WorkerState.RETIRING)
        if started and (event.served or now - worker.since >= YOUNG_S):
            self._backoff.reset()
        elif worker.state is WorkerState.RETIRING or worker.doomed:
            pass
        elif started and event.killed:
            self._tell_pause(self._backoff.short_life(now), actions)
        else:
            self._failed_start(now, event, actions)

    def _failed_start(self, now: float, event: ZygoteGone | WorkerGone, actions: list[Action]) -> None:
        self._tell_pause(self._backoff.failure(now, unborn=event.unborn), actions)
        failed = self._backoff.failed
        if failed < FAILED_STARTS or self._stopping:
            return
        if event.unborn and self._backoff.unborn_for(now) < self.start_timeout_s:
            return  # no processes or no memory: that passes, and another server would find no more of them
        if self.generations.fallback is not None:
            actions.append(Tell("reload.failed", {"cause": event.cause, "serving": "the code from before"}))
            for worker in self._of(self.generations.fall_back()):
                worker.outdated = True
            self._start_over()
        elif not self.slots_in(WorkerState.READY):
            cause = f"no worker can be started, {failed} tries failed: {event.cause}"
            self._give_up(event.exit_code, cause, actions)

    def _tell_pause(self, pause_s: float, actions: list[Action]) -> None:
        if pause_s:
            actions.append(Tell("worker.backoff", {"failed_starts": self._backoff.in_a_row, "pause_s": pause_s}))

    def _start_over(self) -> None:
        """Other code is served from now on."""
        self._backoff.reset()
        self._backoff.forget_pause()

    def _end_overdue(self, now: float, actions: list[Action]) -> None:
        loading = self.generations.loading
        if loading is not None and now - self.generations.loading_since > self.start_timeout_s:
            cause = f"the import of the app took longer than FASTWORKER_START_TIMEOUT={self.start_timeout_s:g} s"
            actions.append(StopZygote(loading))
            self._zygote_gone(now, ZygoteGone(loading, 3, cause), actions)
        for slot, worker in self._workers.items():
            age = now - worker.since
            if worker.state is WorkerState.FORKING and age > min(FORK_S, self.start_timeout_s):
                # Import the app anew beside it: whom it has forked before serve on until their successors are there.
                detail = f"the process that forks the workers has not done so for {age:.0f} s; the app is imported anew"
                actions += [Tell("zygote.silent", {"slot": slot, "detail": detail}), Abandon(slot)]
                worker.since = now
                self.generations.silent = worker.generation
                self._reload_wanted = self.generations.loading is None
            elif worker.state is WorkerState.STARTING and age > self.start_timeout_s:
                actions.append(Kill(slot, f"not ready within FASTWORKER_START_TIMEOUT={self.start_timeout_s:g} s"))
                worker.since = now
            elif worker.state is WorkerState.RETIRING and age > self.retire_s:
                actions.append(Kill(slot, f"still there {self.retire_s:g} s after it was told to end"))
                worker.since = now
            elif worker.state is WorkerState.READY and age > YOUNG_S:
                self._backoff.overcome(worker.since)

    def _give_up(self, exit_code: int, cause: str, actions: list[Action]) -> None:
        if not self._stopping:
            self._stopping = True
            actions.append(GiveUp(exit_code, cause))

    def _stop_unused_zygotes(self, actions: list[Action]) -> None:
        used = {worker.generation for worker in self._workers.values()}
        actions += [StopZygote(generation) for generation in self.generations.unused(used)]

    # -- the plan --------------------------------------------------------------------------------------------

    def _plan(self, now: float, actions: list[Action]) -> None:
        if self._stopping:
            for slot, worker in self._workers.items():
                if worker.state is not WorkerState.RETIRING:
                    self._retire(slot, worker, now, actions)
            return
        generations, may_start = self.generations, self._backoff.may_start(now)
        if generations.loading is None and (generations.newest == NONE or self._reload_wanted) and may_start:
            self._reload_wanted = False
            actions.append(StartZygote(generations.load(now)))
        if generations.newest in (NONE, generations.silent):
            return
        staying = [worker for worker in self._workers.values() if worker.state is not WorkerState.RETIRING]
        ready = [worker for worker in staying if worker.state is WorkerState.READY]
        if len(staying) < self.size:
            while len(self._workers) < self.slots and len(staying) < self.size and may_start:
                staying.append(self._fork(now, actions))
        elif len(ready) > self.size and len(staying) == len(self._workers):
            surplus = [slot for slot, worker in self._workers.items() if worker.state is WorkerState.READY]
            surplus.sort(key=lambda slot: not self._replaceable(self._workers[slot]))
            self._retire(surplus[0], self._workers[surplus[0]], now, actions)
        elif (
            len(staying) == len(ready) == len(self._workers) == self.size
            and any(map(self._replaceable, ready))
            and may_start
        ):
            self._fork(now, actions)

    def _replaceable(self, worker: _Worker) -> bool:
        return worker.state is WorkerState.READY and (worker.outdated or worker.generation != self.generations.newest)

    def _fork(self, now: float, actions: list[Action]) -> _Worker:
        slot = next(slot for slot in range(self.slots) if slot not in self._workers)
        worker = self._workers[slot] = _Worker(self.generations.newest, now)
        actions.append(Fork(self.generations.newest, slot))
        return worker

    def _retire(self, slot: int, worker: _Worker, now: float, actions: list[Action]) -> None:
        retire = Retire(slot)
        worker.move(retire, now)
        actions.append(retire)

    def _of(self, generation: int) -> list[_Worker]:
        return [worker for worker in self._workers.values() if worker.generation == generation]
