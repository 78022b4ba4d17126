"""Streams: one end each, obedience to STOP, the urgent before the others; datagrams only once."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from tests.sim.frames import Datagram, MaxStreamData, ResetStream, Stop, Stream
from tests.sim.session import Rule

if TYPE_CHECKING:
    from tests.sim.packets import Packet

LONG_ENOUGH: Final = 5_000_000


class EndsStreamsOnce(Rule):
    """A stream's final size never changes, nothing lies beyond it, and nothing follows a reset."""

    def begin(self) -> None:
        self._highest: dict[int, int] = {}
        self._final: dict[int, int] = {}
        self._reset: set[int] = set()

    def said(self, packet: Packet) -> None:
        for frame in packet.frames:
            if isinstance(frame, ResetStream):
                reached = self._highest.get(frame.stream, 0)
                if frame.final != reached:
                    raise self.side.wrong(f"{frame}, but it has sent {reached} bytes of it")
                self._reset.add(frame.stream)
                self._ends(frame.stream, frame.final)
            elif isinstance(frame, Stream):
                self._data(frame)

    def _data(self, frame: Stream) -> None:
        stream, end = frame.stream, frame.end
        if stream in self._reset:
            raise self.side.wrong(f"it sends more of stream {stream}, which it has reset")
        self._highest[stream] = max(self._highest.get(stream, 0), end)
        if frame.last:
            self._ends(stream, end)
        if end > self._final.get(stream, end):
            raise self.side.wrong(f"stream {stream} goes on to {end} after its end")

    def _ends(self, stream: int, at: int) -> None:
        if self._final.setdefault(stream, at) != at:
            raise self.side.wrong(f"stream {stream} ends at {at} and at {self._final[stream]}")


class ObeysStop(Rule):
    """A STOP is answered with a reset of the same code, unless all has been sent by then."""

    def begin(self) -> None:
        self._stopped: dict[int, tuple[int, int]] = {}
        self._done: set[int] = set()

    def heard(self, packet: Packet) -> None:
        for frame in packet.frames:
            if isinstance(frame, Stop) and packet.is_sure and frame.stream not in self._done:
                self._stopped.setdefault(frame.stream, (frame.code, self.side.world.now))

    def said(self, packet: Packet) -> None:
        for frame in packet.frames:
            if isinstance(frame, ResetStream):
                self._done.add(frame.stream)
                code, _ = self._stopped.pop(frame.stream, (frame.code, 0))
                if frame.code != code:
                    raise self.side.wrong(f"{frame} answers a STOP of code {code}")
            elif isinstance(frame, Stream) and frame.last:
                self._done.add(frame.stream)
            elif isinstance(frame, Stream) and frame.stream in self._stopped:
                raise self.side.wrong(f"it sends of stream {frame.stream} after a STOP")

    def over(self) -> None:
        if self.side.closed:
            return
        for stream, (_, since) in self._stopped.items():
            if self.side.world.now > since + LONG_ENOUGH:
                raise self.side.wrong(f"it never answered the STOP of stream {stream}")


class MindsPriorities(Rule):
    """While a stream more urgent has something to send, and may, a less urgent one is silent."""

    def begin(self) -> None:
        window = self.side.peer.granted.stream_window
        self._limits: defaultdict[int, int] = defaultdict(lambda: window)
        self._sent: defaultdict[int, int] = defaultdict(int)

    def heard(self, packet: Packet) -> None:
        for frame in packet.frames:
            if isinstance(frame, Stop):
                self.side.host.offers.pop(frame.stream, None)
            elif isinstance(frame, MaxStreamData) and packet.is_sure:
                self._limits[frame.stream] = max(self._limits[frame.stream], frame.limit)

    def said(self, packet: Packet) -> None:
        side = self.side
        offers = side.host.offers if side.initiator else {}
        least = -1
        for frame in packet.frames:
            if isinstance(frame, Stream) and frame.end > self._sent[frame.stream]:
                self._sent[frame.stream] = frame.end
                if frame.stream in offers:
                    least = max(least, offers[frame.stream].priority)
        for stream, offer in offers.items():
            may = min(offer.written, self._limits[stream])
            if offer.priority < least and self._sent[stream] < may:
                raise side.wrong(f"stream {stream} of priority {offer.priority} was to go first")


class SendsDatagramsOnce(Rule):
    """A DATAGRAM is unreliable: none is sent a second time."""

    def begin(self) -> None:
        self._seen: set[bytes] = set()

    def said(self, packet: Packet) -> None:
        for frame in packet.frames:
            if isinstance(frame, Datagram):
                if frame.data in self._seen:
                    raise self.side.wrong("it sends a datagram again")
                self._seen.add(frame.data)
