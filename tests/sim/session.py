"""A session as whoever knows its keys sees it: two sides, and what each has said and heard."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.proto.by_hand import Limits
from tests.sim import frames
from tests.sim.frames import ASKS_NOTHING, Close, Ratchet
from tests.sim.invariants import InvariantError
from tests.sim.packets import PHASE, Direction, Draws, Packet

if TYPE_CHECKING:
    from repram.proto.connection import Address, Settings, TraceRecord
    from tests.sim.world import Host, World

REPLAY_WINDOW: Final = 8128
NEVER: Final = 1 << 64
GRANULARITY: Final = 1000
MOST_ACK_DELAY: Final = 5000
PLENTY: Final = 64 << 20
LEFT_OUT_EVERY: Final = 64  # packets, at least, lie between two numbers that are left out


class Numbers:
    """A set of numbers that is mostly runs."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def add(self, number: int) -> None:
        """A number more; it may be there already."""
        at = bisect_right(self._starts, number)
        starts, ends = self._starts, self._ends
        if at and number < ends[at - 1]:
            return
        joins_left = at > 0 and ends[at - 1] == number
        joins_right = at < len(starts) and starts[at] == number + 1
        if joins_left and joins_right:
            ends[at - 1] = ends[at]
            del starts[at], ends[at]
        elif joins_left:
            ends[at - 1] = number + 1
        elif joins_right:
            starts[at] = number
        else:
            starts.insert(at, number)
            ends.insert(at, number + 1)

    def holds(self, low: int, high: int) -> bool:
        """Whether all from `low` to `high`, that included, are there."""
        at = bisect_right(self._starts, low)
        return at > 0 and high < self._ends[at - 1]


@dataclass(frozen=True, slots=True)
class Standing:
    """What a session says of itself at the end of a turn; times in microseconds, sizes in bytes."""

    window: int
    in_flight: int
    rate: int
    rtt: int
    rtt_var: int
    mtu: int
    ptos: int
    migrations: int
    spurious: int

    @property
    def pto(self) -> int:
        """How long a silence is before it asks."""
        return self.rtt + max(4 * self.rtt_var, GRANULARITY) + MOST_ACK_DELAY


class Rule:
    """Something that docs/protocol.md says of each side of a session."""

    def __init__(self, side: Side) -> None:
        self.side = side

    def begin(self) -> None:
        """Both sides are known; nothing has been said."""

    def said(self, packet: Packet) -> None:
        """The side has emitted this packet."""

    def heard(self, packet: Packet) -> None:
        """The packet has come to this side, for the first time."""

    def heard_again(self, packet: Packet, source: Address) -> None:
        """A copy of it has come, from wherever."""

    def reported(self, records: list[TraceRecord], standing: Standing) -> None:
        """The host's turn is over: what the session itself says of it."""

    def over(self) -> None:
        """Nothing more will happen."""


