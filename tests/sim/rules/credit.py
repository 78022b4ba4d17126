"""Credit: nobody sends more than was granted, nobody grants more than it is ready to hold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.sim.frames import MaxData, MaxStreamData, MaxStreams, ResetStream, Stream
from tests.sim.session import Rule

if TYPE_CHECKING:
    from tests.sim.packets import Packet

KIB: Final = 1024
FIRST_STREAM_WINDOW: Final = 1024 * KIB
FIRST_SESSION_WINDOW: Final = 2 * FIRST_STREAM_WINDOW


class Reached:
    """How far each stream of one direction has come, and all of them together."""

    def __init__(self) -> None:
        self.of: defaultdict[int, int] = defaultdict(int)
        self.total = 0

    def by(self, packet: Packet) -> None:
        """What a packet adds."""
        for frame in packet.frames:
            if isinstance(frame, Stream):
                self._to(frame.stream, frame.end)
            elif isinstance(frame, ResetStream):
                self._to(frame.stream, frame.final)

    def _to(self, stream: int, end: int) -> None:
        if end > self.of[stream]:
            self.total += end - self.of[stream]
            self.of[stream] = end


class StaysWithinCredit(Rule):
    """Bytes and streams never pass what the peer's words that have arrived allow."""

    def begin(self) -> None:
        granted = self.side.peer.granted
        self.sent = Reached()
        self.session = granted.session_window
        self.streams = granted.max_streams
        self._stream: defaultdict[int, int] = defaultdict(lambda: granted.stream_window)

    def heard(self, packet: Packet) -> None:
        for frame in packet.frames:
            if isinstance(frame, MaxData):
                self.session = max(self.session, frame.limit)
            elif isinstance(frame, MaxStreams):
                self.streams = max(self.streams, frame.streams)
            elif isinstance(frame, MaxStreamData):
                self._stream[frame.stream] = max(self._stream[frame.stream], frame.limit)

    def said(self, packet: Packet) -> None:
        side, sent = self.side, self.sent
        sent.by(packet)
        if sent.total > self.session:
            raise side.wrong(f"it has sent {sent.total} bytes, granted are {self.session}")
        for frame in packet.frames:
            if not isinstance(frame, Stream):
                continue
            if frame.end > self._stream[frame.stream]:
                limit = self._stream[frame.stream]
                raise side.wrong(f"stream {frame.stream} reaches {frame.end}, granted is {limit}")
            own = frame.stream % 2 == (0 if side.initiator else 1)
            if own and frame.stream // 2 >= self.streams:
                raise side.wrong(
                    f"stream {frame.stream} is one more than the {self.streams} granted"
                )


class GrantsNoMoreThanItHolds(Rule):
    """A limit never shrinks, and is at most a whole window beyond what has come."""

    def begin(self) -> None:
        self._came = Reached()
        self._session = 0
        self._streams = 0
        self._stream: defaultdict[int, int] = defaultdict(int)

    def heard(self, packet: Packet) -> None:
        self._came.by(packet)

    def said(self, packet: Packet) -> None:
        settings = self.side.settings
        for frame in packet.frames:
            match frame:
                case MaxData(limit):
                    most = self._came.total + settings.session_window
                    self._session = self._grown(frame, limit, self._session, most)
                case MaxStreamData(stream, limit):
                    most = self._came.of[stream] + settings.stream_window
                    self._stream[stream] = self._grown(frame, limit, self._stream[stream], most)
                case MaxStreams(count):
                    most = len(self._came.of) + settings.max_streams
                    self._streams = self._grown(frame, count, self._streams, most)

    def _grown(self, frame: object, limit: int, before: int, most: int) -> int:
        if not before <= limit <= most:
            raise self.side.wrong(f"{frame}: before it was {before}, the most is {most}")
        return limit


@dataclass
class Window:
    """What an observer knows of a receive window: a grant reaches one window beyond what was read.

    So much may be read at once when a gap is filled that the window doubles more than once before
    a packet says so: `sizes` are all that it may have."""

    sizes: set[int]
    most: int
    limit: int
    granted_at: int = -1

    def grant(self, limit: int, now: int, round_trip: int) -> bool:
        """A new limit; false when a window used up within a round trip has not been widened."""
        soon = self.granted_at >= 0 and now - self.granted_at <= round_trip
        self.sizes = {wider for size in self.sizes for wider in self._next(size, limit, soon)}
        self.limit, self.granted_at = limit, now
        return bool(self.sizes)

    def _next(self, size: int, limit: int, soon: bool) -> Iterator[int]:
        """What a window of that size may have become, judged by what must have been read for it."""
        read, needed = limit - self.limit, size // 4
        if read >= needed and not (soon and size < self.most):
            yield size
        while size < self.most:
            wider = min(2 * size, self.most)
            read, size = read - (wider - size), wider
            if read < needed:
                return
            yield size
            needed += size // 4


class WidensWindows(Rule):
    """A window that is used up within two round trips doubles, up to what the settings allow.

    A quarter of a window is read before the next grant."""

    def begin(self) -> None:
        side, settings = self.side, self.side.settings
        self._round_trip = side.world.round_trip(side.host, side.peer.host)
        session = side.granted.session_window
        self._session = Window({session}, settings.session_window, session)
        self._streams: dict[int, Window] = {}

    def said(self, packet: Packet) -> None:
        for frame in packet.frames:
            if isinstance(frame, MaxData):
                self._granted(self._session, frame.limit, packet)
            elif isinstance(frame, MaxStreamData):
                first, most = self.side.granted.stream_window, self.side.settings.stream_window
                window = self._streams.setdefault(frame.stream, Window({first}, most, first))
                self._granted(window, frame.limit, packet)

    def _granted(self, window: Window, limit: int, packet: Packet) -> None:
        if limit == window.limit:
            return  # said again
        before, sizes = window.limit, sorted(window.sizes)
        if not window.grant(limit, packet.sent_at, self._round_trip):
            raise self.side.wrong(
                f"a window of {sizes} bytes was used up in no time, "
                f"and it grants {limit} after {before}"
            )
