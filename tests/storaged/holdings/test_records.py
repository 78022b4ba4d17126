"""What becomes of record versions, whatever comes when; on a clock that the test moves."""

from __future__ import annotations

from itertools import pairwise

import pytest

from repram.errors import IntegrityFailure
from repram.proto.messages import NO_VERSION, RECORD_MAX, TTL_MAX, NewRecord, Outcome
from repram.proto.rpc import Code
from repram.storaged.holdings.book import Book
from repram.storaged.holdings.records import Records
from repram.storaged.holdings.terms import SKEW
from repram.storaged.holdings.versions import told
from repram.storaged.memory import OVERHEAD, MemoryTier
from tests.storaged.counting_gate import CountingGate
from tests.storaged.writer import (
    DAY,
    MINUTE,
    T0,
    Clock,
    Writer,
    check_proof,
    new,
    version_at,
)

HELD = 0


class Shelf:
    """Records of one writer, and what was told of them."""

    def __init__(self, capacity: int = 1 << 30, quota: int = 1 << 60) -> None:
        self.clock = Clock()
        self.gate = CountingGate(quota)
        self.gone: list[bytes] = []
        self.book = Book(MemoryTier(), capacity)
        self.records = Records(self.book, self.gate, lambda item, _owner: self.gone.append(item))
        self.writer = Writer.of(1)

    def put(self, *news: NewRecord) -> list[Outcome]:
        request, values = self.writer.put(*news), [each.value for each in news]
        return self.records.put(request, values, b"", self.clock.now).outcomes

    def code(self, each: NewRecord) -> int:
        [outcome] = self.put(each)
        return outcome.code

    def value(self, name: str) -> bytes | None:
        found = self.records.get(self.writer.id(name), self.clock.now)
        if found is None or found[1].removed:
            return None
        record = told(*found, self.records.value(found[0]), self.clock.now)
        check_proof(record)
        return record.value

    def listed(self) -> list[bytes]:
        ids = self.records.after(self.writer.owner, b"", 10_000)
        return [each for each in ids if self.records.row(each, self.clock.now)]

    def sweep(self) -> None:
        while self.book.expire(self.clock.now):
            pass


def test_a_version_is_there_until_its_time_and_not_at_it() -> None:
    shelf = Shelf()
    assert shelf.put(new("a", b"1")) == [Outcome(HELD, version_at(T0), T0, MINUTE, MINUTE)]
    shelf.clock.now += MINUTE - 1
    assert shelf.value("a") == b"1"
    shelf.clock.now += 1
    assert shelf.value("a") is None
    assert shelf.listed() == []


@pytest.mark.parametrize("count", [1, 2, 3, 5, 16, 33, 63, 64])
def test_every_version_of_a_batch_is_proved_while_others_leave(count: int) -> None:
    shelf = Shelf()
    ttls = [MINUTE + 1_000 * ((7 * i) % count) for i in range(count)]
    outcomes = shelf.put(*(new(f"r{i}", b"%d" % i, ttl=ttl) for i, ttl in enumerate(ttls)))
    assert {each.code for each in outcomes} == {HELD}
    for _ in range(count):
        there = [i for i, ttl in enumerate(ttls) if T0 + ttl > shelf.clock.now]
        assert all(shelf.value(f"r{i}") == b"%d" % i for i in there)
        shelf.clock.now = T0 + MINUTE if shelf.clock.now == T0 else shelf.clock.now + 1_000
        shelf.sweep()
    assert len(shelf.book) == 0


def test_a_batch_keeps_no_more_of_its_tree_than_the_last_version_needs() -> None:
    shelf = Shelf()
    shelf.put(*(new(f"r{i}", ttl=DAY if i == 17 else MINUTE) for i in range(64)))
    shelf.clock.now += MINUTE
    shelf.sweep()
    found = shelf.records.get(shelf.writer.id("r17"), shelf.clock.now)
    assert found is not None
    assert len(found[0].batch.nodes) == 6 * 32
    assert shelf.value("r17") == b""


def test_what_the_owner_has_not_signed_is_not_kept() -> None:
    shelf = Shelf()
    request = shelf.writer.put(new("a", b"1"))
    with pytest.raises(IntegrityFailure):
        shelf.records.put(request, [b"2"], b"", T0)
    with pytest.raises(IntegrityFailure):
        shelf.records.put(Writer.of(2).put(*request.records), [b"2"], b"", T0)
    assert len(shelf.book) == 0


