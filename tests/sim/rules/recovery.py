"""Recovery: what a session reports of its losses and its window, held against what was said and heard."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.sim.frames import Ack, Close, Padding, Ping, Stream
from tests.sim.marked import ECT0, NOT_ECT
from tests.sim.rules.paths import is_about_paths
from tests.sim.session import Rule

if TYPE_CHECKING:
    from repram.proto.connection import TraceRecord
    from tests.sim.packets import Packet
    from tests.sim.session import Standing

BETA: Final = 0.7
LONGEST_SILENCE: Final = 1_500_000
BURST_SEGMENTS: Final = 10
BURST_TIME: Final = 5000
MOST_BURST: Final = 1024 * 1024
PROBES: Final = 2
SECOND: Final = 1_000_000
LEAST_SEGMENTS: Final = 2
TRACE_ROOM: Final = (
    1024  # records that a session keeps until they are read: more may have been missed
)
LEAST_DATAGRAM: Final = 1200


def is_mtu_probe(packet: Packet) -> bool:
    """Whether a packet is large for nothing but to find out whether it gets through."""
    return packet.size > LEAST_DATAGRAM and all(
        isinstance(f, Ping | Padding) for f in packet.frames
    )


def weight(packet: Packet) -> int:
    """What it takes of the window."""
    return 0 if is_mtu_probe(packet) else packet.size


@dataclass
class Flight:
    """Packets that asked for an ACK and have none: those in the air, and those given up for lost."""

    flying: dict[int, Packet] = field(default_factory=dict)
    lost: dict[int, Packet] = field(default_factory=dict)
    bytes: int = 0
    base: int = 0
    largest_acked: int = -1

    def say(self, packet: Packet) -> None:
        """One more takes off."""
        if not self.flying:
            self.base = packet.number if not self.lost else min(self.lost)
        self.flying[packet.number] = packet
        self.bytes += weight(packet)

    def land(self, ack: Ack) -> tuple[list[Packet], list[Packet]]:
        """Those that an ACK names for the first time: from the air, and from among the lost."""
        landed, found = [], []
        for low, high in ack.ranges:
            for number in range(max(low, self.base), high + 1):
                if number in self.flying:
                    landed.append(self._leave(number))
                elif number in self.lost:
                    found.append(self.lost.pop(number))
        while (
            self.base <= ack.largest and self.base not in self.flying and self.base not in self.lost
        ):
            self.base += 1
        self.largest_acked = max(self.largest_acked, ack.largest)
        for packet in (*landed, *found):
            packet.was_acked = True
        return landed, found

    def lose(self, number: int) -> Packet:
        """One is given up."""
        packet = self.lost[number] = self._leave(number)
        return packet

    def _leave(self, number: int) -> Packet:
        packet = self.flying.pop(number)
        self.bytes -= weight(packet)
        return packet


@dataclass
class Turn:
    """What one turn of a host brought for a session."""

    landed: list[Packet] = field(default_factory=list)
    found: list[Packet] = field(default_factory=list)
    congested_at: int = -1  # when the newest packet left of those whose ACK tells of congestion
    said: list[Packet] = field(default_factory=list)


@dataclass
class Reduction:
    """A cut of the window: it is undone when every loss that it was for proves to be none."""

    at: int
    window: int
    lost: set[int]
    before: Reduction | None = None
    is_sure: bool = True  # otherwise too much has happened at once to say when it was


class Recovers(Rule):
    """RFC 9002 as docs/protocol.md, section 7, has it: every report fits the packets, and the window
    shrinks for a loss or a mark, for nothing else, and comes back when the loss was none."""

    def begin(self) -> None:
        self.flight = Flight()
        self._turn = Turn()
        self._last: Standing | None = None
        self._reduction: Reduction | None = None
        self._trusts_marks = self._knows_marks = True
        self._marks = (0, 0)
        self._probes = 0
        self._asked_at = 0
        self._first_ack = -1
        self._least_round_trip = 1 << 62
        self._segment = 0
        self._blurred = self.side.is_short_of_memory

    # ---- what is said and heard ----

    def said(self, packet: Packet) -> None:
        self._turn.said.append(packet)
        if packet.asks:
            self.flight.say(packet)

    def heard(self, packet: Packet) -> None:
        if not packet.is_sure:
            self._blurred = True  # what the other side made of it cannot be known
            return
        for frame in packet.frames:
            if isinstance(frame, Ack):
                self._acked(frame, packet)
            if isinstance(frame, Close):
                self._blurred = True

    def _acked(self, ack: Ack, packet: Packet) -> None:
        turn, newer = self._turn, ack.largest > self.flight.largest_acked
        landed, found = self.flight.land(ack)
        for each in landed:
            took = packet.heard_at - each.sent_at
            self._least_round_trip = min(self._least_round_trip, took)
        turn.landed += landed
        turn.found += found
        if self._first_ack < 0 and any(each.number == ack.largest for each in landed):
            self._first_ack = packet.heard_at
        if newer and landed and self._trusts_marks and self._knows_marks:
            self._heed(ack, landed)

    def _heed(self, ack: Ack, landed: list[Packet]) -> None:
        plain, _, congested = ack.marks or (0, 0, 0)
        counted, before = plain + congested, sum(self._marks)
        marked = sum(packet.ecn == ECT0 for packet in landed)
        if counted < before + marked or counted > len(self.side.packets):
            self._trusts_marks = False
            return
        if congested > self._marks[1]:
            newest = max(landed, key=lambda packet: packet.number)
            self._turn.congested_at = max(self._turn.congested_at, newest.sent_at)
        self._marks = plain, congested

    # ---- what is reported ----

    def reported(self, records: list[TraceRecord], standing: Standing) -> None:
        """The host's turn is over."""
        turn, last = self._turn, self._last
        self._turn, self._last = Turn(), standing
        missed = len(records) == TRACE_ROOM or any(record.missed for record in records)
        self._blurred |= self.side.closed or missed
        if self._blurred or last is None:
            return
        self._segment = max(last.mtu, standing.mtu)  # it may have changed within the turn
        moved = standing.migrations != last.migrations
        if moved:
            self._reduction = Reduction(self.side.now(), 0, set(), is_sure=False)
            self._first_ack = -1
            self._knows_marks &= (
                self._trusts_marks
            )  # trust begins anew: at which ACK is hard to say
        lost = self._losses(records, turn, last)
        self._judge_flight(turn, standing)
        self._judge_probes(records, turn, standing, moved=moved)
        self._judge_pace(turn, last, standing)
        if not moved and self.side.settings.controller == "cubic":
            self._judge_window(records, turn, lost, last, standing)

    def _losses(self, records: list[TraceRecord], turn: Turn, last: Standing) -> list[Packet]:
        side, lost = self.side, []
        least = min(self._least_round_trip, last.rtt)
        for record in records:
            if record.kind != "packet_lost":
                continue
            if any(packet.number == record.a for packet in turn.landed):
                continue  # a later ACK of the same turn has found it
            if record.a not in self.flight.flying:
                raise side.wrong(f"it has lost {record.a}, which was not in the air")
            packet = self.flight.lose(record.a)
            if not is_mtu_probe(packet):  # whose loss says nothing of congestion
                lost.append(packet)
            behind = self.flight.largest_acked - packet.number
            age = record.time - packet.sent_at
            if behind < 0 or (behind < 3 and age < least * 9 // 8):
                raise side.wrong(f"it gives up {packet.number}, {behind} behind the largest ACK")
        return lost

    def _judge_flight(self, turn: Turn, standing: Standing) -> None:
        side = self.side
        if standing.in_flight != self.flight.bytes:
            raise side.wrong(
                f"it thinks that {standing.in_flight} bytes fly, these are {self.flight.bytes}"
            )
        for packet in turn.said if self._knows_marks else ():
            if packet.ecn != (ECT0 if self._trusts_marks else NOT_ECT):
                raise side.wrong(
                    f"it marks a packet {packet.ecn}, trust in marks: {self._trusts_marks}"
                )

    def _judge_probes(
        self, records: list[TraceRecord], turn: Turn, standing: Standing, *, moved: bool
    ) -> None:
        side = self.side
        for record in records:
            if record.kind != "pto":
                continue
            self._probes = PROBES
            wait = min(standing.pto << (record.a - 1), max(standing.pto, LONGEST_SILENCE))
            if not moved and record.time - self._asked_at < wait:
                waited = record.time - self._asked_at
                raise side.wrong(f"PTO {record.a} comes after {waited} us, due after {wait}")
            self._asked_at = record.time
        had = self._probes
        asking = [packet for packet in turn.said if packet.asks]
        self._probes -= min(self._probes, len(asking))
        if asking:
            self._asked_at = max(self._asked_at, asking[-1].sent_at)
        data = any(isinstance(frame, Stream) for packet in asking for frame in packet.frames)
        if data and not had and standing.in_flight > standing.window + standing.mtu:
            raise side.wrong(f"{standing.in_flight} bytes fly, the window is {standing.window}")

    def _judge_pace(self, turn: Turn, last: Standing, standing: Standing) -> None:
        rate = max(last.rate, standing.rate)
        burst = max(BURST_SEGMENTS * standing.mtu, min(rate * BURST_TIME // SECOND, MOST_BURST))
        apart = (is_about_paths, is_mtu_probe)
        asking = [p.size for p in turn.said if p.asks and not any(kind(p) for kind in apart)]
        if sum(asking) > burst + PROBES * standing.mtu:
            raise self.side.wrong(f"it says {sum(asking)} bytes at once, a burst is {burst}")

    # ---- the window, under CUBIC ----

    def _judge_window(
        self,
        records: list[TraceRecord],
        turn: Turn,
        lost: list[Packet],
        last: Standing,
        standing: Standing,
    ) -> None:
        undone = self._undo(turn, min(last.pto, standing.pto))
        if undone and not lost and turn.congested_at < 0 and standing.window < undone.window:
            raise self.side.wrong(
                f"no loss was one, and the window of {undone.window} is {standing.window}"
            )
        regained = undone.window if undone else 0
        unsure = bool(turn.found and self._reduction and not self._reduction.is_sure)
        kinds = [record.kind for record in records]
        if lost and (
            unsure
            or turn.congested_at >= 0
            or "packets_acked" in kinds[kinds.index("packet_lost") :]
        ):
            self._reduction = Reduction(self.side.now(), 0, set(), is_sure=False)
        elif lost:
            windows = (record.a for record in records if record.kind == "congestion_window")
            *_, before = (last.window, *windows)
            self._lost(lost, max(before, regained), standing)
        elif turn.congested_at >= 0:
            self._marked(turn, max(last.window, regained), standing)
        elif standing.window < last.window:
            raise self.side.wrong(f"its window shrinks to {standing.window} for nothing")

    def _undo(self, turn: Turn, pto: int) -> Reduction | None:
        reduction = self._reduction
        if not reduction or not reduction.lost or not turn.found:
            return None
        found = [packet for packet in turn.found if packet.number in reduction.lost]
        if any(self.side.now() - packet.sent_at > 2 * pto for packet in found):
            reduction.lost, reduction.is_sure = set(), False  # it may have been forgotten by now
            return None
        reduction.lost -= {packet.number for packet in found}
        if reduction.lost or not found:
            return None
        if self._last and self._last.window > reduction.window:
            reduction.is_sure = (
                False  # there is nothing to give back: it has grown past that meanwhile
            )
            return None
        self._reduction = reduction.before
        if self._reduction:
            self._reduction.lost = set()  # that one can no longer be undone
        return reduction

    def _lost(self, lost: list[Packet], before: int, standing: Standing) -> None:
        numbers = {packet.number for packet in lost}
        reduction = self._reduction
        newest = max(packet.sent_at for packet in lost)
        if (
            reduction
            and newest <= reduction.at
            and (reduction.is_sure or standing.window >= before)
        ):
            reduction.lost |= numbers if reduction.lost else set()
            if standing.window < before:
                raise self.side.wrong("its window is cut a second time for the same congestion")
        else:
            self._must_be_cut(before, standing)
            self._reduction = Reduction(self.side.now(), before, numbers, reduction)
        if self._is_persistent(lost, standing):
            if standing.window > LEAST_SEGMENTS * self._segment:
                raise self.side.wrong(
                    f"nothing got through for long; its window is {standing.window}"
                )
            self._reduction = None

    def _marked(self, turn: Turn, before: int, standing: Standing) -> None:
        reduction = self._reduction
        unsure = reduction and not reduction.is_sure and standing.window < before
        if reduction and turn.congested_at <= reduction.at and not unsure:
            return
        grown = before + sum(packet.size for packet in turn.landed)
        self._must_be_cut(grown, standing)
        self._reduction = Reduction(self.side.now(), 0, set(), self._reduction)

    def _must_be_cut(self, before: int, standing: Standing) -> None:
        most = max(BETA * before, LEAST_SEGMENTS * self._segment)
        if standing.window > most + 1:
            raise self.side.wrong(f"congestion leaves its window at {standing.window} of {before}")

    def _is_persistent(self, lost: list[Packet], standing: Standing) -> bool:
        """Whether a run of losses, with nothing delivered between, is longer than three PTO."""
        first, longest = -1, 0
        lost_here = {packet.number: packet for packet in lost}
        for number in range(lost[0].number, lost[-1].number + 1):
            if number in lost_here:
                at = lost_here[number].sent_at
                first = at if first < 0 else first
                longest = max(longest, at - first)
            elif (other := self.side.packets.get(number)) is not None and other.was_acked:
                first = -1
        return 0 <= self._first_ack <= lost[0].sent_at and longest > 3 * standing.pto
