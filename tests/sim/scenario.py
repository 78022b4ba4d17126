"""Runs a plan from the first INIT to the last freed byte, and judges what came of it."""

from __future__ import annotations

import traceback
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial

from repram.proto.connection import ETHERNET, Cause, Core, Secret, Settings
from repram.proto.primitives import Pattern
from tests.sim.apps import Client, Server, describe
from tests.sim.meddler import Meddler
from tests.sim.plan import SECOND, ClientPlan, Plan, draw
from tests.sim.world import Host, World

#: Counters that say how much is held now; they must come back to zero.
HELD = ("sessions", "streams", "arena_used")


class ScenarioError(AssertionError):
    """The scenario ended otherwise than it should have."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a scenario. `why` is empty when all was right."""

    seed: str
    trace: str
    why: str
    plan: str
    counters: Counter[str]
    seconds: float

    @property
    def ok(self) -> bool:
        """All was right."""
        return not self.why


class Scenario:
    """A world built after a plan: one server, its clients, their applications."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.world = World(plan.seed)
        self.cores: list[Core] = []
        self.past: Counter[str] = Counter()
        random = self.world.random("secrets")
        self.invite = Secret(random.randbytes(8), random.randbytes(32))
        self.network = Secret(bytes(8), random.randbytes(32))  # XXpsk3 has no place for an id
        self.reset_key = random.randbytes(32)
        host = self._host(self._server_core(life=0), ("10.0.0.1", 7433), listens=True)
        self.server = Server(self.world, host, plan.appetite)
        for life, time in enumerate(plan.restarts, start=1):
            self.world.at(time, partial(self._restart, life), host)
        self.clients = [
            self._client(number, wanted) for number, wanted in enumerate(plan.clients, start=1)
        ]

    def _clock(self, number: int) -> int:
        clocks = self.plan.clocks
        return clocks[number] if number < len(clocks) else 0

    def _server_core(self, *, life: int) -> Core:
        """The server's core, new in each of its lives; what a disk would keep stays the same."""
        core = Core(
            now=self.world.now + self._clock(0),
            seed=self.world.random(f"server, life {life}").randbytes(32),
            identity=self.world.random("identity of the server").randbytes(32),
            listen=True,
            settings=Settings(
                patterns=tuple(Pattern),
                reset_key=self.reset_key,
                first_session=life << 16,
                **self.plan.settings,
            ),
        )
        core.add_secret(self.invite)
        core.add_secret(self.network)
        self.cores[:1] = [core]
        return core

    def _client_core(self, number: int) -> Core:
        core = Core(
            now=self._clock(number),
            seed=self.world.random(f"client {number}").randbytes(32),
            identity=self.world.random(f"identity of client {number}").randbytes(32),
            settings=Settings(**self.plan.settings),
        )
        self.cores.append(core)
        return core

    def _host(self, core: Core, address: tuple[str, int], *, listens: bool = False) -> Host:
        return self.world.add(
            core,
            address,
            clock=self._clock(len(self.cores) - 1),
            listens=listens,
            largest=Settings(**self.plan.settings).mtu or ETHERNET,
            tick=self.plan.tick,
        )

    def _client(self, number: int, wanted: ClientPlan) -> Client:
        core = self._client_core(number)
        host = self._host(core, (f"10.0.1.{number}", 1024))
        self.world.join(host, self.server.host, wanted.there, wanted.back)
        client = Client(
            self.world,
            host,
            core,
            wanted.requests,
            at_once=wanted.at_once,
            pause=wanted.pause,
            code=wanted.code,
            appetite=wanted.appetite,
            persists=bool(self.plan.restarts),
        )
        key, pattern = self.cores[0].key, wanted.pattern
        secret = self.network if pattern is Pattern.XXPSK3 else self.invite
        start = partial(client.connect, self.server.host.address, key, pattern, secret)
        self.world.at(0, start, host)
        if self.plan.rebind_every:
            self.world.at(self.plan.rebind_every, partial(self._move, client), host)
        for time in self.plan.jumps:
            self.world.at(time, partial(self.world.jump, host, SECOND), host)
        return client

    def _restart(self, life: int) -> None:
        """The server's process dies, without a word to anyone, and another takes its place."""
        if self._all_done():
            return
        before = self.cores[0]
        self.past.update({k: v for k, v in before.counters().items() if k not in HELD})
        before.close()
        self.server.forget()
        self.world.replace_core(self.server.host, self._server_core(life=life))

    def _all_done(self) -> bool:
        return all(client.is_done for client in self.clients)

    def _may_be_diverted(self) -> bool:
        standing = self.server.accepted == len(self.clients)
        return self.plan.races or (self.plan.diverts and standing)

    def _move(self, client: Client) -> None:
        if not client.is_done:
            name, port = client.host.address
            self.world.rebind(client.host, (name, port + 1))
            again = self.world.now + self.plan.rebind_every
            self.world.at(again, partial(self._move, client), client.host)

    def run(self) -> Result:
        """Run to the end; whatever goes wrong becomes the result's `why`."""
        why = ""
        try:
            self._run()
            self._judge()
        except AssertionError as failure:
            why = f"{type(failure).__name__}: {failure}"
        except Exception:  # noqa: BLE001  a core that raises is a failed scenario, not a failed run
            why = traceback.format_exc()
        result = Result(
            self.plan.seed,
            self.world.trace(),
            why,
            str(self.plan),
            self.counters(),
            self.world.now / SECOND,
        )
        for core in self.cores:
            core.close()
        return result

    def counters(self) -> Counter[str]:
        """What happened on all hosts and links together."""
        total = self.world.counters() + self.past
        for core in self.cores:
            total.update(core.counters())
        return total

    def _run(self) -> None:
        limit = self.plan.limit
        if self.plan.meddle_every:
            Meddler(
                self.world,
                self.plan.meddle_every,
                may_divert=self._may_be_diverted,
                finished=self._all_done,
            ).begin(self.server.host)
        if not self.world.run(limit, self._all_done):
            late = [client.host.index for client in self.clients if not client.is_done]
            raise ScenarioError(f"clients {late} were not done by {self.world.now / SECOND} s")
        patience = self.world.now + 3 * int(Settings(**self.plan.settings).idle_timeout * SECOND)
        self.world.run(patience, lambda: False)

    def _judge(self) -> None:
        for client in self.clients:
            if not client.end or (client.end.cause, client.end.code) != (Cause.US, client.code):
                how = describe(client.end) if client.end else "never"
                raise ScenarioError(f"client {client.host.index} ended {how}")
        # Who missed the CLOSE learns by silence, or asks on and is told that nobody is there.
        expected = {(Cause.PEER, client.code) for client in self.clients}
        expected |= {(Cause.IDLE, 0), (Cause.RESET, 0)}
        for end in self.server.ended:
            if (end.cause, end.code) not in expected:
                raise ScenarioError(f"the server saw the end {describe(end)}")
        self._judge_counts()
        for number, core in enumerate(self.cores):
            held = {name: core.counters()[name] for name in HELD if core.counters()[name]}
            if held:
                raise ScenarioError(f"host {number} still holds {held}")

    def _judge_counts(self) -> None:
        asked = sum(len(client.requests) for client in self.plan.clients)
        abandoned = self.world.counts["app_abandoned"]  # the CLOSE may overtake the last of them
        answered = self.server.answered
        if answered < asked - abandoned:
            raise ScenarioError(f"{asked} requests, {answered} answered")
        # Of a client that wants nothing, or not for long, the server may never hear a word.
        fewest = sum(any(not r.patience for r in client.requests) for client in self.plan.clients)
        accepted, ended = self.server.accepted, len(self.server.ended)
        if accepted != ended:
            raise ScenarioError(f"the server accepted {accepted}, but saw the end of {ended}")
        if self.plan.restarts:
            return  # what was answered in an earlier life may have been asked again
        if answered > asked or not fewest <= accepted <= len(self.clients):
            raise ScenarioError(
                f"{len(self.clients)} clients, {accepted} accepted; {asked} asked, {answered} answered"
            )


def run(plan: Plan) -> Result:
    """Run a plan."""
    return Scenario(plan).run()


def run_seed(seed: int) -> Result:
    """Draw the scenario that belongs to a seed, and run it."""
    return run(draw(seed))


def run_and_compare(plan: Plan, *, twice: bool) -> Result:
    """Run a plan, and when it is to run twice, hold the second trace against the first."""
    result = run(plan)
    if twice and (again := run(plan)).trace != result.trace:
        return replace(result, why=f"the second run's trace differs: {again.trace}")
    return result