def test_of_two_who_change_the_same_version_one_comes_too_late() -> None:
    shelf = Shelf()
    shelf.put(new("a", b"0"))
    seen = version_at(T0)
    first, second = (new("a", b"%d" % i, at=T0 + i, expects=seen) for i in (1, 2))
    assert shelf.put(first)[0].code == HELD
    assert shelf.put(second) == [Outcome(Code.CONFLICT, version_at(T0 + 1))]
    assert shelf.value("a") == b"1"


def test_put_if_absent_is_for_what_was_never_there_was_removed_or_has_expired() -> None:
    shelf = Shelf()
    assert shelf.code(new("a", b"0", expects=NO_VERSION)) == HELD
    assert shelf.code(new("a", b"1", at=T0 + 1, expects=NO_VERSION)) == Code.CONFLICT
    assert shelf.code(new("a", at=T0 + 2, removed=True)) == HELD
    assert shelf.code(new("a", b"3", at=T0 + 3, expects=NO_VERSION)) == HELD
    shelf.clock.now = T0 + 3 + MINUTE
    assert shelf.code(new("a", b"4", at=shelf.clock.now, expects=NO_VERSION)) == HELD
    assert shelf.value("a") == b"4"


def test_an_older_version_changes_nothing_and_a_retry_is_held() -> None:
    shelf = Shelf()
    old, newer = new("a", b"old"), new("a", b"newer", at=T0 + 1, expects=version_at(T0))
    shelf.put(old)
    assert shelf.put(newer) == shelf.put(newer)
    assert shelf.put(old) == [Outcome(Code.CONFLICT, version_at(T0 + 1))]
    assert shelf.value("a") == b"newer"


def test_a_second_value_of_the_same_version_is_a_conflict() -> None:
    shelf = Shelf()
    shelf.put(new("a", b"1"))
    assert shelf.code(new("a", b"2")) == Code.CONFLICT
    assert shelf.code(new("a", b"1", note=b"n")) == Code.CONFLICT
    assert shelf.code(new("a", b"1", ttl=2 * MINUTE)) == Code.CONFLICT
    assert shelf.value("a") == b"1"


def test_a_removal_stays_until_its_deadline_and_holds_nothing() -> None:
    shelf = Shelf()
    shelf.put(new("a", bytes(1000), note=b"name", ttl=DAY))
    assert shelf.code(new("a", at=T0 + 1, ttl=DAY, removed=True)) == HELD
    assert shelf.value("a") is None
    assert shelf.records.after(shelf.writer.owner, b"", 10) == []
    assert shelf.book.used == OVERHEAD
    assert shelf.code(new("a", bytes(1000), note=b"name", ttl=DAY)) == Code.CONFLICT
    assert shelf.code(new("a", b"again", at=T0 + 2)) == HELD
    assert shelf.listed() == [shelf.writer.id("a")]


@pytest.mark.parametrize("removed", [True, False])
def test_what_goes_before_an_older_version_would_have_leaves_a_floor(removed: bool) -> None:
    shelf = Shelf()
    old = new("a", b"old", ttl=DAY)
    shelf.put(old)
    assert shelf.code(new("a", at=T0 + 1, ttl=1_000, removed=removed)) == HELD
    shelf.clock.now += MINUTE
    shelf.sweep()
    assert shelf.put(old) == [Outcome(Code.CONFLICT, version_at(T0 + 1))]
    assert shelf.value("a") is None
    assert shelf.code(new("a", b"new", at=shelf.clock.now, ttl=1_000)) == HELD
    shelf.clock.now += MINUTE
    shelf.sweep()
    assert shelf.code(old) == Code.CONFLICT
    shelf.clock.now = T0 + DAY
    shelf.sweep()
    assert len(shelf.book) == 0
    assert shelf.gate.held.total() == 0


def test_a_replay_does_not_extend_what_was_signed_ahead_of_the_node() -> None:
    shelf = Shelf()
    ahead = new("a", b"1", at=T0 + SKEW, ttl=1_000)
    assert shelf.put(ahead)[0].remaining == 1_000
    shelf.clock.now += 999
    assert shelf.value("a") == b"1"
    for _ in range(3):
        shelf.clock.now += 700
        assert shelf.code(ahead) != HELD
        assert shelf.value("a") is None


