"""The world moves datagrams and clocks as it should; its hosts here speak no protocol."""

from __future__ import annotations

from collections.abc import Iterable
from struct import pack
from typing import TYPE_CHECKING
from zlib import crc32

import pytest

from tests.sim.invariants import InvariantError
from tests.sim.link import LinkSettings
from tests.sim.world import Host, World

if TYPE_CHECKING:
    from repram.proto.connection import Address, Connection, Event, Whole
    from tests.sim.marked import Marked

ONE: Address = ("10.0.0.1", 1)
OTHER: Address = ("10.0.0.2", 2)
MOVED: Address = ("10.0.0.1", 99)
PLAIN = LinkSettings()


class Postbox:
    """Sends what is put into it and keeps what arrives, with the time of its own clock."""

    def __init__(self) -> None:
        self.outgoing: list[tuple[bytes, Address]] = []
        self.heard: list[tuple[int, bytes, Address]] = []
        self.alarm: int | None = None
        self.woken: list[int] = []
        self.stuck = False

    def receive(self, datagrams: Iterable[Marked], now: int) -> None:
        self.heard += [(now, datagram, source) for datagram, source, _ in datagrams]

    def transmit(self, now: int) -> list[Marked]:
        batch, self.outgoing = self.outgoing, []
        return [(datagram, target, 0) for datagram, target in batch]

    def deadline(self) -> int | None:
        return self.alarm

    def handle_timeout(self, now: int) -> None:
        self.woken.append(now)
        if not self.stuck:
            self.alarm = None

    def events(self) -> list[Event]:
        return []

    def wholes(self) -> list[tuple[Connection, Whole]]:
        return []


class Pair:
    """Two postboxes with a path between them."""

    def __init__(self, there: LinkSettings = PLAIN, *, clock: int = 0, tick: int = 1) -> None:
        self.world = World("pair")
        self.one, self.other = Postbox(), Postbox()
        self.here: Host = self.world.add(self.one, ONE)
        self.there: Host = self.world.add(self.other, OTHER, clock=clock, tick=tick)
        self.world.join(self.here, self.there, there, LinkSettings())
        self._number = 0

    def send(self, body: bytes, *, to: Address = OTHER) -> bytes:
        """Put a datagram into the first postbox and let it be sent now."""
        self._number += 1
        start = pack(">BBHIII", 4, 0, len(body), 1, self._number, 0)
        crc = crc32(body, crc32(bytes(4), crc32(start)))
        datagram = start + crc.to_bytes(4, "big") + body
        self.one.outgoing.append((datagram, to))
        self.world.turn(self.here)
        return datagram

    def run(self) -> None:
        self.world.run(10**9, lambda: False)


def test_a_datagram_arrives_after_the_delay_of_its_link() -> None:
    pair = Pair(LinkSettings(delay=7000))
    sent = pair.send(b"hello")
    pair.run()
    assert pair.other.heard == [(7000, sent, ONE)]


def test_every_host_has_a_clock_of_its_own() -> None:
    pair = Pair(LinkSettings(delay=7000), clock=1_000_000)
    pair.other.alarm = 1_000_500
    pair.world.turn(pair.there)
    pair.send(b"hello")
    pair.run()
    assert pair.other.woken == [1_000_500]
    assert pair.other.heard[0][0] == 1_007_000


def test_a_clock_that_leaps_brings_deadlines_nearer() -> None:
    pair = Pair()
    pair.other.alarm = 5_000_000
    pair.world.turn(pair.there)
    pair.world.at(1_000_000, lambda: pair.world.jump(pair.there, 3_000_000), pair.there)
    pair.world.run(1_999_999, lambda: False)
    assert not pair.other.woken
    pair.world.run(2_000_000, lambda: False)
    assert pair.other.woken == [5_000_000]


def test_a_later_deadline_replaces_an_earlier_one() -> None:
    pair = Pair()
    pair.other.alarm = 1000
    pair.world.turn(pair.there)
    pair.other.alarm = 9000
    pair.world.turn(pair.there)
    pair.run()
    assert pair.other.woken == [9000]


def test_arrivals_within_a_tick_come_as_one_batch() -> None:
    pair = Pair(LinkSettings(delay=10, rate=1_000_000), tick=1000)
    for _ in range(5):
        pair.send(bytes(80))
    pair.run()
    assert [now for now, _, _ in pair.other.heard] == [1000] * 5


def test_rebinding_changes_the_address_that_others_see() -> None:
    pair = Pair(LinkSettings(delay=1000))
    pair.send(b"before")
    pair.world.rebind(pair.here, MOVED)
    pair.send(b"after")
    pair.run()
    assert [source for _, _, source in pair.other.heard] == [ONE, MOVED]


def test_after_rebinding_only_the_new_address_leads_back() -> None:
    pair = Pair()
    pair.world.rebind(pair.there, MOVED)
    pair.send(b"to the old one")
    new = pair.send(b"to the new one", to=MOVED)
    pair.run()
    assert [datagram for _, datagram, _ in pair.other.heard] == [new]
    assert pair.world.counters()["world_unrouted"] == 1


def test_an_address_that_nobody_has_swallows_datagrams() -> None:
    pair = Pair()
    pair.send(b"is there anybody", to=("10.3.3.3", 3))
    pair.run()
    assert pair.world.counters()["world_unrouted"] == 1


def test_an_injected_datagram_arrives_in_anybodys_name() -> None:
    pair = Pair()
    pair.world.inject(pair.there, b"forged", MOVED)
    pair.run()
    assert pair.other.heard == [(0, b"forged", MOVED)]


def test_what_a_host_emits_is_checked() -> None:
    pair = Pair()
    pair.one.outgoing.append((bytes(30), OTHER))
    with pytest.raises(InvariantError):
        pair.world.turn(pair.here)


def test_a_core_that_spins_is_caught() -> None:
    pair = Pair()
    pair.other.alarm, pair.other.stuck = 1000, True
    pair.world.turn(pair.there)
    with pytest.raises(InvariantError, match="spins"):
        pair.run()


def test_the_trace_follows_from_what_happens() -> None:
    def trace(body: bytes, delay: int) -> str:
        pair = Pair(LinkSettings(delay=delay))
        pair.send(body)
        pair.run()
        return pair.world.trace()

    assert trace(b"one", 5) == trace(b"one", 5)
    assert len({trace(b"one", 5), trace(b"two", 5), trace(b"one", 6)}) == 3
