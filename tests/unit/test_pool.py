"""pool.py: who is started and ended, told as scenarios, and held to invariants under any order of events."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fastworker.supervisor import pool
from fastworker.supervisor.backoff import LONGEST_S
from fastworker.supervisor.pool import (
    FORK_S,
    NEXT,
    Abandon,
    AppReady,
    Fork,
    GiveUp,
    Kill,
    Pool,
    RecycleAsked,
    ReloadAsked,
    ResizeAsked,
    Retire,
    StartZygote,
    StopAsked,
    StopZygote,
    Tell,
    Tick,
    WorkerForked,
    WorkerGone,
    WorkerReady,
    WorkerState,
    ZygoteGone,
)

START_TIMEOUT_S, RETIRE_S = 300.0, 67.0
READY, RETIRING = WorkerState.READY, WorkerState.RETIRING


class World:
    """A pool with a clock, and what its actions have made of the system so far."""

    def __init__(self, size: int) -> None:
        self.size = self.most = size
        self.pool = Pool(size=size, slots=2 * size + 5, start_timeout_s=START_TIMEOUT_S, retire_s=RETIRE_S)
        self.now = 1000.0
        self.zygotes: dict[int, bool] = {}  # generation -> has imported the app
        self.started: set[int] = set()
        self.workers: dict[int, int] = {}  # slot -> generation
        self.told_to_go: set[int] = set()
        self.given_up: GiveUp | None = None
        self.stopping = False

    def do(self, event: pool.Event) -> list[pool.Action]:
        """One step. Whatever the actions are, they must make sense in the system as it is."""
        self.stopping |= isinstance(event, StopAsked)
        if isinstance(event, ResizeAsked):
            self.size, self.most = event.size, max(self.most, event.size)
        actions = self.pool.step(self.now, event)
        for action in actions:
            match action:
                case StartZygote(generation):
                    assert generation not in self.started
                    assert not self.stopping
                    self.started.add(generation)
                    self.zygotes[generation] = False
                case StopZygote(generation):
                    imported = self.zygotes.pop(generation, False)
                    assert not imported or generation not in self.workers.values()
                case Fork(generation, slot):
                    assert not self.stopping
                    assert self.zygotes.get(generation), f"nothing to fork from: generation {generation}"
                    assert slot in range(self.pool.slots)
                    assert slot not in self.workers
                    self.workers[slot] = generation
                case Retire(slot):
                    assert slot in self.workers
                    assert slot not in self.told_to_go
                    self.told_to_go.add(slot)
                    assert self.stopping or self.given_up or len(self.ready()) >= self.size
                case Kill(slot):
                    assert slot in self.workers
                case Abandon(slot):
                    assert self.pool.state_of(slot) is WorkerState.FORKING
                case GiveUp():
                    assert self.given_up is None
                    assert not self.stopping
                    self.given_up = action
                    self.stopping = True
                case Tell():
                    pass
        for action in actions:
            if isinstance(action, Abandon):
                self.gone(action.slot)
        return actions

    def ready(self) -> list[int]:
        return self.pool.slots_in(READY)

    def wait(self, seconds: float) -> list[pool.Action]:
        self.now += seconds
        return self.do(Tick())

    def gone(self, slot: int, *, served: bool = False, exit_code: int = 5, killed: bool = False) -> list[pool.Action]:
        del self.workers[slot]
        self.told_to_go.discard(slot)
        return self.do(WorkerGone(slot, "it died", served, exit_code, killed=killed))

    def start(self, slot: int) -> list[pool.Action]:
        return self.do(WorkerForked(slot)) + self.do(WorkerReady(slot))

    def import_app(self) -> list[pool.Action]:
        generation = self.pool.generations.loading
        assert generation is not None
        self.zygotes[generation] = True
        return self.do(AppReady(generation))

    def fail_import(self, exit_code: int = 3) -> list[pool.Action]:
        generation = self.pool.generations.loading
        assert generation is not None
        del self.zygotes[generation]
        return self.do(ZygoteGone(generation, exit_code, "no such module"))

    def lose_zygote(self, generation: int) -> None:
        """First its own end is told, then at once that of workers it will never fork; the others' some time later."""
        del self.zygotes[generation]
        self.do(ZygoteGone(generation, 5, "killed"))
        for slot in [slot for slot, own in self.workers.items() if own == generation]:
            if self.pool.state_of(slot) is WorkerState.FORKING:
                self.gone(slot)

    def settle(self) -> None:
        """From here on everything goes well, for long enough."""
        for _ in range(30 * self.size + 30):
            if self.pool.generations.loading is not None:
                self.import_app()
            for slot in list(self.workers):
                state = self.pool.state_of(slot)
                if self.workers[slot] not in self.zygotes and not self.zygotes.get(self.workers[slot]):
                    self.gone(slot, served=True)  # it dies with its zygote
                elif state is WorkerState.FORKING:
                    self.do(WorkerForked(slot))
                elif state is WorkerState.STARTING:
                    self.do(WorkerReady(slot))
                elif slot in self.told_to_go:
                    self.gone(slot, served=True)
            self.wait(1.0)