@pytest.mark.parametrize(
    ("record", "code"),
    [
        (new("a", ttl=999), Code.OUT_OF_BOUNDS),
        (new("a", ttl=1_000), HELD),
        (new("a", ttl=TTL_MAX), HELD),
        (new("a", ttl=TTL_MAX + 1), Code.OUT_OF_BOUNDS),
        (new("a", deadline=T0), Code.OUT_OF_BOUNDS),
        (new("a", deadline=T0 + 1), HELD),
        (new("a", at=T0 + SKEW), HELD),
        (new("a", deadline=T0 + MINUTE + SKEW + 1), Code.CLOCK),
        (new("a", at=T0 + SKEW + 1, deadline=T0 + MINUTE), Code.CLOCK),
        (new("a", b"v", removed=True), Code.OUT_OF_BOUNDS),
        (new("a", note=b"n", removed=True), Code.OUT_OF_BOUNDS),
        (new("a", at=0, deadline=T0 + MINUTE), Code.OUT_OF_BOUNDS),
        (new("a", bytes(RECORD_MAX)), HELD),
        (new("a", bytes(RECORD_MAX + 1)), Code.OUT_OF_BOUNDS),
    ],
)
def test_bounds_and_clocks(record: NewRecord, code: int) -> None:
    shelf = Shelf()
    assert shelf.code(record) == code
    assert len(shelf.book) == (code == HELD)


def test_one_that_is_refused_keeps_no_other_from_being_held() -> None:
    shelf = Shelf()
    shelf.gate.denied.add(shelf.writer.id("denied"))
    outcomes = shelf.put(new("a", b"1"), new("denied"), new("b", ttl=1), new("c", b"3"))
    assert [each.code for each in outcomes] == [HELD, Code.NOT_ALLOWED, Code.OUT_OF_BOUNDS, HELD]
    assert (shelf.value("a"), shelf.value("c")) == (b"1", b"3")


def test_two_versions_of_one_record_in_a_batch_come_one_after_the_other() -> None:
    shelf = Shelf()
    news = [new("a", b"1"), new("a", b"2", counter=1), new("b", b"3")]
    assert [each.code for each in shelf.put(*news)] == [HELD, HELD, HELD]
    assert (shelf.value("a"), shelf.value("b")) == (b"2", b"3")


def test_a_full_node_refuses_says_so_and_takes_removals() -> None:
    shelf = Shelf(capacity=2 * (OVERHEAD + 100))
    codes = [each.code for each in shelf.put(*(new(f"r{i}", bytes(100)) for i in range(3)))]
    assert codes == [HELD, HELD, Code.FULL]
    assert shelf.code(new("r0", bytes(101), at=T0 + 1)) == Code.FULL
    assert shelf.value("r0") == bytes(100)
    assert shelf.code(new("r0", bytes(99), at=T0 + 1)) == HELD
    assert shelf.code(new("r1", at=T0 + 1, removed=True)) == HELD


def test_a_quota_is_for_what_is_held_and_replacing_needs_only_the_difference() -> None:
    shelf = Shelf(quota=OVERHEAD + 100)
    assert shelf.code(new("a", bytes(100))) == HELD
    assert shelf.code(new("a", bytes(100), at=T0 + 1)) == HELD
    assert shelf.code(new("a", bytes(90), at=T0 + 2, note=bytes(11))) == Code.FULL
    assert shelf.gate.held.total() == OVERHEAD + 100
    shelf.clock.now += MINUTE + 1
    assert shelf.code(new("a", bytes(100), at=shelf.clock.now)) == HELD  # before any sweep
    shelf.clock.now += MINUTE
    shelf.sweep()
    assert shelf.gate.held.total() == 0


def test_what_expires_is_told_once_and_what_is_replaced_or_removed_is_not() -> None:
    shelf = Shelf()
    shelf.put(new("a"), new("b"), new("c"))
    shelf.put(new("b", at=T0 + 1, ttl=DAY), new("c", at=T0 + 1, removed=True))
    shelf.clock.now += MINUTE
    shelf.sweep()
    shelf.sweep()
    assert shelf.gone == [shelf.writer.id("a")]


def test_the_owners_ids_come_in_order_however_many_they_are() -> None:
    shelf = Shelf()
    names = [f"r{i}" for i in range(3_000)]
    for start in range(0, len(names), 60):
        shelf.put(*(new(name) for name in names[start : start + 60]))
    everything = shelf.listed()
    assert everything == sorted(shelf.writer.id(name) for name in names)
    owner = shelf.writer.owner
    assert all(shelf.records.after(owner, one, 1) == [two] for one, two in pairwise(everything))
    assert shelf.records.after(owner, everything[-1], 10) == []
    assert shelf.records.after(Writer.of(3).owner, b"", 10) == []
    shelf.clock.now += MINUTE
    shelf.sweep()
    assert shelf.records.after(owner, b"", 10) == []
