"""Who lives through the hour: a machine whose program calls the node, works, goes, dies, or turns traitor."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Final

from repram.proto.connection import ETHERNET, Cause, Core, Event
from repram.proto.primitives import Pattern
from tests.sim.apps import LEARNED_OF_A_DEATH, Client, Mail, describe
from tests.sim.exchange import Request
from tests.sim.link import LinkSettings
from tests.sim.marked import MarkedCore, Nobody
from tests.sim.plan import SECOND
from tests.sim.scenario import ScenarioError
from tests.sim.traitor import BREACHES, Traitor

if TYPE_CHECKING:
    from tests.sim.hour import Hour

CODE: Final = 0x1000  # with which honest sessions are closed
_PATTERNS: Final = tuple(Pattern)


class Visit(Client):
    """One session of an endpoint, and what it does there."""

    endpoint: Endpoint
    rests = False

    def closed(self, event: Event) -> None:
        mine = event.connection is self.connection
        if mine and not self.is_done and event.cause in LEARNED_OF_A_DEATH:
            self.world.counts[f"hour_lost_by_{event.cause.name.lower()}"] += 1
        super().closed(event)
        if mine and self.end:
            self.endpoint.came_home(self)

    def rest(self) -> None:
        """Nothing new is begun, but the session stays."""
        self.todo.clear()
        self.rests = True

    def go(self) -> None:
        """End the session."""
        self.rests = False
        self._go_on()

    def _go_on(self) -> None:
        if self.todo or not self.rests:
            super()._go_on()


@dataclass(eq=False)
class Endpoint:
    """A machine whose program calls the node, again and again."""

    hour: Hour
    number: int
    random: Random
    visit: Visit | None = None
    traitor: Traitor | None = None
    life: int = 0
    stays: bool = False  # its visits last as long as they may

    def __post_init__(self) -> None:
        self.clock = self.random.randrange(10**12)
        core = self._core()
        self.host = self.hour.world.add(
            MarkedCore(core, takes_wholes=self.number % 2 == 0),
            (f"10.{1 + self.number // 250}.1.{self.number % 250}", 1024),
            clock=self.clock,
            largest=ETHERNET,
            tick=self.random.choice((1, 1, 50, 1000)),
        )
        self.hour.cores[self.host.index] = core
        there, back = _path(self.random), _path(self.random)
        self.hour.world.join(self.host, self.hour.server.host, there, back)

    def _core(self) -> Core:
        self.life += 1
        return self.hour._client_core(self.number, clock=self.clock, life=self.life)

    @property
    def is_home(self) -> bool:
        """Neither calls nor cheats."""
        return self.visit is None and self.traitor is None

    def call_soon(self) -> None:
        """Call the node after a while."""
        wait = 1 + int(self.random.expovariate(1 / self.hour.pace.visit))
        count = 4000 if self.stays else self.random.choice((0, 1, 2, 3, 6))
        self.hour.after(
            wait, self.host, partial(self._call_if_still_wanted, self.hour.phase, count)
        )

    def _call_if_still_wanted(self, phase: int, requests: int) -> None:
        is_there = self.host.index in self.hour.cores
        if is_there and self.is_home and not self.hour.is_over(phase):
            self.call(requests)

    def call(self, requests: int) -> None:
        """Call the node, to ask so many things of it."""
        random = self.random
        visit = Visit(
            self.hour.world,
            self.host,
            self.hour.cores[self.host.index],
            _requests(random, requests),
            at_once=random.choice((1, 1, 2, 5)),
            pause=int(random.uniform(5, 25) * SECOND)
            if self.stays
            else int(random.uniform(0, 2) * SECOND),
            code=CODE,
            mail=Mail(random.randint(0, 300), SECOND, random.randint(1, 10))
            if random.random() < 0.2
            else None,
            persists=True,
        )
        visit.endpoint = self
        self.visit = visit
        self.hour.world.counts["hour_visits"] += 1
        pattern = random.choice(_PATTERNS)
        secret = self.hour.network if pattern is Pattern.XXPSK3 else self.hour.invite
        visit.connect(self.hour.server.host.address, self.hour.cores[0].key, pattern, secret)

    def came_home(self, visit: Visit) -> None:
        """A session has ended as it should."""
        end = visit.end
        if not end or (end.cause, end.code) != (Cause.US, CODE):
            raise ScenarioError(f"endpoint {self.number} ended {describe(end) if end else 'never'}")
        if visit is self.visit:
            self.visit = None
            self.call_soon()

    def move(self) -> None:
        """A NAT gives it another address."""
        name, port = self.host.address
        self.hour.world.rebind(self.host, (name, port % 60_000 + 1))

    def die(self, *, returns: bool) -> None:
        """The program dies without a word; another takes its place, at once or in a while."""
        visit = self.visit
        self._bury()
        if returns and visit:
            core = self._reborn()
            visit.reborn(core)
            return
        self.hour.world.replace_core(self.host, Nobody())
        if visit:
            visit.vanish()
        self.visit = None
        self.hour.after(20 * SECOND, self.host, self._return)

    def _return(self) -> None:
        self._reborn()
        self.call_soon()

    def _bury(self) -> None:
        self.hour._bury(self.host, self.hour.cores.pop(self.host.index))
        self.hour.witness.died(self.host)

    def _reborn(self) -> Core:
        core = self._core()
        self.hour.cores[self.host.index] = core
        self.hour.world.replace_core(self.host, MarkedCore(core))
        self.hour.witness.born(self.host)
        return core

    def betray(self) -> bool:
        """Somebody with its keys takes over, if it has a session just now."""
        side = self.hour.witness.caller(self.host)
        if not self.visit or not self.visit.is_connected or self.visit.is_done or not side:
            return False
        self.hour._bury(self.host, self.hour.cores.pop(self.host.index))
        self.visit.vanish()
        self.visit = None
        breach = BREACHES[self.hour.world.counts["hour_betrayals"] % len(BREACHES)]
        self.traitor = Traitor(self.hour.world, self.host, side, breach)
        self.hour.world.replace_core(self.host, self.traitor)
        self.hour.after(10 * SECOND, self.host, self._repent)
        return True

    def _repent(self) -> None:
        traitor, self.traitor = self.traitor, None
        if traitor and (why := traitor.verdict()):
            raise ScenarioError(why)
        if traitor:
            self.hour.codes.add(traitor.code)
        self.hour.witness.died(self.host)
        self._return()


def _path(random: Random) -> LinkSettings:
    """A path with some of everything that paths do."""
    some = partial(_sometimes, random)
    return LinkSettings(
        delay=int(10 ** random.uniform(3, 5)),
        jitter=int(some(10 ** random.uniform(2, 4.3))),
        rate=int(some(10 ** random.uniform(5, 7))),
        queue=random.choice((30_000, 300_000)),
        loss=some(random.uniform(0, 0.05)),
        duplicate=some(random.uniform(0, 0.1)),
        reorder=some(random.uniform(0, 0.2)),
        corrupt=some(random.uniform(0, 0.02)),
        mtu=random.choice((65_507, 65_507, 1472, random.randint(1200, 1471))),
        marks=some(10 ** random.uniform(-3, -1)),
    )


def _sometimes(random: Random, value: float) -> float:
    return value if random.random() < 0.5 else 0


def _requests(random: Random, count: int) -> tuple[Request, ...]:
    return tuple(
        Request(
            random.randrange(1 << 30),
            int(2 ** random.uniform(0, 14)),
            int(2 ** random.uniform(0, random.choice((8, 14, 14, 18)))),
            random.random() < 0.5,
            patience=int(10 ** random.uniform(4, 7)) if random.random() < 0.1 else 0,
        )
        for _ in range(count)
    )