def serving(size: int) -> World:
    """A pool whose workers are all ready, and have been for a while."""
    world = World(size)
    assert world.do(Tick()) == [StartZygote(0)]
    world.import_app()
    for slot in list(world.workers):
        world.start(slot)
    world.wait(10.0)
    assert len(world.ready()) == size
    return world


def pauses(actions: list[pool.Action]) -> list[object]:
    return [action.fields["pause_s"] for action in actions if isinstance(action, Tell) and "pause_s" in action.fields]


# -- start -----------------------------------------------------------------------------------------------------------


def test_workers_are_forked_once_the_app_is_imported():
    """First the zygote, then as many workers as wanted, and then nothing but ticks."""
    world = World(3)
    assert world.do(Tick()) == [StartZygote(0)]
    assert world.wait(100.0) == []
    assert world.import_app() == [Fork(0, 0), Fork(0, 1), Fork(0, 2)]
    for slot in (2, 0, 1):
        assert world.start(slot) == []
    assert world.wait(0.02) == []
    assert sorted(world.ready()) == [0, 1, 2]
    assert not world.pool.empty


def test_an_app_that_cannot_be_imported_ends_the_server():
    """Nothing is tried twice; the cause and the exit code are the import's."""
    world = World(2)
    world.do(Tick())
    assert world.fail_import() == [GiveUp(3, "no such module")]
    assert world.wait(1000.0) == []


def test_an_import_that_takes_too_long_ends_the_server():
    """Exit code 3, and the setting that says how long is long; not a moment earlier."""
    world = World(2)
    world.do(Tick())
    assert world.wait(START_TIMEOUT_S) == []
    stop, give_up = world.wait(0.1)
    assert stop == StopZygote(0)
    assert isinstance(give_up, GiveUp)
    assert give_up.exit_code == 3
    assert "FASTWORKER_START_TIMEOUT=300 s" in give_up.cause


def test_a_worker_that_does_not_get_ready_is_killed():
    """Its start hooks hang; once, and again if it is still there after as long a time."""
    world = World(1)
    world.do(Tick())
    world.import_app()
    world.do(WorkerForked(0))
    assert world.wait(START_TIMEOUT_S) == []
    [kill] = world.wait(0.1)
    assert kill == Kill(0, "not ready within FASTWORKER_START_TIMEOUT=300 s")
    assert world.wait(0.1) == []
    assert world.wait(START_TIMEOUT_S) == [kill]


def test_a_zygote_that_does_not_fork_is_replaced_by_a_new_import():
    """It stands still, perhaps in a fork hook: whom it forked before go on until their successors are there."""
    world = serving(2)
    world.gone(0, served=True)
    assert world.wait(FORK_S) == []
    told, abandon, load = world.wait(0.1)
    assert isinstance(told, Tell)
    assert told.event == "zygote.silent"
    assert abandon == Abandon(0)
    assert load == StartZygote(1)
    assert world.ready() == [1]
    assert world.import_app() == [Fork(1, 0)]
    assert world.start(0) == [Fork(1, 2)]
    assert world.start(2) == [Retire(1)]
    assert world.gone(1, served=True) == [StopZygote(0)]


def test_a_zygote_that_cannot_be_forked_is_tried_again():
    """Too many processes, or no memory: with backoff at the first start; a reload keeps the code from before."""
    world = World(1)
    world.do(Tick())
    unborn = ZygoteGone(0, 5, "cannot be forked", unborn=True)
    assert world.do(unborn) == [StartZygote(1)]
    world = serving(1)
    world.do(ReloadAsked())
    [failed] = world.do(ZygoteGone(1, 5, "cannot be forked", unborn=True))
    assert isinstance(failed, Tell)
    assert failed.event == "reload.failed"
    assert world.ready() == [0]