class Side:
    """One end of a session."""

    peer: Side

    def __init__(
        self,
        world: World,
        host: Host,
        settings: Settings,
        *,
        name: str,
        initiator: bool,
        address: int,
        keys: Direction,
        granted: Limits,
        reset_token: bytes,
        rules: Iterable[type[Rule]],
    ) -> None:
        """`address` is the session id in what comes here, `granted` what the handshake allows the peer."""
        self.world = world
        self.host = host
        self.settings = settings
        self.name = name
        self.initiator = initiator
        self.address = address
        self.keys = keys
        self.granted = granted
        self.reset_token = reset_token
        self.called_from: Counter[Address] = Counter()  # bytes of the handshake, from where
        self.honest = True
        self.packets: dict[int, Packet] = {}  # by number, in order
        self.next_number = self.left_out = settings.first_packet_number
        self.first = settings.first_packet_number
        self.heard_numbers = Numbers()
        self.largest_heard = -1
        self.largest_sure = -1  # that cannot have been dropped for a good reason
        self.began_at = self.last_said_at = world.now
        self.last_heard_at = 0
        self.heard_epoch = 0
        self.closed = False  # it has said CLOSE, or heard it
        self.may_be_mute = False  # it may have used up what it may send to an unproved address
        self.rules = [rule(self) for rule in rules]

    def now(self) -> int:
        """The time by this side's own clock."""
        return self.world.now + self.host.clock

    def last_at(self) -> int:
        """When it has last heard or said something, or begun; by the world's clock."""
        return max(self.began_at, self.last_said_at, self.last_heard_at - self.host.clock)

    def wrong(self, what: str) -> InvariantError:
        """The error to raise when this side does what it must not do."""
        return InvariantError(f"{self.name}, packet {self.next_number - 1}: {what}")

    @property
    def is_short_of_memory(self) -> bool:
        """Whether a lack of memory excuses it for not taking a packet, or not answering."""
        return self.settings.memory < PLENTY

    @property
    def idle_limit(self) -> int:
        """The smaller of both idle limits, in microseconds."""
        limits = (self.granted.idle_timeout, self.peer.granted.idle_timeout)
        return min((limit for limit in limits if limit), default=NEVER)

    def say(self, datagram: bytes, to: Address, ecn: int) -> Packet:
        """The side emits a datagram: it must be its next packet, sealed as the protocol has it."""
        if datagram[1] & PHASE != self.keys.epoch & PHASE:
            self.keys.advance()
        number, seq = self.next_number, int.from_bytes(datagram[8:12], "big")
        if seq == (number + 1) & 0xFFFFFFFF and number - self.left_out >= LEFT_OUT_EVERY:
            self.left_out, number = number, number + 1
        if seq != number & 0xFFFFFFFF:
            raise InvariantError(f"{self.name} emits number {seq}, its next is {number}")
        try:
            said = frames.read(self.keys.open(datagram, number))
        except (RuntimeError, ValueError, IndexError) as error:
            if self.honest:
                raise InvariantError(
                    f"{self.name} emits packet {number} that does not open or parse: {error!r}"
                ) from error
            said = []
        asks = not all(isinstance(frame, ASKS_NOTHING) for frame in said)
        epoch = self.keys.epoch
        packet = Packet(number, epoch, said, datagram, asks, to, ecn, self.now())
        self.packets[number] = packet
        self.last_said_at = self.world.now
        self.next_number = number + 1
        for rule in self.rules if self.honest else ():
            rule.said(packet)
        self.closed |= any(isinstance(frame, Close) for frame in said)
        return packet

    def hear(self, packet: Packet, source: Address, ecn: int) -> None:
        """What the peer has emitted arrives."""
        if packet.heard_at >= 0:
            for rule in self.rules if self.honest else ():
                rule.heard_again(packet, source)
            return
        packet.heard_at, packet.heard_from, packet.heard_ecn = self.now(), source, ecn
        self.last_heard_at = packet.heard_at
        if self.largest_heard < 0 and not self.initiator:
            self.may_be_mute = self.called_from.keys() != {source}
        self.heard_numbers.add(packet.number)
        late = packet.epoch < self.heard_epoch
        late |= packet.number < self.largest_heard - REPLAY_WINDOW
        packet.is_sure = (
            self.peer.honest and not late and not self.closed and not self.is_short_of_memory
        )
        self.largest_heard = max(self.largest_heard, packet.number)
        self.heard_epoch = max(self.heard_epoch, packet.epoch)
        if packet.is_sure:
            self.largest_sure = max(self.largest_sure, packet.number)
        for rule in self.rules if self.honest else ():
            rule.heard(packet)
        self.closed |= any(isinstance(frame, Close) for frame in packet.frames)


class Session:
    """Both sides, and the ratchets that change the keys of both."""

    def __init__(self, initiator: Side, responder: Side, draws: Draws) -> None:
        self.initiator = initiator
        self.responder = responder
        initiator.peer, responder.peer = responder, initiator
        for side in (initiator, responder):
            for rule in side.rules:
                rule.begin()
        self._draws = draws
        self._asked: dict[int, bytes] = {}
        self._mixed = 0

    def last_at(self) -> int:
        """When anything has last happened in it, by the world's clock."""
        return max(self.initiator.last_at(), self.responder.last_at())

    def say(self, side: Side, datagram: bytes, to: Address, ecn: int) -> Packet:
        """One of the two emits a packet."""
        packet = side.say(datagram, to, ecn)
        for frame in packet.frames:
            if isinstance(frame, Ratchet) and side.honest:
                self._ratchet(side, frame)
        return packet

    def _ratchet(self, side: Side, frame: Ratchet) -> None:
        if not frame.answers:
            self._asked.setdefault(frame.number, frame.key)
        elif frame.number == self._mixed + 1:
            private = self._draws.private_of(frame.key)
            if private is None or frame.number not in self._asked:
                raise side.wrong(
                    f"ratchet {frame.number} answers nothing, or with a key of nobody's"
                )
            self._mixed = frame.number
            for each in (self.initiator, self.responder):
                each.keys.mix(private, self._asked[frame.number])
        elif frame.number != self._mixed:
            raise side.wrong(f"ratchet {frame.number} is answered, the last one was {self._mixed}")
