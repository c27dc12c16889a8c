"""The worker pool as a pure state machine: how many workers there are, and which are started and ended.

Fed by supervisor/run.py with (now, event); answers with actions: StartZygote, StopZygote, Fork, Abandon, Retire, Kill,
GiveUp.
Rule: every change of a WorkerState happens in this file, and nothing here touches the system or reads a clock.

A worker is replaced by first making its successor: Fork, wait for READY, then Retire the old one. Reload (a new
generation of the app) and recycling (one worker has grown old) are therefore the same thing, one worker at a time,
and there are never fewer ready workers than before.

    FORKING --forked--> STARTING --ready--> READY --retire--> RETIRING
       |                   |                  |                  |
       +-------------------+------- gone -----+------------------+----> GONE (the slot is free)
"""

import enum
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

# A worker that lived this long, or answered anything, has started well: its end is not a failed start.
YOUNG_S = 1.0
FIRST_BACKOFF_S = 0.1
LONGEST_BACKOFF_S = 5.0
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
    """The worker's process has ended. `served`: it has answered at least one request. `unborn`: it was never there."""

    slot: int
    cause: str
    served: bool
    exit_code: int = 5
    unborn: bool = False


class RecycleAsked(NamedTuple):
    """This worker has grown old (requests, memory)."""

    slot: int


class ReloadAsked(NamedTuple):
    """Import the app anew and roll the workers."""


class StopAsked(NamedTuple):
    """What was in flight has ended, or its time is up: end everything."""