@pytest.mark.parametrize("zygote", [True, False])
def test_no_process_to_be_had_ends_the_server_only_after_its_start_timeout(zygote):
    """The limit of processes, or no memory: that passes; the server that the host would start next had no more."""
    world = World(1)
    world.do(Tick())
    if not zygote:
        world.import_app()
    tries = 0
    while world.given_up is None:
        if zygote and world.pool.generations.loading is not None:
            world.do(ZygoteGone(world.pool.generations.loading, 5, "cannot be forked", unborn=True))
            tries += 1
        elif world.workers:
            del world.workers[0]
            world.do(WorkerGone(0, "cannot be forked", served=False, unborn=True))
            tries += 1
        world.wait(0.1)
    assert 1000 + START_TIMEOUT_S <= world.now <= 1010 + START_TIMEOUT_S
    assert tries > 60
    assert world.given_up.exit_code == 5
    assert "cannot be forked" in world.given_up.cause


def test_an_event_that_cannot_be_is_a_defect():
    """A worker is ready once: an unlisted transition raises, and names state and event."""
    world = serving(1)
    with pytest.raises(AssertionError, match=r"READY.*WorkerReady"):
        world.do(WorkerReady(0))


# -- crashes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("served", [True, False])
def test_a_worker_that_dies_is_replaced_at_once(served):
    """Into the same slot, from the same generation; its neighbours go on."""
    world = serving(2)
    assert world.gone(1, served=served) == [Fork(0, 1)]
    assert world.ready() == [0]


def test_a_worker_that_works_may_die_any_number_of_times():
    """Deaths of workers that have answered, or lived a second, are no crash loop, however fast they come."""
    world = serving(1)
    for _ in range(20):
        assert world.gone(0, served=True) == [Fork(0, 0)]
        world.start(0)
    for _ in range(20):
        world.now += pool.YOUNG_S
        assert world.gone(0) == [Fork(0, 0)]
        world.start(0)


@pytest.mark.parametrize("ready", [True, False])
def test_starts_that_fail_are_tried_ever_more_slowly_and_then_no_more(ready):
    """Once at once, then with pauses that double, and the fifth failure in a row ends the server with its cause."""
    world = World(1)
    world.do(Tick())
    world.import_app()
    seen = []
    for _ in range(pool.FAILED_STARTS):
        assert list(world.workers) == [0]
        world.do(WorkerForked(0))
        if ready:
            world.do(WorkerReady(0))
        actions = world.gone(0, exit_code=3)
        for pause in pauses(actions):
            seen.append(pause)
            assert not world.workers
            assert world.wait(pause * 0.9) == []  # type: ignore[operator]
            actions += world.wait(pause * 0.2)  # type: ignore[operator]
    assert seen == [0.1, 0.2, 0.4, 0.8]
    assert world.given_up == GiveUp(3, "no worker can be started, 5 tries failed: it died")
    assert world.wait(100.0) == []


def test_workers_that_are_killed_when_they_are_young_do_not_end_the_server():
    """By the out-of-memory killer, say: they had started well. They are replaced ever more slowly, for ever."""
    world = World(2)
    world.do(Tick())
    world.import_app()
    seen: list[object] = []
    for _ in range(4 * pool.FAILED_STARTS):
        for slot in sorted(world.workers):
            world.start(slot)
        for slot in world.ready():
            seen += pauses(world.gone(slot, killed=True))
        assert world.given_up is None
        world.wait(LONGEST_S)
        assert len(world.workers) == 2
    assert seen[:4] == [0.1, 0.2, 0.4, 0.8]
    assert seen[-1] == LONGEST_S
    world.settle()
    assert pauses(world.gone(0, killed=True)) == [], "what lived a second has made up for them"


@pytest.mark.parametrize("event", [WorkerForked, WorkerReady, Retire])
@pytest.mark.parametrize("state", WorkerState)
def test_the_table_tells_what_becomes_of_a_worker(state, event):
    """Told to go, it goes, however far it had come by then; nothing else leads back."""
    after = NEXT.get((state, event))
    order = list(WorkerState)
    if event is Retire:
        assert after is (None if state is RETIRING else RETIRING)
    elif state is RETIRING:
        assert after is RETIRING
    else:
        listed = {WorkerForked: WorkerState.FORKING, WorkerReady: WorkerState.STARTING}[event] is state
        assert after is (order[order.index(state) + 1] if listed else None)


