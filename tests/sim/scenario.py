"""Runs a plan from the first INIT to the last freed byte, and judges what came of it."""

from __future__ import annotations

import traceback
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial

from repram.proto.connection import Cause, Core, Secret, Settings
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
        self.server_core, server_host = self._host("server", ("10.0.0.1", 7433), listen=True)
        random = self.world.random("secrets")
        self.invite = Secret(random.randbytes(8), random.randbytes(32))
        self.network = Secret(bytes(8), random.randbytes(32))  # XXpsk3 has no place for an id
        self.server_core.add_secret(self.invite)
        self.server_core.add_secret(self.network)
        self.server = Server(self.world, server_host, plan.appetite)
        self.clients = [
            self._client(number, wanted) for number, wanted in enumerate(plan.clients, start=1)
        ]

    def _host(
        self, name: str, address: tuple[str, int], *, listen: bool = False
    ) -> tuple[Core, Host]:
        plan, number = self.plan, len(self.cores)
        clock = plan.clocks[number] if number < len(plan.clocks) else 0
        core = Core(
            now=clock,
            seed=self.world.random(f"core of {name}").randbytes(32),
            identity=self.world.random(f"identity of {name}").randbytes(32),
            listen=listen,
            settings=Settings(patterns=tuple(Pattern), **plan.settings),
        )
        self.cores.append(core)
        host = self.world.add(
            core,
            address,
            clock=clock,
            listens=listen,
            largest=Settings(**plan.settings).mtu,
            tick=plan.tick,
        )
        return core, host

    def _client(self, number: int, wanted: ClientPlan) -> Client:
        core, host = self._host(f"client {number}", (f"10.0.1.{number}", 1024))
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
        )
        key, pattern = self.server_core.key, wanted.pattern
        secret = self.network if pattern is Pattern.XXPSK3 else self.invite
        start = partial(client.connect, self.server.host.address, key, pattern, secret)
        self.world.at(0, start, host)
        if self.plan.rebind_every:
            self.world.at(self.plan.rebind_every, partial(self._move, client), host)
        for time in self.plan.jumps:
            self.world.at(time, partial(self.world.jump, host, SECOND), host)
        return client

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
        total = self.world.counters()
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
        asked = sum(len(client.requests) for client in self.plan.clients)
        abandoned = self.world.counts["app_abandoned"]  # the CLOSE may overtake the last of them
        if not asked - abandoned <= self.server.answered <= asked:
            raise ScenarioError(f"{asked} requests, {self.server.answered} answered")
        # Of a client that wants nothing, or not for long, the server may never hear a word.
        fewest = sum(any(not r.patience for r in client.requests) for client in self.plan.clients)
        accepted, ended = self.server.accepted, len(self.server.ended)
        if not fewest <= accepted <= len(self.clients) or ended != accepted:
            raise ScenarioError(
                f"{len(self.clients)} clients, {accepted} accepted, the end of {ended} seen"
            )
        for number, core in enumerate(self.cores):
            held = {name: core.counters()[name] for name in HELD if core.counters()[name]}
            if held:
                raise ScenarioError(f"host {number} still holds {held}")


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
