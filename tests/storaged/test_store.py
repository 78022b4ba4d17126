"""The store in memory: exact about time, bounded, never early. Time is an argument here."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from repram.errors import Full, NotFound
from repram.ids import ItemId
from repram.storaged.clock import Moment
from repram.storaged.store import ITEM_OVERHEAD, MemoryStore

START = 1_000_000
A, B, C = (ItemId(bytes([n]) * 32) for n in range(3))


def at(milliseconds: int) -> Moment:
    return Moment(START + milliseconds, 1_700_000_000_000 + milliseconds)


def test_an_item_is_there_until_its_deadline_and_gone_at_it() -> None:
    store = MemoryStore(10_000)
    store.put(A, b"sealed", 60_000, 60_000, at(0))
    assert store.get(A, at(59_999)).body == b"sealed"
    for late in (60_000, 60_001, 10**9):
        with pytest.raises(NotFound):
            store.get(A, at(late))


def test_what_was_never_put_is_not_found() -> None:
    with pytest.raises(NotFound):
        MemoryStore(10_000).get(A, at(0))


def test_the_answer_tells_created_original_and_remaining_time() -> None:
    store = MemoryStore(10_000)
    held = store.put(A, b"", 60_000, 45_000, at(0))
    assert (held.ttl, held.remaining(at(0)), held.remaining(at(5_000))) == (60_000, 45_000, 40_000)
    assert held.created == at(-15_000).wall
    assert held.remaining(at(10**9)) == 0


def test_a_full_store_refuses_and_keeps_what_it_has() -> None:
    store = MemoryStore(2 * (100 + ITEM_OVERHEAD))
    store.put(A, bytes(100), 60_000, 60_000, at(0))
    store.put(B, bytes(100), 60_000, 60_000, at(0))
    with pytest.raises(Full, match=r"this node is full: 1\.2 KiB of 1\.2 KiB"):
        store.put(C, b"", 60_000, 60_000, at(59_999))
    assert [len(store.get(item, at(59_999)).body) for item in (A, B)] == [100, 100]


def test_room_kept_for_what_is_on_its_way_is_not_given_twice() -> None:
    store = MemoryStore(100 + ITEM_OVERHEAD)
    with store.reserved(100, at(0)):
        with pytest.raises(Full), store.reserved(0, at(0)):
            pass
        with pytest.raises(Full):
            store.put(A, b"", 60_000, 60_000, at(0))
    store.put(A, bytes(100), 60_000, 60_000, at(0))


def test_what_has_expired_makes_room_at_once() -> None:
    store = MemoryStore(100 + ITEM_OVERHEAD)
    for turn in range(50):
        now = at(turn * 30_100)
        store.put(ItemId(turn.to_bytes(32, "big")), bytes(100), 30_000, 30_000, now)
        assert len(store) == 1


def test_a_second_put_lengthens_and_never_shortens() -> None:
    store = MemoryStore(10_000)
    store.put(A, b"x", 60_000, 60_000, at(0))
    assert store.put(A, b"x", 30_000, 30_000, at(0)).remaining(at(0)) == 60_000
    assert store.put(A, b"x", 90_000, 90_000, at(0)).remaining(at(0)) == 90_000
    store.expire(at(89_999))
    assert store.get(A, at(89_999)).body == b"x"
    assert len(store) == 1


def test_an_item_put_again_after_its_end_is_not_freed_with_its_first_life() -> None:
    store = MemoryStore(10_000)
    store.put(A, b"x", 30_000, 30_000, at(0))
    store.put(A, b"x", 30_000, 30_000, at(30_000))
    store.expire(at(30_100))
    assert store.get(A, at(59_999)).body == b"x"


def test_many_items_that_end_at_once_are_freed_in_slices() -> None:
    store = MemoryStore(1 << 30)
    for number in range(2_500):
        store.put(ItemId(number.to_bytes(32, "big")), b"", 30_000, 30_000, at(0))
    assert [store.expire(at(30_100), limit=1_000) for _ in range(4)] == [1_000, 1_000, 500, 0]
    assert (len(store), store.used) == (0, 0)


class StoreAgainstModel(RuleBasedStateMachine):
    """Any sequence of puts, reads, sweeps and time against a dict of (size, deadline)."""

    items: Bundle[ItemId] = Bundle("items")
    capacity = 6 * (50 + ITEM_OVERHEAD)

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore(self.capacity)
        self.model: dict[ItemId, tuple[int, int]] = {}
        self.time = 0

    def live(self) -> dict[ItemId, tuple[int, int]]:
        return {item: held for item, held in self.model.items() if held[1] > self.time}

    @rule(target=items, number=st.integers(0, 9))
    def name(self, number: int) -> ItemId:
        return ItemId(bytes([number]) * 32)

    @rule(item=items, size=st.integers(0, 50), ttl=st.integers(1, 300))
    def put(self, item: ItemId, size: int, ttl: int) -> None:
        live = self.live()
        known = live.get(item)
        needed = sum(each + ITEM_OVERHEAD for each, _ in live.values()) + size + ITEM_OVERHEAD
        try:
            self.store.put(item, bytes(known[0] if known else size), ttl, ttl, at(self.time))
        except Full:
            # Up to one bucket of the queue may be dead and not yet freed.
            assert known is None
            fresh = [each for each, end in self.model.values() if end > self.time - 100]
            assert (
                sum(each + ITEM_OVERHEAD for each in fresh) + size + ITEM_OVERHEAD > self.capacity
            )
        else:
            if known is None:
                assert needed <= self.capacity
                self.model[item] = (size, self.time + ttl)
            else:
                self.model[item] = (known[0], max(known[1], self.time + ttl))

    @rule(item=items)
    def get(self, item: ItemId) -> None:
        held = self.live().get(item)
        if held is None:
            with pytest.raises(NotFound):
                self.store.get(item, at(self.time))
        else:
            found = self.store.get(item, at(self.time))
            assert (len(found.body), found.remaining(at(self.time))) == (
                held[0],
                held[1] - self.time,
            )

    @rule(milliseconds=st.integers(0, 200))
    def wait(self, milliseconds: int) -> None:
        self.time += milliseconds

    @rule(limit=st.integers(1, 3))
    def sweep(self, limit: int) -> None:
        self.store.expire(at(self.time), limit)

    @invariant()
    def within_bounds(self) -> None:
        assert 0 <= self.store.used <= self.capacity
        assert len(self.store) >= len(self.live())

    def teardown(self) -> None:
        self.time += 1_000
        while self.store.expire(at(self.time)):
            pass
        assert (len(self.store), self.store.used) == (0, 0)


TestStoreAgainstModel = StoreAgainstModel.TestCase
TestStoreAgainstModel.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
