"""Someone on the path who holds no key: replays, forges, cuts and makes things up."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from tests.proto.by_hand import DATA, INIT, REFUSED, RESET, VERSION, with_crc

if TYPE_CHECKING:
    from collections.abc import Callable

    from repram.proto.connection import Address
    from tests.sim.world import Host, World

REMEMBERED = 64


def made_up(kind: int, session: bytes, body: bytes) -> bytes:
    """A datagram that is right but for who sends it."""
    head = bytes([kind, 0]) + len(body).to_bytes(2, "big") + session + bytes(12)
    return with_crc(head + body)


class Meddler:
    """Injects something now and then; nothing that it does may change what applications see."""

    def __init__(
        self,
        world: World,
        every: int,
        *,
        may_divert: Callable[[], bool],
        finished: Callable[[], bool],
    ) -> None:
        """Meddle every so many microseconds; when it `may_divert`, also with true copies of what
        passes by, sent in strangers' names."""
        self.world = world
        self.every = every
        self.may_divert = may_divert
        self.finished = finished
        self.seen: deque[tuple[Host, bytes, Address]] = deque(maxlen=REMEMBERED)
        self._random = world.random("meddler")
        world.overheard = self.overhear

    def overhear(self, target: Host, datagram: bytes, source: Address) -> None:
        """A datagram passes by."""
        self.seen.append((target, datagram, source))

    def begin(self, host: Host) -> None:
        """Meddle from now on, first with this host."""
        self.world.at(self.world.now + self._pause(), partial(self._meddle, host), host)

    def _pause(self) -> int:
        return 1 + int(self._random.expovariate(1 / self.every))

    def _meddle(self, host: Host) -> None:
        if self.finished():
            return
        if self.seen:
            host, datagram, source = self._random.choice(self.seen)
            if self._random.random() < 0.2:
                self._answer_for(host, datagram, source)
                self.begin(host)
                return
            trick = self._random.choice(
                (self._replay, self._replay, self._flip, self._flip_header, self._cut, self._invent)
            )
            copied = trick(datagram)
            true = copied == datagram
            if self._random.random() < 0.5 and (not true or self.may_divert()):
                source, true = (f"10.66.0.{self._random.randrange(1, 5)}", 666), False
            self.world.inject(host, copied, source, genuine=true)
        self.begin(host)

    def _answer_for(self, host: Host, datagram: bytes, source: Address) -> None:
        """Tell whoever sent it, in the host's name, that nobody wants to know of it."""
        sender = self.world.owner(source)
        if not sender or len(datagram) < 36:
            return
        if datagram[0] == DATA:
            told = made_up(RESET, datagram[4:8], self._random.randbytes(16))
        elif datagram[0] == INIT:
            kind = self._random.choice((REFUSED, VERSION))
            told = made_up(kind, datagram[20:24], datagram[28:36] + b"\1")
        else:
            return
        self.world.inject(sender, told, host.address)

    def _replay(self, datagram: bytes) -> bytes:
        return datagram

    def _flip(self, datagram: bytes) -> bytes:
        forged = bytearray(datagram)
        bit = self._random.randrange(8 * len(forged))
        forged[bit >> 3] ^= 1 << (bit & 7)
        return with_crc(bytes(forged))

    def _flip_header(self, datagram: bytes) -> bytes:
        forged = bytearray(datagram)
        forged[self._random.randrange(4, 16)] ^= 1 << self._random.randrange(8)
        return with_crc(bytes(forged))

    def _cut(self, datagram: bytes) -> bytes:
        cut = datagram[: self._random.randrange(len(datagram) + 1)]
        if len(cut) < 20 or self._random.random() < 0.3:
            return cut
        return with_crc(cut[:2] + (len(cut) - 20).to_bytes(2, "big") + cut[4:])

    def _invent(self, datagram: bytes) -> bytes:
        noise = self._random.randbytes(self._random.randrange(1500))
        kind = self._random.randrange(9)
        head = bytes((kind, 0)) + len(noise).to_bytes(2, "big") + datagram[4:16] + bytes(4)
        return with_crc(head + noise)
