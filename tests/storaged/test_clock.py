"""The node's time under every misfortune of a machine's clocks; all of it in virtual time."""

from __future__ import annotations

import logging
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repram.errors import ClockRefused
from repram.storaged import clock
from repram.storaged.clock import UNKNOWN, Clock, Mark, Reading

DAY = 86_400_000
START = 1_800_000_000_000


class Machine:
    """A machine whose clocks the test sets."""

    def __init__(self) -> None:
        self.wall, self.boot, self.boot_id = START, 5_000, b"first boot"
        self.synchronised = True

    def reading(self) -> Reading:
        return Reading(self.wall, self.boot, self.boot_id, self.synchronised)

    def start(self, mark: Mark | None = None) -> Clock:
        return Clock(lambda: self.boot, self.reading(), mark)

    def passes(self, milliseconds: int) -> None:
        self.wall += milliseconds
        self.boot += milliseconds

    def reboots(self, after: int = 60_000) -> None:
        self.wall += after
        self.boot, self.boot_id = 3_000, self.boot_id + b" and another"


@pytest.fixture
def machine() -> Machine:
    return Machine()


def marked(node: Clock) -> Mark:
    mark = node.mark()
    assert mark
    return mark


def test_a_new_node_starts_at_the_wall_clock(machine: Machine) -> None:
    machine.synchronised = False  # it holds nothing that could be lost by it
    node = machine.start()
    assert (node.now(), node.settled) == (START, True)
    machine.passes(1_234)
    assert node.now() == START + 1_234


@pytest.mark.parametrize("jump", [DAY, -DAY])
def test_the_wall_clock_may_jump_while_it_runs(machine: Machine, jump: int) -> None:
    node = machine.start()
    machine.wall += jump
    node.check(machine.reading())
    machine.passes(1_000)
    node.check(machine.reading())
    assert node.now() == START + 1_000
    assert node.settled


@pytest.mark.parametrize("jump", [DAY, -DAY, 0])
def test_a_restart_without_a_boot_ignores_the_wall_clock(machine: Machine, jump: int) -> None:
    mark = marked(machine.start())
    machine.passes(60_000)
    machine.wall += jump
    machine.synchronised = False
    node = machine.start(mark)
    assert (node.now(), node.settled) == (START + 60_000, True)


def test_time_passes_while_the_machine_sleeps(machine: Machine) -> None:
    """CLOCK_BOOTTIME goes on in a suspend, and so does the wall clock when it wakes."""
    node = machine.start()
    machine.passes(8 * 3_600_000)
    assert node.now() == START + 8 * 3_600_000


def test_the_real_clock_is_the_one_that_counts_suspends() -> None:
    before = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
    now = clock.boottime()
    assert before <= now <= time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def test_after_a_boot_a_synchronised_wall_clock_decides(machine: Machine) -> None:
    mark = marked(machine.start())
    machine.reboots(after=3_600_000)
    node = machine.start(mark)
    assert (node.now(), node.settled) == (START + 3_600_000, True)


def test_after_a_boot_with_the_clock_behind_the_mark_everything_is_held(machine: Machine) -> None:
    mark = marked(machine.start())
    machine.reboots(after=-DAY)
    node = machine.start(mark)
    assert not node.settled
    assert node.now() == START  # no earlier than it was
    with pytest.raises(ClockRefused, match="does not know the time"):
        node.refuse_unsettled()
    machine.passes(DAY)
    node.check(machine.reading())
    assert (
        not node.settled
    )  # it was off by a day, and still is: it now stands where the mark plus a day is
    machine.wall += 2 * DAY
    node.check(machine.reading())
    assert (node.settled, node.now()) == (True, machine.wall)


def test_after_a_boot_without_synchronisation_everything_is_held(machine: Machine) -> None:
    mark = marked(machine.start())
    machine.reboots()
    machine.synchronised = False
    node = machine.start(mark)
    assert not node.settled
    machine.passes(5_000)
    node.check(machine.reading())
    assert not node.settled
    machine.synchronised = True
    node.check(machine.reading())
    assert (node.settled, node.now()) == (True, START + 65_000)


