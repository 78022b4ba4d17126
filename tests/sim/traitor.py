"""A peer with the right keys that breaks the protocol: its session ends with the code for it, alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.proto.by_hand import PING, ack, frame, stream
from tests.sim.frames import Close, Ratchet
from tests.sim.rules.credit import StaysWithinCredit

if TYPE_CHECKING:
    from repram.proto.connection import Connection, Event, Whole
    from tests.sim.marked import Marked
    from tests.sim.packets import Packet
    from tests.sim.session import Side
    from tests.sim.world import Host, World

EVERY: Final = 150_000
TRIES: Final = 40
FRAME, FLOW, STREAM_LIMIT, STREAM_STATE, FINAL_SIZE, ACK, KEYS = range(1, 8)
RESET_STREAM, MAX_STREAM_DATA, PATH_RESPONSE, RATCHET = 0x04, 0x07, 0x0B, 0x0F


class Credit:
    """What the server has granted, for whoever wants to pass it."""

    def __init__(self, side: Side) -> None:
        rule = next(rule for rule in side.rules if isinstance(rule, StaysWithinCredit))
        own = [each // 2 for each in rule.sent.of if each % 2 == 0]
        self.first = max(own, default=-1) + 1  # of the streams that it has not opened
        self.streams = rule.streams
        self.window = side.peer.granted.stream_window
        self.left = rule.session - rule.sent.total

    def new(self, count: int = 1) -> list[int]:
        """Streams not yet opened, fewer when no more are granted."""
        return [2 * each for each in range(self.first, min(self.first + count, self.streams))]


def _unknown_frame(_side: Side) -> tuple[bytes, int]:
    return b"\x3f", FRAME


def _cut_frame(_side: Side) -> tuple[bytes, int]:
    return stream(0, 0, b"cut")[:-1], FRAME


def _past_stream_credit(side: Side) -> tuple[bytes, int]:
    credit = Credit(side)
    return b"".join(stream(each, credit.window, b"!") for each in credit.new()), FLOW


def _past_session_credit(side: Side) -> tuple[bytes, int]:
    credit = Credit(side)
    streams = credit.new(1 + credit.left // credit.window)
    if len(streams) * credit.window <= credit.left:
        return _past_stream_credit(side)
    return b"".join(stream(each, credit.window - 1, b"!") for each in streams), FLOW


def _reset_past_credit(side: Side) -> tuple[bytes, int]:
    credit = Credit(side)
    return b"".join(frame(RESET_STREAM, each, 0, 1 << 40) for each in credit.new()), FLOW


def _one_stream_more(side: Side) -> tuple[bytes, int]:
    # Than may ever be granted: a MAX_STREAMS may be on its way, and make lawful what is said again.
    most = Credit(side).first + side.peer.granted.max_streams
    return stream(2 * most, 0, b"!"), STREAM_LIMIT


def _stream_of_nobody(_side: Side) -> tuple[bytes, int]:
    return frame(MAX_STREAM_DATA, 1, 1 << 40), STREAM_STATE


def _goes_on_after_its_end(side: Side) -> tuple[bytes, int]:
    streams = Credit(side).new()
    return b"".join(
        stream(each, 0, b"end", fin=True) + stream(each, 3, b"!") for each in streams
    ), FINAL_SIZE


def _ends_before_its_bytes(side: Side) -> tuple[bytes, int]:
    streams = Credit(side).new()
    return b"".join(
        stream(each, 0, b"bytes") + stream(each, 0, b"end", fin=True) for each in streams
    ), FINAL_SIZE


def _reset_at_another_size(side: Side) -> tuple[bytes, int]:
    streams = Credit(side).new()
    return b"".join(
        stream(each, 0, b"bytes") + frame(RESET_STREAM, each, 0, 4) for each in streams
    ), FINAL_SIZE


def _acks_what_was_not_sent(side: Side) -> tuple[bytes, int]:
    return ack(side.peer.next_number + (1 << 20)), ACK


def _first(side: Side) -> Packet:
    return next(iter(side.packets.values()))


def _ratchets(side: Side) -> int:
    said = (frame for packet in side.packets.values() for frame in packet.frames)
    return max((each.number for each in said if isinstance(each, Ratchet)), default=0)


def _skips_a_ratchet(side: Side) -> tuple[bytes, int]:
    number = _ratchets(side) + 2
    return bytes([RATCHET, 0]) + number.to_bytes(4, "big") + _first(side).datagram[:32], KEYS


def _answers_its_own_ratchet(side: Side) -> tuple[bytes, int]:
    return bytes([RATCHET, 1]) + bytes(3) + b"\1" + _first(side).datagram[:32], KEYS


def _proves_another_address(_side: Side) -> tuple[bytes, int]:
    return PING + bytes([PATH_RESPONSE]) + b"whatever", 0


Breach = Callable[["Side"], tuple[bytes, int]]
BREACHES: Final[tuple[Breach, ...]] = (
    _unknown_frame,
    _cut_frame,
    _past_stream_credit,
    _past_session_credit,
    _reset_past_credit,
    _one_stream_more,
    _stream_of_nobody,
    _goes_on_after_its_end,
    _ends_before_its_bytes,
    _reset_at_another_size,
    _acks_what_was_not_sent,
    _skips_a_ratchet,
    _answers_its_own_ratchet,
    _proves_another_address,
)


@dataclass
class Traitor:
    """Sits on a client's host in its place and says the same wrong thing until the server has had enough."""

    world: World
    host: Host
    side: Side
    breach: Breach

    def __post_init__(self) -> None:
        self.side.honest = False
        self.text, self.code = self.breach(self.side)
        self.left = TRIES if self.text else 0
        self.due: int | None = 0
        if not self.code:
            name, port = self.host.address
            self.world.rebind(self.host, (name, port + 1000))

    def verdict(self) -> str:
        """What the server made of it, when that is wrong; otherwise nothing."""
        said = (each for packet in self.side.peer.packets.values() for each in packet.frames)
        codes = {each.code for each in said if isinstance(each, Close)}
        if not self.text or self.left == TRIES or codes == ({self.code} if self.code else set()):
            return ""
        return f"a peer {self.breach.__name__.strip('_')}: closed with {codes}, not {self.code}"

    # ---- as a core ----

    def receive(self, datagrams: Iterable[Marked], now: int) -> None:
        """The witness has read it by now."""
        if self.side.closed:
            self.due = None

    def transmit(self, now: int) -> list[Marked]:
        if self.due is None or now < self.due or self.side.closed:
            return []
        self.left -= 1
        self.due = now + EVERY if self.left > 0 else None
        session, number = self.side.peer.address, self.side.next_number
        newest = max(self.side.largest_heard, 0)
        sealed = self.side.keys.seal(self.text, session=session, number=number, newest=newest)
        return [(sealed, self.side.peer.host.address, 0)]

    def deadline(self) -> int | None:
        return self.due

    def handle_timeout(self, now: int) -> None:
        """Transmitting looks at the time by itself."""

    def events(self) -> list[Event]:
        return []

    def wholes(self) -> list[tuple[Connection, Whole]]:
        return []