Event: TypeAlias = (
    Tick | AppReady | ZygoteGone | WorkerForked | WorkerReady | WorkerGone | RecycleAsked | ReloadAsked | StopAsked
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


@dataclass
class _Worker:
    generation: int
    since: float
    state: WorkerState = WorkerState.FORKING
    outdated: bool = False
    doomed: bool = False  # its zygote has died: its end says nothing about the app


@dataclass
class Pool:
    """Keeps `size` workers of the newest generation that imports.

    `slots` is how many there may be at once; `retire_s` how long a retiring worker may take.
    """

    size: int
    slots: int
    start_timeout_s: float
    retire_s: float
    generation: int = -1  # the newest that has imported
    has_imported: bool = False  # at least once
    loading: int | None = None  # being imported
    _next_generation: int = 0
    _loading_since: float = 0.0
    _workers: dict[int, _Worker] = field(default_factory=dict)
    _failures: int = 0
    _retry_at: float = 0.0
    _stopping: bool = False
    _reload_wanted: bool = False
    _zygotes: set[int] = field(default_factory=set)  # those that have imported and live
    _failed_at: float = 0.0
    _unborn_since: float = 0.0  # since then every start has failed for want of a process; 0: not so
    _silent: int | None = None  # the generation whose zygote does not fork
    _fallback: int | None = None  # the generation before, while the newest has not yet replaced it

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
            case WorkerForked(slot):
                self._move(slot, WorkerState.FORKING, WorkerState.STARTING, now)
            case WorkerReady(slot):
                self._move(slot, WorkerState.STARTING, WorkerState.READY, now)
            case WorkerGone():
                self._worker_gone(now, event, actions)
            case RecycleAsked(slot):
                if slot in self._workers:
                    self._workers[slot].outdated = True
            case ReloadAsked():
                self._reload_wanted = True
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
            self.loading is None
            and not self._stopping
            and not self._reload_wanted
            and not self._failures
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

    def _move(self, slot: int, before: WorkerState, after: WorkerState, now: float) -> None:
        worker = self._workers[slot]
        if worker.state is WorkerState.RETIRING:  # told to go while it was still on its way in
            return
        if worker.state is not before:
            raise AssertionError(f"worker {slot} is {worker.state}, so it cannot become {after}")
        worker.state = after
        worker.since = now
        self._unborn_since = 0.0

    def _app_ready(self, generation: int) -> None:
        self.loading = None
        if self.generation >= 0:
            self._fallback = self.generation
            self._failures = 0
            self._retry_at = 0.0
        self.generation = generation
        self.has_imported = True
        self._zygotes.add(generation)

    def _zygote_gone(self, now: float, event: ZygoteGone, actions: list[Action]) -> None:
        self._zygotes.discard(event.generation)
        if event.generation == self._fallback:
            self._fallback = None
        for worker in self._of(event.generation):
            worker.doomed = True
        if event.generation == self.loading:
            self.loading = None
            self._silent = None  # no other is to be had for now, so it is asked again
            if self.generation < 0 and (self.has_imported or event.unborn):
                # It did import before, or has not been tried: what hinders it now may pass.
                self._failed_start(now, event, actions)
            elif self.generation < 0:
                self._give_up(event.exit_code, event.cause, actions)
            else:
                actions.append(Tell("reload.failed", {"cause": event.cause, "serving": "the code from before"}))
        elif event.generation == self.generation and not self._stopping:
            # Its workers die with it. Import again: the state that a zygote dies of need not be for ever.
            self.generation = -1
            self._fallback = None
            self._failed_start(now, event, actions)

    def _worker_gone(self, now: float, event: WorkerGone, actions: list[Action]) -> None:
        worker = self._workers.pop(event.slot)
        started = worker.state in (WorkerState.READY, WorkerState.RETIRING)
        if started and (event.served or now - worker.since >= YOUNG_S):
            self._failures = 0
        elif worker.state is not WorkerState.RETIRING and not worker.doomed:
            self._failed_start(now, event, actions)

    def _failed_start(self, now: float, event: ZygoteGone | WorkerGone, actions: list[Action]) -> None:
        cause = event.cause
        self._failures += 1
        self._failed_at = now
        self._unborn_since = (self._unborn_since or now) if event.unborn else 0.0
        if self._failures > 1:
            pause = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2 ** (self._failures - 2))
            self._retry_at = now + pause
            actions.append(Tell("worker.backoff", {"failed_starts": self._failures, "pause_s": pause}))
        if self._failures < FAILED_STARTS or self._stopping:
            return
        if event.unborn and now - self._unborn_since < self.start_timeout_s:
            return  # no processes or no memory: that passes, and another server would find no more of them
        if self._fallback is not None:
            actions.append(Tell("reload.failed", {"cause": cause, "serving": "the code from before"}))
            failed = self.generation
            self.generation, self._fallback = self._fallback, None
            self._failures, self._retry_at = 0, 0.0
            for worker in self._of(failed):
                worker.outdated = True
        elif not self.slots_in(WorkerState.READY):
            self._give_up(event.exit_code, f"no worker can be started, {self._failures} tries failed: {cause}", actions)

    def _end_overdue(self, now: float, actions: list[Action]) -> None:
        if self.loading is not None and now - self._loading_since > self.start_timeout_s:
            cause = f"the import of the app took longer than FASTWORKER_START_TIMEOUT={self.start_timeout_s:g} s"
            actions.append(StopZygote(self.loading))
            self._zygote_gone(now, ZygoteGone(self.loading, 3, cause), actions)
        for slot, worker in self._workers.items():
            age = now - worker.since
            if worker.state is WorkerState.FORKING and age > min(FORK_S, self.start_timeout_s):
                # Import the app anew beside it: whom it has forked before serve on until their successors are there.
                detail = f"the process that forks the workers has not done so for {age:.0f} s; the app is imported anew"
                actions += [Tell("zygote.silent", {"slot": slot, "detail": detail}), Abandon(slot)]
                worker.since = now
                self._silent = worker.generation
                self._reload_wanted = self.loading is None
            elif worker.state is WorkerState.STARTING and age > self.start_timeout_s:
                actions.append(Kill(slot, f"not ready within FASTWORKER_START_TIMEOUT={self.start_timeout_s:g} s"))
                worker.since = now
            elif worker.state is WorkerState.RETIRING and age > self.retire_s:
                actions.append(Kill(slot, f"still there {self.retire_s:g} s after it was told to end"))
                worker.since = now
            elif worker.state is WorkerState.READY and age > YOUNG_S and worker.since > self._failed_at:
                self._failures = 0  # what failed before has been overcome

    def _give_up(self, exit_code: int, cause: str, actions: list[Action]) -> None:
        if not self._stopping:
            self._stopping = True
            actions.append(GiveUp(exit_code, cause))

    def _stop_unused_zygotes(self, actions: list[Action]) -> None:
        for generation in sorted(self._zygotes - {self.generation}):
            if not self._of(generation):
                self._zygotes.discard(generation)
                actions.append(StopZygote(generation))
        if self._fallback not in self._zygotes:
            self._fallback = None

    # -- the plan --------------------------------------------------------------------------------------------

    def _plan(self, now: float, actions: list[Action]) -> None:
        if self._stopping:
            for slot, worker in self._workers.items():
                if worker.state is not WorkerState.RETIRING:
                    self._retire(slot, worker, now, actions)
            return
        if self.loading is None and (self.generation < 0 or self._reload_wanted) and now >= self._retry_at:
            self._load(now, actions)
        if self.generation < 0 or self.generation == self._silent:
            return
        staying = [worker for worker in self._workers.values() if worker.state is not WorkerState.RETIRING]
        ready = [worker for worker in staying if worker.state is WorkerState.READY]
        if len(staying) < self.size:
            while len(self._workers) < self.slots and len(staying) < self.size and now >= self._retry_at:
                staying.append(self._fork(now, actions))
        elif len(ready) > self.size:
            surplus = [slot for slot, worker in self._workers.items() if worker.state is WorkerState.READY]
            surplus.sort(key=lambda slot: not self._replaceable(self._workers[slot]))
            self._retire(surplus[0], self._workers[surplus[0]], now, actions)
        elif (
            len(staying) == len(ready) == len(self._workers) == self.size
            and any(map(self._replaceable, ready))
            and now >= self._retry_at
        ):
            self._fork(now, actions)

    def _replaceable(self, worker: _Worker) -> bool:
        return worker.state is WorkerState.READY and (worker.outdated or worker.generation != self.generation)

    def _load(self, now: float, actions: list[Action]) -> None:
        self._reload_wanted = False
        self.loading = self._next_generation
        self._next_generation += 1
        self._loading_since = now
        actions.append(StartZygote(self.loading))

    def _fork(self, now: float, actions: list[Action]) -> _Worker:
        slot = next(slot for slot in range(self.slots) if slot not in self._workers)
        worker = self._workers[slot] = _Worker(self.generation, now)
        actions.append(Fork(self.generation, slot))
        return worker

    def _retire(self, slot: int, worker: _Worker, now: float, actions: list[Action]) -> None:
        worker.state = WorkerState.RETIRING
        worker.since = now
        actions.append(Retire(slot))

    def _of(self, generation: int) -> list[_Worker]:
        return [worker for worker in self._workers.values() if worker.generation == generation]
