"""What runs on the hosts: clients with work to do, and the server that answers them all."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING

from repram.errors import SessionClosed
from repram.proto.connection import Cause, EventKind
from repram.proto.primitives import Pattern
from tests.sim.exchange import PRIORITIES, Exchange, Request, TransferError
from tests.sim.post import Post
from tests.sim.world import Host, World

if TYPE_CHECKING:
    from repram.proto.connection import Address, Connection, Core, Event, Secret, Whole


@dataclass(frozen=True, slots=True)
class Appetite:
    """How fast an application reads: `bytes` at a time, then nothing for `pause` microseconds."""

    bytes: int = 1 << 40
    pause: int = 0


@dataclass(frozen=True, slots=True)
class Mail:
    """Datagrams of `size` bytes, one `every` so many microseconds, `count` of them in a session."""

    size: int
    every: int
    count: int


GREEDY = Appetite()
ABANDONED = 0x10000
LEARNED_OF_A_DEATH = {Cause.RESET, Cause.IDLE, Cause.UNREACHABLE}


class StreamApp:
    """Keeps an exchange on every stream and tells it when there is something to read or write."""

    def __init__(self, world: World, host: Host, appetite: Appetite) -> None:
        self.world = world
        self.host = host
        self.appetite = appetite
        self.exchanges: dict[tuple[Connection, int], Exchange] = {}
        self.post = Post(world, host)
        self._resting: set[Exchange] = set()
        host.app = self

    def handle(self, event: Event) -> None:
        """Pass an event on to whom it concerns."""
        exchange = self.exchanges.get((event.connection, event.stream))
        match event.kind:
            case EventKind.CONNECTED | EventKind.ACCEPTED:
                self.established(event.connection)
            case EventKind.CLOSED:
                self.closed(event)
            case EventKind.OPENED:
                self.serve(self.opened(event.connection, event.stream))
            case EventKind.DATAGRAM:
                self.post.receive(event.connection)
            case EventKind.READABLE if exchange:
                self.serve(exchange)
            case EventKind.WRITABLE:
                if exchange:
                    self.serve(exchange)
                self.writable()
            case EventKind.RESET | EventKind.STOPPED if exchange:
                self.broken_off(exchange, event)

    def take(self, connection: Connection, whole: Whole) -> None:
        """All the rest of a stream has come at once."""
        exchange = self.exchanges.get((connection, whole.stream))
        if exchange is None and whole.opened:
            exchange = self.opened(connection, whole.stream)
        if exchange:
            exchange.take(whole.data)
            self.serve(exchange)

    def serve(self, exchange: Exchange) -> None:
        """Read as much as this application's appetite allows, then answer."""
        try:
            self._read(exchange)
            exchange.push()
        except SessionClosed:
            if not exchange.may_break_off():
                raise
            return  # the peer abandoned the stream: the event that says so is on its way
        self._settle(exchange)

    def _read(self, exchange: Exchange) -> None:
        if exchange in self._resting or exchange.fin_heard:
            return
        heard = exchange.pull(self.appetite.bytes)
        if heard >= self.appetite.bytes and not exchange.fin_heard:
            self._resting.add(exchange)
            again = self.world.now + self.appetite.pause
            self.world.at(again, partial(self._hungry, exchange), self.host)

    def _hungry(self, exchange: Exchange) -> None:
        self._resting.discard(exchange)
        if (exchange.connection, exchange.stream) in self.exchanges:
            self.serve(exchange)

    def _settle(self, exchange: Exchange) -> None:
        key = (exchange.connection, exchange.stream)
        if exchange.finished and self.exchanges.pop(key, None) is exchange:
            digest = exchange.hears.digest()
            self.world.note(f"{self.host.index} stream {exchange.stream} done {digest}")
            self.finished(exchange)

    def established(self, connection: Connection) -> None:
        """A session stands."""

    def closed(self, event: Event) -> None:
        """A session has ended."""

    def opened(self, connection: Connection, stream: int) -> Exchange:
        """The peer opened a stream."""
        raise TransferError(f"stream {stream}: nobody should have opened it")

    def writable(self) -> None:
        """A stream has room again, or the peer allows more streams."""

    def finished(self, exchange: Exchange) -> None:
        """A stream has been ended by both sides."""

    def broken_off(self, exchange: Exchange, event: Event) -> None:
        """The peer abandoned a stream."""
        raise TransferError(f"stream {event.stream}: {event.kind.name} by nobody's wish")


def describe(end: Event) -> str:
    """How a session ended, in a few words that are the same in every run."""
    return f"{end.cause.name if end.cause else 'nobody'}, code {end.code}, {end.reason!r}"


class Leaving(Enum):
    """How a client abandons a stream: the server then does both."""

    SPEAKING = "it says no more"
    LISTENING = "it listens no more"
    BOTH = "both"


WAYS_TO_LEAVE = tuple(Leaving)


def _abandon(exchange: Exchange, code: int, how: Leaving = Leaving.BOTH) -> None:
    with suppress(SessionClosed):  # it may be over in either direction already
        if how is not Leaving.LISTENING:
            exchange.connection.reset(exchange.stream, code)
        if how is not Leaving.SPEAKING:
            exchange.connection.stop(exchange.stream, code)


