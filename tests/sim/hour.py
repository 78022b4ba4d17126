"""An hour among enemies: endpoints that come and go, and all who attack at once, in virtual time.

One node is called by all others. Twice, early and in the end, everybody goes home: then nothing is left of
anything in any core, and every core holds what it held the first time. In between nobody ever gets a wrong
byte, or loses a session, but for a reason that is in the plan.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Final

from repram.proto.connection import Cause, Core, Event, Settings
from repram.proto.primitives import Pattern, Suite
from tests.sim.apps import GREEDY, LEARNED_OF_A_DEATH, Client, Mail, describe
from tests.sim.exchange import Request
from tests.sim.link import LinkSettings
from tests.sim.marked import MarkedCore, Nobody
from tests.sim.meddler import Meddler
from tests.sim.plan import MS, SECOND, Plan
from tests.sim.scenario import HELD, Scenario, ScenarioError
from tests.sim.strangers import Caller, Strangers
from tests.sim.traitor import BREACHES, Traitor
from tests.sim.world import Host

EARLY: Final = 6  # the first time that all go home: after this part of the time
CODE: Final = 0x1000  # with which honest sessions are closed
SETTINGS: Final = {
    "suites": (Suite.XCHACHA20, Suite.AEGIS256),
    "idle_timeout": 15.0,
    "keep_alive": 4.0,
    "rekey_seconds": 8.0,
    "ratchet_seconds": 15.0,
    "cookie_after": 32,
}
_PATTERNS: Final = tuple(Pattern)


@dataclass(frozen=True, slots=True)
class Pace:
    """How often something happens: on the average every so many microseconds."""

    visit: int = 90 * SECOND  # of one endpoint, after the one before
    move: int = 150 * SECOND  # of one endpoint, to another address
    jump: int = 120 * SECOND  # of somebody's clock
    death: int = 30 * SECOND  # of somebody, without a word
    betrayal: int = 20 * SECOND
    meddling: int = 250 * MS
    strangers: int = 4 * SECOND
    callers: int = 4 * SECOND  # who never go on
    flood: int = 150 * SECOND
    flooding: int = 8 * MS  # a caller in a flood
    flood_size: int = 200


HASTY: Final = Pace(
    visit=8 * SECOND,
    move=8 * SECOND,
    jump=12 * SECOND,
    death=4 * SECOND,
    betrayal=3 * SECOND,
    meddling=100 * MS,
    strangers=SECOND,
    callers=SECOND,
    flood=15 * SECOND,
)


class Visit(Client):
    """One session of an endpoint, and what it does there."""

    endpoint: Endpoint

    def closed(self, event: Event) -> None:
        mine = event.connection is self.connection
        if mine and not self.is_done and event.cause in LEARNED_OF_A_DEATH:
            self.world.counts[f"hour_lost_by_{event.cause.name.lower()}"] += 1
        super().closed(event)
        if mine and self.end:
            self.endpoint.came_home(self)

    def hurry(self) -> None:
        """Nothing new is begun."""
        self.todo.clear()
        self._go_on()


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
            largest=Settings().mtu or 1472,
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
            appetite=GREEDY,
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


class Hour(Scenario):
    """One node, many who call it, and all who attack it; `run` runs it."""

    def __init__(self, seconds: int, endpoints: int, seed: str, pace: Pace | None = None) -> None:
        super().__init__(Plan(seed, settings=dict(SETTINGS)))
        self.seconds = seconds
        self.pace = pace or Pace()
        self.phase = 0
        self.is_ebb = True
        self.codes: set[int] = set()  # with which the node has closed traitors' sessions
        self._random = self.world.random("hour")
        self.endpoints = [
            Endpoint(self, number, self.world.random(f"endpoint {number}"))
            for number in range(1, endpoints)
        ]
        for endpoint in self.endpoints[::8]:
            endpoint.stays = True
        self._flooder = self.world.add(Nobody(), ("10.69.0.1", 666))
        self.world.join(self._flooder, self.server.host, LinkSettings(), LinkSettings())
        self._inits = [self._made_by_hand() for _ in range(200)]

    def after(self, wait: int, host: Host, action: Callable[[], None]) -> None:
        """Later; the host takes its turn afterwards."""
        self.world.at(self.world.now + wait, action, host)

    def is_over(self, phase: int) -> bool:
        """Whether that phase is: of those who began in it nobody begins anything more."""
        return self.is_ebb or self.phase != phase

    # ---- what happens of its own accord

    def _now_and_then(self, every: int, act: Callable[[], None]) -> None:
        """Let it happen until the phase is over."""
        self._again(self.phase, every, act)

    def _again(self, phase: int, every: int, act: Callable[[], None]) -> None:
        def happen() -> None:
            if not self.is_over(phase):
                act()
                self._again(phase, every, act)

        wait = 1 + int(self._random.expovariate(1 / every))
        self.after(wait, self._flooder, happen)

    def _moves(self) -> None:
        endpoint = self._random.choice(self.endpoints)
        if not endpoint.traitor:
            endpoint.move()
            self.world.turn(endpoint.host)

    def _jumps(self) -> None:
        endpoint = self._random.choice(self.endpoints)
        if endpoint.host.index in self.cores:
            self.world.jump(endpoint.host, SECOND)
            endpoint.clock += SECOND
            self.world.turn(endpoint.host)

    def _dies(self) -> None:
        endpoint = self._random.choice(self.endpoints)
        if endpoint.host.index in self.cores:
            endpoint.die(returns=self._random.random() < 0.7)
            self.world.turn(endpoint.host)

    def _turns_traitor(self) -> None:
        for endpoint in self._random.sample(self.endpoints, len(self.endpoints)):
            if endpoint.betray():
                self.world.counts["hour_betrayals"] += 1
                self.world.turn(endpoint.host)
                return

    def _made_by_hand(self) -> bytes:
        """An INIT that is right in everything, of a caller who never goes on."""
        secrets = self.witness.secrets
        init = Caller(self._random, secrets.key, secrets.static).init()
        self.witness.emitted(self._flooder, init, self.server.host.address, 0)
        return init

    def _call_and_be_silent(self) -> None:
        number = self._random.randrange(4096)
        source = (f"10.68.{number >> 8}.{number & 255}", 666)
        self.world.counts["hour_silent_callers"] += 1
        self.world.inject(self.server.host, self._random.choice(self._inits), source)

    def _flood(self) -> None:
        for number in range(self.pace.flood_size):
            self.after(number * self.pace.flooding, self._flooder, self._call_and_be_silent)

    # ---- the whole of it

    def _run(self) -> None:
        self._live(self.seconds // EARLY)
        self._live(self.seconds - self.seconds // EARLY)

    def _live(self, seconds: int) -> None:
        """All come and go for so long, then all go home, and what is left is looked at."""
        self.phase += 1
        self.is_ebb = False
        pace, node, over = self.pace, self.server.host, partial(self.is_over, self.phase)
        for endpoint in self.endpoints:
            endpoint.call_soon()
        Meddler(self.world, pace.meddling, may_divert=lambda: True, finished=over).begin(node)
        Strangers(self.world, self.witness, pace.strangers, over).begin(node)
        for every, act in (
            (pace.move // len(self.endpoints), self._moves),
            (pace.jump, self._jumps),
            (pace.death, self._dies),
            (pace.betrayal, self._turns_traitor),
            (pace.callers, self._call_and_be_silent),
            (pace.flood, self._flood),
        ):
            self._now_and_then(every, act)
        self._flood()
        self._wait_until(self.world.now + seconds * SECOND)
        self._go_home()

    def _go_home(self) -> None:
        self.is_ebb = True
        for endpoint in self.endpoints:
            if endpoint.visit:
                endpoint.visit.hurry()
                self.world.turn(endpoint.host)
        self._all_are_home_and_nothing_is_left()
        asked = self.cores[0].counters()["retries_out"]
        caller = next(each for each in self.endpoints if each.host.index in self.cores)
        caller.call(requests=1)
        self.world.turn(caller.host)
        self._all_are_home_and_nothing_is_left()
        if self.cores[0].counters()["retries_out"] != asked:
            raise ScenarioError("the node asks for cookies, and nobody attacks it any more")

    def _all_are_home_and_nothing_is_left(self) -> None:
        begun = self.world.now
        if not self.world.run(begun + 600 * SECOND, lambda: all(e.is_home for e in self.endpoints)):
            late = [endpoint.number for endpoint in self.endpoints if not endpoint.is_home]
            raise ScenarioError(f"endpoints {late} have not come home after 600 s")
        idle = int(Settings(**self.plan.settings).idle_timeout * SECOND)
        self._wait_until(self.world.now + 4 * idle)
        self._nothing_is_left()

    def _wait_until(self, time: int) -> None:
        """What is over by then is judged and forgotten as time goes on, or no machine could hold an hour."""
        while self.world.now < time:
            step = min(time, self.world.now + 60 * SECOND)
            self.world.run(step, lambda: False)
            self.world.now = step
            self.witness.let_go(step - 60 * SECOND)

    def _nothing_is_left(self) -> None:
        """Neither in a core nor of its sessions in Python; and no timer runs."""
        for number, core in self.cores.items():
            counters = core.counters()
            held = {name: counters[name] for name in HELD if counters[name]}
            held |= {"connections": len(core._connections)} if core._connections else {}
            if held or core.deadline() is not None:
                raise ScenarioError(f"host {number} holds {held}, and waits for {core.deadline()}")

    def _judge(self) -> None:
        expected = {(Cause.PEER, CODE, f"done {CODE}"), (Cause.IDLE, 0, ""), (Cause.RESET, 0, "")}
        for end in self.server.ended:
            betrayed = end.cause is Cause.PROTOCOL and end.code in self.codes
            if not betrayed and (end.cause, end.code, end.reason) not in expected:
                raise ScenarioError(f"the node saw the end {describe(end)}")
        if self.server.accepted != len(self.server.ended):
            raise ScenarioError(f"{self.server.accepted} accepted, {len(self.server.ended)} ended")
        self.witness.over()
        for number, core in self.cores.items():
            self.witness.judge_drops(self.world.hosts[number], core.counters())


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
