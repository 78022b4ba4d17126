"""Two cores in one process, a delay between them, and virtual time."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import replace

from repram.errors import RepramError
from repram.proto.connection import (
    DEFAULTS,
    Address,
    Connection,
    Core,
    Event,
    EventKind,
    Secret,
    Settings,
    closing_error,
)
from repram.proto.primitives import Pattern

CLIENT: Address = ("192.0.2.1", 1111)
SERVER: Address = ("192.0.2.2", 2222)
DELAY = 10_000  # microseconds one way

Filter = Callable[[bytes, Address, Address], list[tuple[bytes, Address, Address]]]


def passes(data: bytes, source: Address, target: Address) -> list[tuple[bytes, Address, Address]]:
    """The path as it is."""
    return [(data, source, target)]


class Duo:
    """A client and a listening server; `path` may drop, change, add or redirect datagrams."""

    def __init__(
        self,
        *,
        settings: Settings = DEFAULTS,
        server_settings: Settings | None = None,
        client_identity: bytes | None = None,
        path: Filter = passes,
    ) -> None:
        self.now = 1_000_000
        self.path = path
        self.client_address = CLIENT
        self.client = Core(
            now=self.now, seed=b"c" * 32, identity=client_identity, settings=settings
        )
        self.server_settings = server_settings or settings
        self.server = self._server(b"s" * 32)
        self.events: dict[Core, list[Event]] = {self.client: [], self.server: []}
        self.captured: list[tuple[bytes, Address, Address]] = []
        self._queue: list[tuple[int, int, bytes, Address, Address]] = []
        self._sent = 0

    def _server(self, seed: bytes) -> Core:
        identity = b"i" * 32
        return Core(
            now=self.now, seed=seed, identity=identity, listen=True, settings=self.server_settings
        )

    def restart_server(self, *, first_session: int) -> None:
        """The server comes back without its memory, but with its identity and reset key."""
        self.server.close()
        self.server_settings = replace(self.server_settings, first_session=first_session)
        self.server = self._server(b"t" * 32)
        self.events[self.server] = []

    def connect(
        self,
        *,
        key: bytes | None = None,
        pattern: Pattern | None = None,
        secret: Secret | None = None,
    ) -> tuple[Connection, Connection]:
        """Both ends of a new session, or the error that the client is told."""
        target = key or self.server.key
        before = len(self.events[self.server])
        mine = self.client.connect(SERVER, target, self.now, pattern=pattern, secret=secret)
        self.run_until(lambda: self.seen(self.client, mine, EventKind.CONNECTED, EventKind.CLOSED))
        if error := self.error(self.client, mine):
            raise error
        self.run_until(lambda: self._accepted(before) is not None)
        theirs = self._accepted(before)
        assert theirs is not None
        return mine, theirs

    def _accepted(self, before: int) -> Connection | None:
        events = self.events[self.server][before:]
        return next((e.connection for e in events if e.kind is EventKind.ACCEPTED), None)

    def seen(self, core: Core, connection: Connection, *kinds: EventKind) -> bool:
        return any(e.connection is connection and e.kind in kinds for e in self.events[core])

    def error(self, core: Core, connection: Connection) -> RepramError | None:
        closed = (e for e in self.events[core] if e.kind is EventKind.CLOSED)
        return next((closing_error(e) for e in closed if e.connection is connection), None)

    def run_until(self, done: Callable[[], bool], *, seconds: float = 120) -> None:
        limit = self.now + round(seconds * 1e6)
        self.flush()
        while not done():
            assert self.step(limit), f"not within {seconds} s"

    def run(self, seconds: float) -> None:
        """Lets so much time pass."""
        limit = self.now + round(seconds * 1e6)
        self.flush()
        while self.step(limit):
            pass
        self.now = limit

    def step(self, limit: int) -> bool:
        due = [d for core in (self.client, self.server) if (d := core.deadline()) is not None]
        if self._queue:
            due.append(self._queue[0][0])
        if not due or max(min(due), self.now) > limit:
            return False
        self.now = max(min(due), self.now)
        while self._queue and self._queue[0][0] <= self.now:
            _, _, data, source, target = heapq.heappop(self._queue)
            core = self.server if target == SERVER else self.client
            if target in (SERVER, self.client_address):
                core.receive([(data, source)], self.now)
        for core in (self.client, self.server):
            core.handle_timeout(self.now)
        self.flush()
        return True

    def flush(self) -> None:
        """Takes what both have to say and puts it on its way."""
        for core in (self.client, self.server):
            self.events[core] += core.events()
            while out := core.transmit(self.now):
                source = SERVER if core is self.server else self.client_address
                for data, target in out:
                    self.captured.append((data, source, target))
                    for datagram in self.path(data, source, target):
                        self.send(*datagram)
            self.events[core] += core.events()

    def send(self, data: bytes, source: Address, target: Address) -> None:
        self._sent += 1
        heapq.heappush(self._queue, (self.now + DELAY, self._sent, data, source, target))

    def transfer(self, sender: Connection, receiver: Connection, data: bytes) -> bytes:
        """What arrives at the other end of a new stream that carries `data`."""
        stream = sender.open_stream()
        arrived = bytearray()
        view, said, ended = memoryview(data), False, False

        def done() -> bool:
            nonlocal view, said, ended
            if not said:
                view = view[sender.write(stream, view, fin=True) :]
                said = not view
            piece = b"?"
            while piece and not ended:
                try:
                    piece, ended = receiver.read(stream)
                except RepramError:
                    break  # not opened there yet
                arrived.extend(piece)
            self.flush()
            return ended

        self.run_until(done, seconds=600)
        return bytes(arrived)
