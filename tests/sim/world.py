"""Hosts with a core each, links between them, and a clock that jumps to what happens next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from hashlib import sha256
from heapq import heappop, heappush
from random import Random
from struct import Struct
from typing import TYPE_CHECKING, Protocol

from repram.proto.connection import EventKind
from tests.sim.invariants import InvariantError, WireChecker
from tests.sim.link import Fate, Link, LinkSettings

if TYPE_CHECKING:
    from repram.proto.connection import Address, Connection, Event, Whole
    from tests.sim.marked import Marked
    from tests.sim.witness import Witness

RECORD = Struct(">QHHBI")
SPIN_LIMIT = 10_000
STANDS = (EventKind.CONNECTED, EventKind.ACCEPTED)


class Sans(Protocol):
    """What a host asks of its core."""

    def receive(self, datagrams: Iterable[Marked], now: int) -> None: ...
    def transmit(self, now: int) -> list[Marked]: ...
    def deadline(self) -> int | None: ...
    def handle_timeout(self, now: int) -> None: ...
    def events(self) -> list[Event]: ...
    def wholes(self) -> list[tuple[Connection, Whole]]: ...


class App(Protocol):
    """What lives on a host: told of each event, it opens, reads, writes and closes."""

    def handle(self, event: Event) -> None: ...
    def take(self, connection: Connection, whole: Whole) -> None: ...


class Offer(Protocol):
    """What an application has given its core to send on a stream."""

    priority: int
    written: int


class Host:
    """A machine in the world. `clock` is what its own clock is ahead of the world's."""

    def __init__(
        self,
        index: int,
        core: Sans,
        address: Address,
        *,
        clock: int = 0,
        listens: bool = False,
        largest: int = 1200,
        tick: int = 1,
    ) -> None:
        self.index = index
        self.core = core
        self.address = address
        self.clock = clock
        self.listens = listens
        self.largest = largest
        self.tick = tick
        self.app: App | None = None
        self.offers: dict[
            int, Offer
        ] = {}  # what is to be sent on the streams that its client opened
        self.inbox: dict[int, list[Marked]] = {}
        self.armed: int | None = None
        self.last_wake = -1
        self.wakes_at_once = 0