@pytest.mark.parametrize("killed", [True, False])
def test_a_start_that_is_killed_before_it_is_ready_has_failed(killed):
    """A start hook that takes all memory would do so again at the next try."""
    world = World(1)
    world.do(Tick())
    world.import_app()
    for _ in range(pool.FAILED_STARTS):
        world.do(WorkerForked(0))
        world.gone(0, killed=killed)
        world.wait(LONGEST_S)
    assert world.given_up is not None


def test_a_good_start_forgets_the_failed_ones():
    """Five in a row are a loop; four, a success and four are bad luck."""
    world = World(1)
    world.do(Tick())
    world.import_app()
    for _ in range(3):
        for _ in range(pool.FAILED_STARTS - 1):
            world.gone(0)
            world.wait(LONGEST_S)
        world.start(0)
        world.gone(0, served=True)
    assert world.given_up is None


def test_starts_that_fail_beside_a_healthy_worker_are_slowed_down_too():
    """The server goes on with what it has; it does not fork as fast as it can for ever."""
    world = serving(2)
    world.gone(1)
    forks = 0
    for _ in range(1500):  # half a minute; a start takes one scan to fail
        if 1 in world.workers:
            forks += 1
            world.do(WorkerForked(1))
            world.gone(1)
        world.wait(0.02)
    assert world.given_up is None
    assert 5 <= forks <= 20


# -- reload ----------------------------------------------------------------------------------------------------------


def reload(world: World) -> None:
    assert world.do(ReloadAsked()) == [StartZygote(world.pool.generations.newest + 1)]


@pytest.mark.parametrize("size", [1, 3])
def test_a_reload_replaces_one_worker_at_a_time(size):
    """Each successor is ready before its predecessor is told to go, and the old zygote goes with the last of these."""
    world = serving(size)
    reload(world)
    actions = world.import_app()
    for left in range(size, 0, -1):
        [fork] = actions
        assert isinstance(fork, Fork)
        assert fork.generation == 1
        assert world.do(WorkerForked(fork.slot)) == []
        [retire] = world.do(WorkerReady(fork.slot))
        assert isinstance(retire, Retire)
        assert world.workers[retire.slot] == 0
        assert len(world.ready()) == size
        assert world.wait(1.0) == []
        actions = world.gone(retire.slot, served=True)
        if left == 1:
            assert actions == [StopZygote(0)]
    assert set(world.workers.values()) == {1}
    assert world.wait(1.0) == []


def test_a_reload_that_cannot_be_imported_keeps_the_code_from_before():
    """Be it an error or a hang; and the next reload is a new try."""
    world = serving(2)
    reload(world)
    [tell] = world.fail_import()
    assert tell == Tell("reload.failed", {"cause": "no such module", "serving": "the code from before"})
    assert world.do(ReloadAsked()) == [StartZygote(2)]
    stop, tell = world.wait(START_TIMEOUT_S + 1)
    assert stop == StopZygote(2)
    assert isinstance(tell, Tell)
    assert world.do(ReloadAsked()) == [StartZygote(3)]
    assert len(world.ready()) == 2
    world.settle()
    assert set(world.workers.values()) == {3}


def test_a_reload_whose_workers_do_not_start_falls_back():
    """Its start hooks fail: after the fifth time the code from before serves on, as if nothing had been."""
    world = serving(2)
    reload(world)
    world.import_app()
    actions: list[pool.Action] = []
    for _ in range(pool.FAILED_STARTS):
        [slot] = [slot for slot, generation in world.workers.items() if generation == 1]
        world.do(WorkerForked(slot))
        actions = world.gone(slot)
        world.wait(LONGEST_S)
    assert Tell("reload.failed", {"cause": "it died", "serving": "the code from before"}) in actions
    assert StopZygote(1) in actions
    assert world.given_up is None
    assert sorted(world.ready()) == [0, 1]
    assert set(world.workers.values()) == {0}
    assert world.gone(0, served=True) == [Fork(0, 0)]


def test_a_reload_repairs_an_app_whose_workers_die():
    """No worker of the old code is left when the new one is imported: its zygote is not kept, nor fallen back to."""
    world = serving(1)
    assert world.gone(0) == [Fork(0, 0)]
    reload(world)
    world.gone(0)
    world.gone(0)
    assert not world.workers  # a pause before the next try
    assert Fork(1, 0) in world.import_app()
    world.settle()
    assert world.zygotes == {1: True}
    while not world.given_up and world.pool.generations.newest == 1:
        world.gone(0)
        world.wait(LONGEST_S)
    assert world.pool.generations.newest == 1


