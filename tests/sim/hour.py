"""An hour among enemies: endpoints that come and go, and all who attack at once, in virtual time.

One node is called by all others. Twice, early and in the end, everybody goes home: then nothing is left of
anything in any core, and every core holds what it held the first time. In between nobody ever gets a wrong
byte, or loses a session, but for a reason that is in the plan.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from repram.proto.connection import Cause, Settings
from repram.proto.primitives import Suite
from tests.sim.apps import describe
from tests.sim.endpoint import CODE, Endpoint
from tests.sim.link import LinkSettings
from tests.sim.marked import Nobody
from tests.sim.meddler import Meddler
from tests.sim.plan import MS, SECOND, Plan
from tests.sim.scenario import HELD, Scenario, ScenarioError
from tests.sim.strangers import Caller, Strangers
from tests.sim.world import Host

EARLY: Final = 6  # the first time that all go home: after this part of the time
SETTINGS: Final = {
    "suites": (Suite.XCHACHA20, Suite.AEGIS256),
    "idle_timeout": 15.0,
    "keep_alive": 4.0,
    "rekey_seconds": 8.0,
    "ratchet_seconds": 15.0,
    "cookie_after": 32,
}


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


class Hour(Scenario):
    """One node, many who call it, and all who attack it; `run` runs it."""

    def __init__(self, seconds: int, endpoints: int, seed: str, pace: Pace | None = None) -> None:
        super().__init__(Plan(seed, settings=dict(SETTINGS)))
        self.seconds = seconds
        self.pace = pace or Pace()
        self.phase = 0
        self.is_ebb = True
        self.idle_costs: list[int] = []  # of a session in the node, bytes
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

    @property
    def _idle_limit(self) -> int:
        return int(Settings(**self.plan.settings).idle_timeout * SECOND)

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
        self._rest()
        for endpoint in self.endpoints:
            if endpoint.visit:
                endpoint.visit.go()
                self.world.turn(endpoint.host)
        self._all_are_home_and_nothing_is_left()
        asked = self.cores[0].counters()["retries_out"]
        caller = next(each for each in self.endpoints if each.host.index in self.cores)
        caller.call(requests=1)
        self.world.turn(caller.host)
        self._all_are_home_and_nothing_is_left()
        if self.cores[0].counters()["retries_out"] != asked:
            raise ScenarioError("the node asks for cookies, and nobody attacks it any more")

    def _rest(self) -> None:
        """All call, and say nothing: what a session costs then must not grow with time."""
        for endpoint in self.endpoints:
            if endpoint.is_home and endpoint.host.index in self.cores:
                endpoint.call(requests=0)
            if endpoint.visit:
                endpoint.visit.rest()
            self.world.turn(endpoint.host)
        visits = [endpoint.visit for endpoint in self.endpoints if endpoint.visit]
        if not self.world.run(
            self.world.now + 600 * SECOND, lambda: not any(visit.exchanges for visit in visits)
        ):
            raise ScenarioError("what was asked has not been answered after 600 s")
        self._wait_until(self.world.now + 2 * self._idle_limit)
        node = self.cores[0].counters()
        self.idle_costs.append(node["arena_used"] // max(1, node["sessions"]))
        if self.idle_costs[-1] > self.idle_costs[0] * 1.2:
            raise ScenarioError(f"an idle session costs more and more bytes: {self.idle_costs}")

    def _all_are_home_and_nothing_is_left(self) -> None:
        begun = self.world.now
        if not self.world.run(begun + 600 * SECOND, lambda: all(e.is_home for e in self.endpoints)):
            late = [endpoint.number for endpoint in self.endpoints if not endpoint.is_home]
            raise ScenarioError(f"endpoints {late} have not come home after 600 s")
        self._wait_until(self.world.now + 4 * self._idle_limit)
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
