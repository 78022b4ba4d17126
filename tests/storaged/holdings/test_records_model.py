"""Records beside a small model of them, over random sequences of operations, times and restarts."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from repram.proto.messages import ANY_VERSION, NO_VERSION, NewRecord
from repram.proto.rpc import Code
from repram.storaged.holdings.book import Book
from repram.storaged.holdings.records import Records
from repram.storaged.holdings.terms import SKEW
from repram.storaged.holdings.versions import told
from tests.storaged.counting_gate import CountingGate
from tests.storaged.ledger_tier import LedgerTier
from tests.storaged.writer import MINUTE, T0, Writer, check_proof, new

NAMES = st.sampled_from("abcde")
TTLS = st.sampled_from([1_000, 5_000, MINUTE])
STEPS = st.sampled_from([0, 1, 999, 1_000, 4_000, MINUTE])


@dataclass
class Slot:
    """All that is known of one name: the newest version that was ever taken, and what holds it down."""

    version: int = 0
    value: bytes = b""
    removed: bool = False
    over: int = 0  # when it is not there any more
    deadline: int = 0  # the greatest ever signed: until then nothing older may come


class RecordsBesideAModel(RuleBasedStateMachine):
    """The model keeps everything for ever, and so is easily right."""

    def __init__(self) -> None:
        super().__init__()
        self.now = T0
        self.counter = 0
        self.writer = Writer.of(1)
        self.tier = LedgerTier()
        self.model: dict[str, Slot] = {}
        self.sent: list[NewRecord] = []
        self.start()

    def start(self) -> None:
        self.gate = CountingGate()
        self.book = Book(self.tier, 1 << 30)
        self.records = Records(self.book, self.gate, lambda _item, _owner: None)
        self.book.restore(self.now)

    def there(self, name: str) -> Slot | None:
        slot = self.model.get(name)
        return slot if slot is not None and slot.over > self.now else None

    # ---- what happens

    @rule(
        names=st.lists(NAMES, min_size=1, max_size=5),
        ttl=TTLS,
        ahead=st.sampled_from([0, 0, 1, SKEW, SKEW + 1]),
        removed=st.booleans(),
        expects=st.sampled_from(["any", "none", "current", "wrong"]),
    )
    def put(self, names: list[str], ttl: int, ahead: int, removed: bool, expects: str) -> None:
        news = []
        for name in names:
            self.counter += 1
            there = self.there(name)
            current = there.version if there else NO_VERSION
            expected = {"any": ANY_VERSION, "none": NO_VERSION, "current": current, "wrong": 1}
            value = b"" if removed else b"%d" % self.counter
            news.append(
                new(
                    name,
                    value,
                    at=self.now + ahead,
                    counter=self.counter,
                    ttl=ttl,
                    removed=removed,
                    expects=expected[expects],
                )
            )
        self.send(news)

    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        if self.sent:
            chosen = st.lists(st.sampled_from(self.sent), min_size=1, max_size=5)
            self.send(data.draw(chosen))

    @rule(step=STEPS, swept=st.booleans())
    def pass_time(self, step: int, swept: bool) -> None:
        self.now += step
        while swept and self.book.expire(self.now):
            pass

    @rule()
    def restart(self) -> None:
        asyncio.run(self.tier.settled())
        self.tier = LedgerTier(self.tier.disk)
        self.start()

    def send(self, news: list[NewRecord]) -> None:
        self.sent += news
        values = [each.value for each in news]
        outcomes = self.records.put(self.writer.put(*news), values, b"", self.now).outcomes
        expected = [self.expected(each) for each in news]
        assert [each.code for each in outcomes] == expected

    def expected(self, each: NewRecord) -> int:
        """The rules, plainly."""
        name = each.label.decode().rstrip(".")
        slot, there = self.model.setdefault(name, Slot()), self.there(name)
        if (each.version >> 20) - self.now > SKEW:
            return Code.CLOCK
        if each.deadline - each.ttl - self.now > SKEW:
            return Code.CLOCK
        over = min(each.deadline, self.now + each.ttl)
        if over <= self.now:
            return Code.OUT_OF_BOUNDS
        if there is not None and each.version == there.version:
            return 0  # a replay; versions differ in their counter
        if each.version <= slot.version and slot.deadline > self.now:
            return Code.CONFLICT
        current = there.version if there else NO_VERSION
        absent = there is None or there.removed
        if each.expects not in {ANY_VERSION, current} and not (
            each.expects == NO_VERSION and absent
        ):
            return Code.CONFLICT
        slot.version, slot.value, slot.removed = each.version, each.value, each.removed
        slot.over, slot.deadline = over, max(slot.deadline, each.deadline)
        return 0

    # ---- what has to be true

    @invariant()
    def is_what_the_model_says(self) -> None:
        listed = set(self.records.after(self.writer.owner, b"", 100))
        for name in self.model:
            there, item = self.there(name), self.writer.id(name)
            found = self.records.get(item, self.now)
            assert (found is None) == (there is None)
            if found is None or there is None:
                assert self.records.row(item, self.now) is None
                continue
            record = told(*found, self.records.value(found[0]), self.now)
            check_proof(record)
            assert (record.version, record.value, record.removed) == (
                there.version,
                there.value,
                there.removed,
            )
            assert 0 < record.remaining <= record.ttl
            assert self.now + record.remaining == there.over
            assert (item in listed) == (not there.removed)

    def teardown(self) -> None:
        self.now += 2 * MINUTE
        while self.book.expire(self.now):
            pass
        assert len(self.book) == 0
        assert self.gate.held.total() == 0


RecordsBesideAModel.TestCase.settings = settings(max_examples=30, stateful_step_count=30)
TestRecordsBesideAModel = RecordsBesideAModel.TestCase