def test_two_reloads_in_a_row_end_with_the_second():
    """Asked for while the first is being imported; nothing of the first is left."""
    world = serving(2)
    reload(world)
    assert world.do(ReloadAsked()) == []
    assert StartZygote(2) in world.import_app()
    world.settle()
    assert set(world.workers.values()) == {2}
    assert world.zygotes == {2: True}


def test_a_worker_that_dies_during_a_reload_is_replaced_by_the_new_code():
    """There is no way back for a slot that is empty anyhow."""
    world = serving(3)
    reload(world)
    [fork] = world.import_app()
    assert isinstance(fork, Fork)
    assert world.gone(0, served=True) == []  # the successor under way is one again
    assert world.gone(1, served=True) == [Fork(1, 0)]


# -- recycling -------------------------------------------------------------------------------------------------------


def test_workers_that_grow_old_together_are_replaced_one_after_the_other():
    """Never two at once, never fewer than wanted, and each of them once."""
    world = serving(3)
    old = set(world.workers)
    actions = [action for slot in old for action in world.do(RecycleAsked(slot))]
    retired = []
    for _ in old:
        [fork] = actions
        assert isinstance(fork, Fork)
        [retire] = world.start(fork.slot)
        assert isinstance(retire, Retire)
        retired.append(retire.slot)
        assert world.do(RecycleAsked(retire.slot)) == []  # asked again while it goes
        actions = world.gone(retire.slot, served=True)
    assert actions == []
    assert sorted(retired) == sorted(old)


def test_a_worker_that_does_not_go_is_killed():
    """After the time that its invocations and its stop hooks may take."""
    world = serving(1)
    [fork] = world.do(RecycleAsked(0))
    assert isinstance(fork, Fork)
    assert world.start(fork.slot) == [Retire(0)]
    assert world.wait(RETIRE_S) == []
    assert world.wait(0.1) == [Kill(0, "still there 67 s after it was told to end")]
    assert world.gone(0) == []


def test_a_larger_pool_forks_and_a_smaller_one_retires_one_after_the_other():
    """And a reload keeps the size that was asked for last."""
    world = serving(2)
    assert world.do(ResizeAsked(4)) == [Fork(0, 2), Fork(0, 3)]
    assert world.start(2) + world.start(3) == []
    reload(world)
    world.import_app()
    world.settle()
    assert len(world.ready()) == 4
    assert set(world.workers.values()) == {1}
    [first] = world.do(ResizeAsked(1))
    assert isinstance(first, Retire)
    assert world.wait(1.0) == []  # the next one, when that has ended
    [second] = world.gone(first.slot, served=True)
    assert isinstance(second, Retire)
    world.settle()
    assert len(world.ready()) == 1


# -- the zygote's death, and the end -----------------------------------------------------------------------------------


def test_a_dead_zygote_is_started_again():
    """Its workers die with it: import again, then as many workers as wanted; the server goes on."""
    world = serving(2)
    world.lose_zygote(0)
    assert world.zygotes == {1: False}
    for slot in (0, 1):
        world.gone(slot, served=True)
    assert world.import_app() == [Fork(1, 0), Fork(1, 1)]


@pytest.mark.parametrize("forked", [True, False])
def test_a_zygotes_death_is_one_failed_start_however_many_workers_it_takes_along(forked):
    """It dies while all of its first workers are young: that is no crash loop yet."""
    world = World(8)
    world.do(Tick())
    world.import_app()
    for slot in list(world.workers) if forked else []:
        world.start(slot)
    world.lose_zygote(0)
    for slot in list(world.workers):
        world.gone(slot)
    assert world.given_up is None
    world.settle()
    assert set(world.workers.values()) == {1}


def test_a_zygote_that_dies_while_it_imports_anew_is_no_end_yet():
    """The app did import before: killed twice in a row, the server tries again."""
    world = serving(2)
    world.lose_zygote(0)
    for slot in (0, 1):
        world.gone(slot, served=True)
    world.do(ZygoteGone(1, 5, "killed by SIGKILL"))
    assert world.given_up is None
    world.wait(LONGEST_S)
    assert world.import_app() == [Fork(2, 0), Fork(2, 1)]


def test_a_zygote_that_dies_again_and_again_ends_the_server():
    """Five times in a row without a worker that starts well."""
    world = World(1)
    world.do(Tick())
    for _ in range(20):
        if world.given_up:
            break
        if world.pool.generations.loading is not None:
            world.import_app()
            world.lose_zygote(world.pool.generations.newest)
        world.wait(LONGEST_S)
    assert world.given_up is not None
    assert world.given_up.exit_code == 5


