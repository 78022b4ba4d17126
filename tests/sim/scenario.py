"""Runs a plan from the first INIT to the last freed byte, and judges what came of it."""

from __future__ import annotations

import traceback
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import ip_address

from nacl.bindings import crypto_sign_ed25519_sk_to_curve25519, crypto_sign_seed_keypair

from repram.proto.connection import ETHERNET, Cause, Core, Secret, Settings
from repram.proto.primitives import Pattern
from tests.sim.apps import Client, Server, describe
from tests.sim.marked import MarkedCore, Nobody
from tests.sim.meddler import Meddler
from tests.sim.plan import SECOND, ClientPlan, Death, Plan, draw
from tests.sim.strangers import Strangers
from tests.sim.traitor import Breach, Traitor
from tests.sim.witness import Secrets, Witness
from tests.sim.world import Host, World

PATIENCE_OF_A_TRAITOR = 3000

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
        self.cores: dict[int, Core] = {}  # of each host that has one
        self.past: Counter[str] = Counter()
        random = self.world.random("secrets")
        self.invite = Secret(random.randbytes(8), random.randbytes(32))
        self.network = Secret(bytes(8), random.randbytes(32))  # XXpsk3 has no place for an id
        self.reset_key = random.randbytes(32)
        self.identity = self.world.random("identity of the server").randbytes(32)
        self.witness = self._witness()
        host = self._host(self._server_core(life=0), ("10.0.0.1", 7433), listens=True)
        self.server = Server(self.world, host, plan.appetite)
        for life, time in enumerate(plan.restarts, start=1):
            self.world.at(time, partial(self._restart, life), host)
        self.clients = [
            self._client(number, wanted) for number, wanted in enumerate(plan.clients, start=1)
        ]
        self.traitor: Traitor | None = None
        if plan.traitor:
            self._await_betrayal(plan.traitor)
        for life, death in enumerate(plan.deaths, start=1):
            client = self.clients[death.client]
            self.world.at(death.time, partial(self._die, client, death, life), client.host)

    def _witness(self) -> Witness:
        public, private = crypto_sign_seed_keypair(self.identity)
        psks = {secret.id: secret.secret for secret in (self.invite, self.network)}
        static = crypto_sign_ed25519_sk_to_curve25519(private)
        secrets = Secrets(public, static, psks, self.reset_key)
        self.world.witness = Witness(self.world, Settings(**self.plan.settings), secrets)
        return self.world.witness

    def _clock(self, number: int) -> int:
        clocks = self.plan.clocks
        return clocks[number] if number < len(clocks) else 0

    def _server_core(self, *, life: int) -> Core:
        """The server's core, new in each of its lives; what a disk would keep stays the same."""
        seed = self.world.random(f"server, life {life}").randbytes(32)
        self.witness.begins(seed)
        core = Core(
            now=self.world.now + self._clock(0),
            seed=seed,
            identity=self.identity,
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
        self.cores[0] = core
        return core

    def _client_core(self, number: int, *, clock: int, life: int = 0) -> Core:
        return Core(
            now=self.world.now + clock,
            seed=self.world.random(f"client {number}, life {life}").randbytes(32),
            identity=self.world.random(f"identity of client {number}").randbytes(32),
            settings=Settings(
                reset_key=self.world.random(f"reset key of client {number}").randbytes(32),
                first_session=life << 16,
                **self.plan.settings,
            ),
        )

    def _host(self, core: Core, address: tuple[str, int], *, listens: bool = False) -> Host:
        return self.world.add(
            MarkedCore(core, takes_wholes=self.plan.takes_wholes),
            address,
            clock=self._clock(len(self.cores) - 1),
            listens=listens,
            largest=Settings(**self.plan.settings).mtu or ETHERNET,
            tick=self.plan.tick,
        )

    def _client(self, number: int, wanted: ClientPlan) -> Client:
        core = self._client_core(number, clock=self._clock(number))
        self.cores[number] = core
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
            mail=wanted.mail,
            persists=self.plan.has_deaths,
        )
        key, pattern = self.cores[0].key, wanted.pattern
        secret = self.network if pattern is Pattern.XXPSK3 else self.invite
        start = partial(client.connect, self.server.host.address, key, pattern, secret)
        self.world.at(0, start, host)
        if self.plan.rebind_every:
            first = self.plan.rebind_first or self.plan.rebind_every
            self.world.at(first, partial(self._move, client), host)
        for time in self.plan.jumps:
            self.world.at(time, partial(self.world.jump, host, SECOND), host)
        return client

    def _restart(self, life: int) -> None:
        """The server's process dies, without a word to anyone, and another takes its place."""
        if self._all_done():
            return
        before = self.cores[0]
        self._bury(self.server.host, before)
        self.witness.died(self.server.host)
        self.server.forget()
        core = self._server_core(life=life)
        self.world.replace_core(
            self.server.host, MarkedCore(core, takes_wholes=self.plan.takes_wholes)
        )

    def _die(self, client: Client, death: Death, life: int) -> None:
        """A client's process dies without a word, and starts anew; or its machine is gone for good."""
        host = client.host
        if client.is_done:
            return
        self._bury(host, self.cores.pop(host.index))
        self.witness.died(host)
        if not death.returns:
            self.world.replace_core(host, Nobody())
            client.vanish()
            return
        core = self._client_core(host.index, clock=host.clock, life=life)
        self.cores[host.index] = core
        self.world.replace_core(host, MarkedCore(core, takes_wholes=self.plan.takes_wholes))
        client.reborn(core)

    def _await_betrayal(self, breach: Breach) -> None:
        client = self.clients[-1]
        again = self.world.now + PATIENCE_OF_A_TRAITOR
        self.world.at(again, partial(self._betray, client, breach), client.host)

    def _betray(self, client: Client, breach: Breach) -> None:
        """Whoever sits on a client's host now has its keys, and other manners."""
        side = self.witness.caller(client.host)
        if client.is_done:
            return
        if not side or not client.is_connected:
            self._await_betrayal(breach)
            return
        self._bury(client.host, self.cores.pop(client.host.index))
        client.vanish()
        self.traitor = Traitor(self.world, client.host, side, breach)
        self.world.replace_core(client.host, self.traitor)

    def _bury(self, host: Host, core: Core) -> None:
        counters = core.counters()
        self.past.update({k: v for k, v in counters.items() if k not in HELD})
        self.witness.judge_drops(host, counters)
        core.close()

    def _all_done(self) -> bool:
        return all(client.is_done for client in self.clients)

    def _may_be_diverted(self) -> bool:
        standing = self.server.accepted == len(self.clients)
        return self.plan.races or (self.plan.diverts and standing)

    def _move(self, client: Client) -> None:
        if not client.is_done:
            ip, port = client.host.address
            other = ip_address(ip) + (1 << 8 if self.plan.rebinds_address else 0)
            port += not self.plan.rebinds_address
            self.world.rebind(client.host, (str(other), port))
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
        for core in self.cores.values():
            core.close()
        return result

    def counters(self) -> Counter[str]:
        """What happened on all hosts and links together."""
        total = self.world.counters() + self.past
        for core in self.cores.values():
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
        if self.plan.strangers_every:
            Strangers(self.world, self.witness, self.plan.strangers_every, self._all_done).begin(
                self.server.host
            )
        if not self.world.run(limit, self._all_done):
            late = [client.host.index for client in self.clients if not client.is_done]
            raise ScenarioError(f"clients {late} were not done by {self.world.now / SECOND} s")
        patience = self.world.now + 3 * int(Settings(**self.plan.settings).idle_timeout * SECOND)
        self.world.run(patience, lambda: False)

    def _judge(self) -> None:
        for client in self.clients:
            if client.has_vanished:
                continue
            if not client.end or (client.end.cause, client.end.code) != (Cause.US, client.code):
                how = describe(client.end) if client.end else "never"
                raise ScenarioError(f"client {client.host.index} ended {how}")
        # Who missed the CLOSE learns by silence, or asks on and is told that nobody is there.
        expected = {(Cause.PEER, each.code, f"done {each.code}") for each in self.clients}
        expected |= {(Cause.IDLE, 0, ""), (Cause.RESET, 0, "")}
        if self.traitor:
            if why := self.traitor.verdict():
                raise ScenarioError(why)
            ends = [(end.cause, end.code, end.reason) for end in self.server.ended]
            expected |= {
                (Cause.PROTOCOL, code, reason)
                for cause, code, reason in ends
                if (cause, code) == (Cause.PROTOCOL, self.traitor.code)
            }
        for end in self.server.ended:
            if (end.cause, end.code, end.reason) not in expected:
                raise ScenarioError(f"the server saw the end {describe(end)}")
        self._judge_counts()
        self.witness.over()
        for number, core in self.cores.items():
            self.witness.judge_drops(self.world.hosts[number], core.counters())
            held = {name: core.counters()[name] for name in HELD if core.counters()[name]}
            if held:
                raise ScenarioError(f"host {number} still holds {held}")

    def _judge_counts(self) -> None:
        there = zip(self.plan.clients, self.clients, strict=True)
        asked = sum(len(plan.requests) for plan, client in there if not client.has_vanished)
        abandoned = self.world.counts["app_abandoned"]  # the CLOSE may overtake the last of them
        answered = self.server.answered
        if answered < asked - abandoned:
            raise ScenarioError(f"{asked} requests, {answered} answered")
        # Of a client that wants nothing, or not for long, the server may never hear a word.
        fewest = sum(any(not r.patience for r in client.requests) for client in self.plan.clients)
        accepted, ended = self.server.accepted, len(self.server.ended)
        if accepted != ended:
            raise ScenarioError(f"the server accepted {accepted}, but saw the end of {ended}")
        if self.plan.has_deaths or self.traitor:
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
