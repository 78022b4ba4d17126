"""The tier on disk beside a ledger, through whatever comes to hypothesis' mind."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.storaged.disk.disks import SimulatedDisk
from tests.storaged.disk.workload import START, Ledger, Said, open_tier

KEYS = st.sampled_from([b"a", b"b", b"c", b"d"])
TTLS = st.integers(1_000, 700_000)


class Model(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.disk = SimulatedDisk()
        self.seed = 1
        self.ledger = Ledger(open_tier(self.disk))
        list(self.ledger.tier.restore(START))

    def do(self, main: Coroutine[Any, Any, None]) -> None:
        self.runner.run(main)

    def teardown(self) -> None:
        self.ledger.tier._thread.shutdown()
        self.runner.close()

    @rule(key=KEYS, meta=st.binary(max_size=9), size=st.integers(0, 3_000), ttl=TTLS)
    def put(self, key: bytes, meta: bytes, size: int, ttl: int) -> None:
        body = random.Random(size).randbytes(size)
        self.ledger.put(key, Said(meta, body, self.ledger.now + ttl))

    @precondition(lambda self: self.ledger.places)
    @rule(data=st.data(), ttl=TTLS)
    def amend(self, data: st.DataObject, ttl: int) -> None:
        key = data.draw(st.sampled_from(sorted(self.ledger.places)))
        self.ledger.amend(key, b"amended", self.ledger.now + ttl)

    @precondition(lambda self: self.ledger.places)
    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        self.ledger.drop(data.draw(st.sampled_from(sorted(self.ledger.places))))

    @rule()
    def settle(self) -> None:
        self.do(self.ledger.settle())

    @rule(later=st.sampled_from([0, 1_000, 21_000, 100_000]))
    def tend(self, later: int) -> None:
        self.do(self.ledger.settle())
        self.do(self.ledger.tend(later))

    @rule(how=st.sampled_from(["closed", "killed", "cut"]))
    def restart(self, how: str) -> None:
        if how == "closed":
            self.do(self.ledger.settle())
            self.do(self.ledger.tier.close())
        self.ledger.tier._thread.shutdown()
        if how == "cut":
            self.disk = self.disk.after_power_cut(random.Random(self.disk.calls))
        self.seed += 1
        old, self.ledger = self.ledger, Ledger(open_tier(self.disk, seed=self.seed))
        self.ledger.now = old.now
        old.check(self.ledger.tier, self.ledger)
        for secret in old.destroyed:
            assert not self.disk.holds(secret)

    @invariant()
    def bodies_are_right(self) -> None:
        ledger = self.ledger
        for key, place in ledger.places.items():
            said = [said for asked, said in ledger.asked if asked == key] or [ledger.sure[key]]
            assert said[-1]
            if said[-1].until > ledger.now:
                assert bytes(ledger.tier.body(place)) == said[-1].body
        costs = (ledger.tier.cost(place.size) for place in ledger.places.values())
        assert ledger.tier.used == sum(costs)


Model.TestCase.settings = settings(max_examples=30, stateful_step_count=25)
TestModel = Model.TestCase