def test_the_end_retires_every_worker_and_starts_nothing():
    """Those that are on their way in, too; what they say on their way is heard and means nothing."""
    world = serving(2)
    world.do(RecycleAsked(0))
    assert sorted(world.do(StopAsked())) == [Retire(0), Retire(1), Retire(2)]
    assert world.start(2) == []
    assert world.do(ReloadAsked()) == []
    for slot in (0, 1, 2):
        assert not world.pool.empty
        actions = world.gone(slot)
        assert not [action for action in actions if not isinstance(action, StopZygote)]
    assert world.pool.empty


# -- any order of events ---------------------------------------------------------------------------------------------


class AnyOrder(RuleBasedStateMachine):
    """World.do asserts that each action fits the system; here are the events, and what holds between them."""

    world: World

    @initialize(size=st.integers(1, 3))
    def begin(self, size):
        self.world = World(size)
        self.world.do(Tick())

    def of(self, *states: WorkerState) -> list[int]:
        """The workers in these states whose zygote lives: the others can only end any more."""
        world = self.world
        return [slot for slot in sorted(world.pool.slots_in(*states)) if world.workers[slot] in world.zygotes]

    @rule(seconds=st.sampled_from([0.02, 0.02, 0.5, 2.0, 6.0, 70.0, 301.0]))
    def time_passes(self, seconds):
        self.world.wait(seconds)

    @precondition(lambda self: self.world.pool.generations.loading is not None)
    @rule(good=st.sampled_from([True, True, True, False]))
    def import_ends(self, good):
        if good:
            self.world.import_app()
        else:
            self.world.fail_import()

    @precondition(lambda self: self.of(WorkerState.FORKING))
    @rule(data=st.data())
    def worker_is_forked(self, data):
        self.world.do(WorkerForked(data.draw(st.sampled_from(self.of(WorkerState.FORKING)))))

    @precondition(lambda self: self.of(WorkerState.STARTING))
    @rule(data=st.data())
    def worker_is_ready(self, data):
        self.world.do(WorkerReady(data.draw(st.sampled_from(self.of(WorkerState.STARTING)))))

    @precondition(lambda self: self.world.workers)
    @rule(data=st.data(), served=st.booleans(), exit_code=st.sampled_from([3, 5]), killed=st.booleans())
    def worker_ends(self, data, served, exit_code, killed):
        slot = data.draw(st.sampled_from(sorted(self.world.workers)))
        self.world.gone(slot, served=served, exit_code=exit_code, killed=killed)

    @precondition(lambda self: self.of(READY))
    @rule(data=st.data())
    def worker_is_old(self, data):
        self.world.do(RecycleAsked(data.draw(st.sampled_from(self.of(READY)))))

    @rule(size=st.integers(1, 4))
    def size_is_asked(self, size):
        self.world.do(ResizeAsked(size))

    @rule()
    def reload_is_asked(self):
        self.world.do(ReloadAsked())

    @precondition(lambda self: any(self.world.zygotes.values()))
    @rule(data=st.data())
    def zygote_dies(self, data):
        alive = sorted(generation for generation, imported in self.world.zygotes.items() if imported)
        self.world.lose_zygote(data.draw(st.sampled_from(alive)))

    @rule(sure=st.integers(0, 9))
    def stop_is_asked(self, sure):
        if sure == 0 and not self.world.stopping:
            self.world.do(StopAsked())

    @rule()
    def all_goes_well(self):
        """In the end there are as many workers as wanted, all of the newest code, and one zygote; or none at all."""
        self.world.settle()
        if self.world.stopping:
            assert self.world.pool.empty
            return
        assert len(self.world.ready()) == len(self.world.workers) == self.world.size
        assert set(self.world.workers.values()) == {self.world.pool.generations.newest}
        assert self.world.zygotes == {self.world.pool.generations.newest: True}

    @invariant()
    def there_are_never_more_workers_than_one_extra(self):
        """One successor under way, or one predecessor on its way out; so there is always a slot."""
        slots = self.world.pool.slots_in(*WorkerState)
        assert sorted(slots) == sorted(self.world.workers)
        if not self.world.stopping:
            assert len(slots) <= self.world.most + 1
            assert len(self.world.pool.slots_in(RETIRING)) <= 1


AnyOrder.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
test_whatever_happens_the_pool_keeps_its_promises = AnyOrder.TestCase