class World:
    """Runs everything in virtual time; all that happens follows from the seed."""

    def __init__(self, seed: str) -> None:
        self.seed = seed
        self.now = 0
        self.hosts: list[Host] = []
        self.counts: Counter[str] = Counter()
        self.checker = WireChecker()
        self.datagrams: dict[bytes, bool] = {}  # that applications have sent; has it been heard?
        self.overheard: Callable[[Host, bytes, Address], None] | None = None
        self.witness: Witness | None = None
        self._links: dict[tuple[int, int], Link] = {}
        self._owners: dict[Address, Host] = {}
        self._heap: list[tuple[int, int, Callable[[Host], None], Host]] = []
        self._order = 0
        self._trace = sha256()

    # ---- building ----

    def random(self, purpose: str) -> Random:
        """A generator that no other purpose shares."""
        return Random(f"{self.seed}/{purpose}")

    def add(
        self,
        core: Sans,
        address: Address,
        *,
        clock: int = 0,
        listens: bool = False,
        largest: int = 1200,
        tick: int = 1,
    ) -> Host:
        """Put a host into the world; it hears datagrams on multiples of `tick` microseconds."""
        host = Host(
            len(self.hosts),
            core,
            address,
            clock=clock,
            listens=listens,
            largest=largest,
            tick=tick,
        )
        self.hosts.append(host)
        self._owners[address] = host
        return host

    def join(self, one: Host, other: Host, there: LinkSettings, back: LinkSettings) -> None:
        """Lay a path between two hosts: `there` from one to the other, `back` the other way."""
        for source, target, settings in ((one, other, there), (other, one, back)):
            name = f"{self.seed}/link {source.index}-{target.index}"
            self._links[source.index, target.index] = Link(settings, name)

    def owner(self, address: Address) -> Host | None:
        """Whose address it is, or was."""
        return self._owners.get(address)

    def link(self, source: Host, target: Host) -> Link:
        """The link that carries from source to target."""
        return self._links[source.index, target.index]

    def round_trip(self, one: Host, other: Host) -> int:
        """The least time that there and back can take."""
        there, back = self.link(one, other), self.link(other, one)
        return there.settings.delay + back.settings.delay

    # ---- what happens to hosts ----

    def at(self, time: int, action: Callable[[], None], host: Host) -> None:
        """Do something to a host, or in its name, at a time; it takes its turn afterwards."""

        def act(host: Host) -> None:
            action()
            self.turn(host)

        self._push(time, act, host)

    def rebind(self, host: Host, address: Address) -> None:
        """A NAT before the host gave it another outside address; the old one leads nowhere."""
        self.counts["world_rebound"] += 1
        self.note(f"rebind {host.index} {address}")
        host.address = address
        self._owners[address] = host

    def jump(self, host: Host, by: int) -> None:
        """The host's clock leaps ahead, as after a sleep."""
        self.counts["world_clock_jumps"] += 1
        self.note(f"jump {host.index} {by}")
        host.clock += by
        host.armed = None

    def replace_core(self, host: Host, core: Sans) -> None:
        """The host's program dies, and another one starts in its place."""
        self.counts["world_restarts"] += 1
        self.note(f"restart {host.index}")
        host.core = core
        host.armed = None

    def inject(
        self, target: Host, datagram: bytes, source: Address, *, genuine: bool = False
    ) -> None:
        """Someone sends a host a datagram in anybody's name; a genuine one is only a copy."""
        self.counts["world_injected"] += 1
        self._record(self.now, target.index, target.index, Fate.DELIVERED, datagram)
        self._deliver(target, self.now, (datagram, source, 0), genuine=genuine)

    # ---- running ----

    def run(self, until: int, finished: Callable[[], bool]) -> bool:
        """Let time pass until the world has finished, nothing is left to happen, or `until`."""
        while not finished():
            if not self._heap or self._heap[0][0] > until:
                return False
            self.now, _, action, host = heappop(self._heap)
            action(host)
        return True

    def turn(self, host: Host) -> None:
        """The host handles its events, sends what its core has to send, and sets its timer."""
        core, now = host.core, self.now + host.clock
        while True:
            wholes = core.wholes()
            for connection, whole in wholes:
                self.note(f"{host.index} whole {whole.stream} {len(whole.data)}")
                if host.app:
                    host.app.take(connection, whole)
            events = core.events()
            for event in events:
                self.note(f"{host.index} {event.kind} {event.stream} {event.code} {event.reason}")
                if self.witness and event.kind in STANDS:
                    self.witness.stands(host, event.connection)
                if host.app:
                    host.app.handle(event)
            batch = core.transmit(now)
            if batch:
                self._send(host, batch)
            elif not events and not wholes:
                break
        if self.witness:
            self.witness.turned(host)
        self._arm(host)

    def note(self, what: str) -> None:
        """Make something that happened part of the trace."""
        self._trace.update(f"{self.now} {what}\n".encode())

    def trace(self) -> str:
        """The hash over everything that has happened."""
        return self._trace.hexdigest()

    def counters(self) -> Counter[str]:
        """How often the network did what it does."""
        total = Counter(self.counts)
        for link in self._links.values():
            total.update(link.counts)
        total["world_emitted"] = self.checker.emitted_count
        total["world_wrapped"] = self.checker.wrapped_count
        return total

    # ---- inside ----

    def _push(self, time: int, action: Callable[[Host], None], host: Host) -> None:
        self._order += 1
        heappush(self._heap, (time, self._order, action, host))

    def _send(self, host: Host, batch: list[Marked]) -> None:
        now, index, source = self.now, host.index, host.address
        for datagram, address, ecn in batch:
            target = self._owners.get(address)
            peer = target.index if target else 0xFFFF
            self.checker.emitted(index, peer, datagram, host.largest)
            if host.listens:
                self.checker.answered(index, address, len(datagram))
            if self.witness:
                self.witness.emitted(host, datagram, address, ecn)
            if target is None or target.address != address:
                self.counts["world_unrouted"] += 1
                self._record(now, index, peer, Fate.UNROUTED, datagram)
                continue
            if self.overheard:
                self.overheard(target, datagram, source)
            link = self._links[index, peer]
            fate, arrivals = link.carry(now, datagram)
            if not arrivals:
                self._record(now, index, peer, fate, datagram)
            for arrival, copy in arrivals:
                self._record(arrival, index, peer, fate, copy)
                came = (copy, source, link.mark(now, ecn))
                self._deliver(target, arrival, came, genuine=copy is datagram)

    def _record(self, time: int, source: int, target: int, fate: Fate, datagram: bytes) -> None:
        self._trace.update(RECORD.pack(time, source, target, fate, len(datagram)) + datagram)

    def _deliver(self, target: Host, arrival: int, came: Marked, *, genuine: bool) -> None:
        if target.listens:
            # Counted when it is sent, a little early: that can only make the check laxer.
            self.checker.heard(target.index, came[1], came[0], genuine)
        arrival += -arrival % target.tick
        waiting = target.inbox.get(arrival)
        if waiting is None:
            target.inbox[arrival] = [came]
            self._push(arrival, self._arrive, target)
        else:
            waiting.append(came)

    def _arrive(self, host: Host) -> None:
        came = host.inbox.pop(self.now)
        for datagram, source, ecn in came:
            self.checker.arrived(host.index, datagram)
            if self.witness:
                self.witness.arrived(host, datagram, source, ecn)
        host.core.receive(came, self.now + host.clock)
        self.turn(host)

    def _arm(self, host: Host) -> None:
        deadline = host.core.deadline()
        if deadline is None:
            return
        time = max(deadline - host.clock, self.now)
        if host.armed is None or time < host.armed:
            host.armed = time
            self._push(time, self._wake, host)

    def _wake(self, host: Host) -> None:
        if host.armed != self.now:
            return  # an earlier deadline took its place
        host.armed = None
        deadline = host.core.deadline()
        if deadline is not None and deadline <= self.now + host.clock:
            self._watch_for_spinning(host)
            host.core.handle_timeout(self.now + host.clock)
            self.turn(host)
        else:
            self._arm(host)

    def _watch_for_spinning(self, host: Host) -> None:
        self.counts["world_timeouts"] += 1
        host.wakes_at_once = host.wakes_at_once + 1 if host.last_wake == self.now else 0
        host.last_wake = self.now
        if host.wakes_at_once > SPIN_LIMIT:
            raise InvariantError(f"host {host.index} spins: its deadline stays at {self.now}")
