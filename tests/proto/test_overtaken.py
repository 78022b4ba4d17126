"""Copies of true packets in strangers' names, before or behind the packets; and a peer that moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from repram.proto.connection import Address, Connection, Settings
from tests.proto.by_hand import DATA
from tests.proto.duo import CLIENT, DELAY, SERVER, Duo, passes

FORGED: Address = ("198.51.100.7", 4444)
ELSEWHERE: Address = ("192.0.2.77", 5555)
BYTES = bytes(range(256)) * 2000
RTT = 2 * DELAY

Copier = Callable[[Duo], None]


def copies_nothing(_duo: Duo) -> None:
    """The control: the path as it is."""


def copies_behind(duo: Duo) -> None:
    """Each packet comes again, a little later, from somewhere else."""
    duo.path = lambda d, s, t: [(d, s, t), (d, FORGED, t)] if d[0] == DATA else passes(d, s, t)


def copies_much_later(duo: Duo) -> None:
    """So does the one of a while ago."""
    old: list[tuple[bytes, Address, Address]] = []

    def path(d: bytes, s: Address, t: Address) -> list[tuple[bytes, Address, Address]]:
        old.append((d, FORGED, t))
        return [(d, s, t), *([old[-40]] if len(old) >= 40 else [])]

    duo.path = path


def copies_before(duo: Duo) -> None:
    """Each copy overtakes its packet."""
    duo.path = lambda d, s, t: [(d, FORGED, t), (d, s, t)] if d[0] == DATA else passes(d, s, t)


def copies_before_from_everywhere(duo: Duo) -> None:
    """And each comes from another source."""
    count = iter(range(1, 1 << 16))
    duo.path = lambda d, s, t: (
        [(d, ("198.51.100.9", next(count)), t), (d, s, t)] if d[0] == DATA else passes(d, s, t)
    )


def copies_some_before(duo: Duo) -> None:
    """Every other one."""
    count = iter(range(1 << 30))
    duo.path = lambda d, s, t: (
        [(d, FORGED, t), (d, s, t)] if d[0] == DATA and next(count) % 2 else passes(d, s, t)
    )


COPIERS = (
    copies_nothing,
    copies_behind,
    copies_much_later,
    copies_before,
    copies_before_from_everywhere,
    copies_some_before,
)


@pytest.mark.parametrize("copier", COPIERS)
def test_copies_neither_divert_nor_end_a_flow(copier: Copier) -> None:
    duo = Duo()
    mine, theirs = duo.connect()
    copier(duo)
    for sender, receiver in ((mine, theirs), (theirs, mine)):
        assert duo.transfer(sender, receiver, BYTES) == BYTES
    assert (mine.address, theirs.address) == (SERVER, CLIENT)
    for core in (duo.client, duo.server):
        assert core.counters()["migrations"] == 0


# ---- moving ----


@dataclass(slots=True)
class Flow:
    """One direction: as much is written as goes, and how much was read is known at any time."""

    sender: Connection
    receiver: Connection
    stream: int
    read: int = 0

    def turn(self) -> None:
        while self.sender.write(self.stream, bytes(8192)):
            pass
        while piece := self.receiver.read(self.stream)[0]:
            self.read += len(piece)


def both_ways(duo: Duo, mine: Connection, theirs: Connection) -> list[Flow]:
    """A stream that is full in both directions."""
    stream = mine.open_stream()
    mine.write(stream, b"first")
    duo.run(0.1)
    flows = [Flow(mine, theirs, stream), Flow(theirs, mine, stream)]
    turn_until(duo, flows, lambda: all(flow.read > 100_000 for flow in flows))
    return flows


def turn_until(duo: Duo, flows: list[Flow], done: Callable[[], bool]) -> None:
    def turned() -> bool:
        for flow in flows:
            flow.turn()
        duo.flush()
        return done()

    duo.run_until(turned, seconds=60)


def first_from(duo: Duo, address: Address) -> bool:
    return any(source == address for _, source, _ in duo.captured)


def move(duo: Duo, flows: list[Flow]) -> int:
    """From when the node hears a packet from elsewhere: how long until both directions bring new bytes."""
    duo.client_address = ELSEWHERE
    turn_until(duo, flows, lambda: first_from(duo, ELSEWHERE))
    arrives, before = duo.now + DELAY, [flow.read for flow in flows]
    turn_until(duo, flows, lambda: all(f.read > b for f, b in zip(flows, before, strict=True)))
    return duo.now - arrives


@pytest.mark.parametrize("controller", ["bbr", "cubic"])
@pytest.mark.parametrize("copier", COPIERS)
def test_a_peer_that_moves_is_served_again_within_two_round_trips(
    copier: Copier, controller: str
) -> None:
    duo = Duo(settings=Settings(controller=controller, keep_alive=1))
    mine, theirs = duo.connect()
    flows = both_ways(duo, mine, theirs)
    copier(duo)
    duo.captured.clear()
    assert move(duo, flows) <= 2 * RTT
    assert theirs.address == ELSEWHERE
    first = next(data for data, _, target in duo.captured if target == ELSEWHERE)
    assert len(first) < 100  # a challenge, and nothing else