def test_an_unsettled_clock_leaves_the_old_mark(machine: Machine) -> None:
    """Else a second start in the same boot would take its guess for the truth."""
    mark = marked(machine.start())
    machine.reboots(after=-DAY)
    node = machine.start(mark)
    assert node.mark() is None
    node.accept(machine.reading())
    assert marked(node).boot_id == machine.boot_id


def test_the_owner_may_say_that_the_clock_is_right(machine: Machine) -> None:
    mark = marked(machine.start())
    machine.reboots()
    machine.synchronised = False
    node = machine.start(mark)
    node.accept(machine.reading())
    assert (node.settled, node.now()) == (True, START + 60_000)


def test_not_even_the_owner_turns_time_back(machine: Machine) -> None:
    mark = marked(machine.start())
    machine.reboots(after=-DAY)
    node = machine.start(mark)
    machine.passes(10)
    node.accept(machine.reading())
    assert (node.settled, node.now()) == (True, START + 10)


@pytest.mark.parametrize("boot_id", [b"first boot", b""])
def test_a_spoiled_mark_is_no_new_node(machine: Machine, boot_id: bytes) -> None:
    machine.synchronised, machine.boot_id = False, boot_id
    assert not machine.start(UNKNOWN).settled
    machine.synchronised = True
    node = machine.start(UNKNOWN)
    assert (node.settled, node.now()) == (True, START)


def test_a_boottime_before_the_marks_is_another_boot(machine: Machine) -> None:
    mark = marked(machine.start())
    machine.boot, machine.synchronised = mark.boot - 1, False
    assert not machine.start(mark).settled


@pytest.mark.parametrize(("offset", "warned"), [(499, 0), (-499, 0), (500, 1), (-500, 1)])
def test_half_a_second_is_warned_of_once(
    machine: Machine, caplog: pytest.LogCaptureFixture, offset: int, warned: int
) -> None:
    node = machine.start()
    machine.wall += offset
    with caplog.at_level(logging.WARNING):
        node.check(machine.reading())
        node.check(machine.reading())
    assert len(caplog.records) == warned
    assert node.offset == offset


@pytest.mark.parametrize("offset", [2_000, -2_000])
def test_past_two_seconds_nothing_new_is_taken(machine: Machine, offset: int) -> None:
    node = machine.start()
    machine.wall += offset
    node.check(machine.reading())
    node.refuse_new()
    machine.wall += offset // 2_000
    node.check(machine.reading())
    with pytest.raises(ClockRefused, match="nothing new"):
        node.refuse_new()
    node.refuse_unsettled()  # what is held is served all the same


steps = st.lists(
    st.one_of(
        st.tuples(st.just("passes"), st.integers(0, DAY)),
        st.tuples(st.just("wall"), st.integers(-DAY, DAY)),
        st.tuples(st.just("reboots"), st.integers(-DAY, DAY)),
        st.tuples(st.sampled_from(["restarts", "checks", "accepts", "synchronises", "drifts"]), st.just(0)),
    ),
    max_size=30,
)  # fmt: skip


@given(steps)
def test_time_never_goes_back(story: list[tuple[str, int]]) -> None:
    machine = Machine()
    node = machine.start()
    mark = marked(node)
    latest = 0  # as far as anything that was marked goes
    for what, amount in story:
        if what == "passes":
            machine.passes(amount)
        elif what == "wall":
            machine.wall += amount
        elif what == "reboots":
            machine.reboots(amount)
            node = machine.start(mark)
        elif what == "restarts":
            node = machine.start(mark)
        elif what == "accepts":
            node.accept(machine.reading())
        elif what == "checks":
            node.check(machine.reading())
        else:
            machine.synchronised = what == "synchronises"
        assert node.now() >= latest
        mark = node.mark() or mark
        latest = max(latest, node.now() if node.settled else mark.time)


def test_this_machines_clocks_can_be_read() -> None:
    first, second = clock.read(), clock.read()
    assert first.boot <= second.boot
    assert first.boot_id == second.boot_id
    assert Clock(clock.boottime, first, None).settled