class Server(StreamApp):
    """Answers whatever stream anyone opens."""

    def __init__(self, world: World, host: Host, appetite: Appetite = GREEDY) -> None:
        super().__init__(world, host, appetite)
        self.accepted = 0
        self.answered = 0
        self.ended: list[Event] = []

    def established(self, connection: Connection) -> None:
        self.accepted += 1

    def opened(self, connection: Connection, stream: int) -> Exchange:
        exchange = Exchange(connection, stream, self.world.seed)
        self.exchanges[connection, stream] = exchange
        return exchange

    def forget(self) -> None:
        """The program dies: nobody will hear how its sessions ended."""
        self.exchanges.clear()
        self.accepted = 0
        self.ended.clear()

    def finished(self, exchange: Exchange) -> None:
        self.answered += 1

    def broken_off(self, exchange: Exchange, event: Event) -> None:
        if event.code < ABANDONED:
            super().broken_off(exchange, event)
        del self.exchanges[exchange.connection, exchange.stream]
        _abandon(exchange, event.code)
        self.answered += 1

    def closed(self, event: Event) -> None:
        self.ended.append(event)
        for connection, stream in list(self.exchanges):
            if connection is event.connection:
                del self.exchanges[connection, stream]


class Client(StreamApp):
    """Connects, makes its requests, some of them at once, then closes with its code."""

    def __init__(
        self,
        world: World,
        host: Host,
        core: Core,
        requests: tuple[Request, ...] = (),
        *,
        at_once: int = 1,
        pause: int = 0,
        code: int = 0,
        appetite: Appetite = GREEDY,
        mail: Mail | None = None,
        persists: bool = False,
    ) -> None:
        """One who `persists` calls again when a session dies, and asks again what was left."""
        super().__init__(world, host, appetite)
        self.core = core
        self.persists = persists
        self.mail = mail
        self.todo = deque(requests)
        self.at_once = at_once
        self.pause = pause
        self.code = code
        self.connection: Connection | None = None
        self.is_connected = False
        self.is_done = False
        self.has_vanished = False
        self.end: Event | None = None

    def connect(self, address: Address, key: bytes, pattern: Pattern, secret: Secret) -> None:
        """Begin the handshake that the pattern prescribes."""
        self._call = partial(self.connect, address, key, pattern, secret)
        known = pattern in {Pattern.IK, Pattern.IKPSK2}
        shared = pattern in {Pattern.IKPSK2, Pattern.XXPSK3}
        self.connection = self.core.connect(
            address,
            key if known else None,
            self.world.now + self.host.clock,
            pattern=pattern,
            secret=secret if shared else None,
        )

    def established(self, connection: Connection) -> None:
        self.is_connected = True
        self.host.offers.clear()
        self._go_on()
        if self.mail:
            self._send(self.mail, connection)

    def _send(self, mail: Mail, connection: Connection) -> None:
        if not mail.count or connection is not self.connection or self.is_done:
            return
        self.post.send(connection, mail.size, asks=True)
        more = replace(mail, count=mail.count - 1)
        self.world.at(self.world.now + mail.every, partial(self._send, more, connection), self.host)

    def writable(self) -> None:
        self._go_on()

    def finished(self, exchange: Exchange) -> None:
        self.host.offers.pop(exchange.stream, None)
        if self.pause:
            self.world.at(self.world.now + self.pause, self._go_on, self.host)
        else:
            self._go_on()

    def closed(self, event: Event) -> None:
        if event.connection is not self.connection:
            return
        if self.persists and not self.is_done and event.cause in LEARNED_OF_A_DEATH:
            self._call_again()
            return
        self.exchanges.clear()
        self.end = event
        if not self.is_done:
            raise TransferError(f"the session ended early: {describe(event)}")

    def reborn(self, core: Core) -> None:
        """The program dies and another takes its place, which asks again for what was left."""
        self.core = core
        self._call_again()

    def vanish(self) -> None:
        """The machine is gone for good."""
        self.is_done = self.has_vanished = True
        self.exchanges.clear()

    def _call_again(self) -> None:
        left = [exchange.request for exchange in self.exchanges.values() if exchange.request]
        self.exchanges.clear()
        self.todo.extendleft(left)
        self.is_connected = False
        self._call()

    def _go_on(self) -> None:
        connection = self.connection
        if connection is None or not self.is_connected or self.is_done:
            return
        while self.todo and len(self.exchanges) < self.at_once:
            try:
                stream = connection.open_stream(self.todo[0].number % PRIORITIES)
            except BlockingIOError:
                return  # WRITABLE comes when the peer allows more
            request = self.todo.popleft()
            exchange = Exchange(connection, stream, self.world.seed, request)
            self.exchanges[connection, stream] = self.host.offers[stream] = exchange
            exchange.push()
            if request.patience:
                lost = partial(self._lose_patience, exchange, ABANDONED + request.number)
                self.world.at(self.world.now + request.patience, lost, self.host)
        if not self.todo and not self.exchanges and not self.is_done:
            self.is_done = True
            connection.close(self.code, f"done {self.code}")

    def _lose_patience(self, exchange: Exchange, code: int) -> None:
        if self.exchanges.pop((exchange.connection, exchange.stream), None):
            self.world.counts["app_abandoned"] += 1
            self.host.offers.pop(exchange.stream, None)
            _abandon(exchange, code, WAYS_TO_LEAVE[code % len(WAYS_TO_LEAVE)])
            self._go_on()
