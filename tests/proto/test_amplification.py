"""Whoever has proved no address is sent at most three bytes for each of its own, whatever it says."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable
from typing import Final

import pytest

from repram.proto.connection import Address, Settings
from repram.proto.endpoint import Endpoint
from tests.conftest import Run
from tests.proto.by_hand import (
    ACCEPT,
    DATA,
    REFUSED,
    RESET,
    RETRY,
    VERSION,
    ByHand,
    datagram,
    with_crc,
)
from tests.proto.duo import CLIENT, SERVER, Duo
from tests.proto.live import STRANGER, node, until

TIMES: Final = 40


def caller(key: bytes) -> ByHand:
    return ByHand(key, session=secrets.randbits(31) + 1, ephemeral=secrets.token_bytes(32))


def calls(key: bytes) -> bytes:
    return caller(key).init()


def calls_somebody_else(_key: bytes) -> bytes:
    return caller(STRANGER).init()


def speaks_another_version(key: bytes) -> bytes:
    return caller(key).init(version=9)


def offers_nothing(key: bytes) -> bytes:
    return caller(key).init(suites=0x80)


def goes_on_with_what_was_forgotten(_key: bytes) -> bytes:
    return datagram(
        DATA, secrets.token_bytes(secrets.randbelow(1200)), session=secrets.randbits(32)
    )


def says_anything(_key: bytes) -> bytes:
    noise = secrets.token_bytes(secrets.randbelow(1400))
    kind = secrets.choice(range(9))
    return with_crc(bytes([kind, 0]) + len(noise).to_bytes(2) + bytes(16) + noise)


class Stranger:
    """A socket that counts what it says and hears."""

    def __init__(self, at: Endpoint) -> None:
        self.node = at
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.said = self.heard = 0
        self.kinds: set[int] = set()

    async def say(self, data: bytes) -> None:
        """And count what is answered, which the node has sent once it has read it."""
        counters = self.node.core.counters
        before = counters()["datagrams_in"]
        self.socket.sendto(data, self.node.address)
        await until(lambda: counters()["datagrams_in"] > before and not self.node._writing)
        self.said += len(data)
        self.listen()

    def listen(self) -> None:
        try:
            while True:
                answer = self.socket.recv(1 << 16)
                self.heard += len(answer)
                self.kinds.add(answer[0])
                assert self.heard <= 3 * self.said
        except BlockingIOError:
            return


BUSY = Settings(cookie_after=0)
WAYS: dict[str, tuple[Callable[[bytes], bytes], Settings, set[int]]] = {
    "calls": (calls, Settings(), {ACCEPT}),
    "calls a busy one": (calls, BUSY, {RETRY}),
    "calls somebody else": (calls_somebody_else, Settings(), {REFUSED}),
    "speaks another version": (speaks_another_version, Settings(), {VERSION}),
    "offers nothing": (offers_nothing, Settings(), {REFUSED}),
    "goes on with what was forgotten": (goes_on_with_what_was_forgotten, Settings(), {RESET}),
    "says anything": (says_anything, Settings(), set()),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_stranger_hears_at_most_three_times_what_it_says(way: str, run: Run[None]) -> None:
    make, settings, wanted = WAYS[way]

    async def main() -> None:
        async with node(settings=settings) as it:
            stranger = Stranger(it)
            with stranger.socket:
                for _ in range(TIMES):
                    await stranger.say(make(it.key))
                assert stranger.kinds >= wanted
                assert stranger.heard == it.core.counters()["bytes_out"]

    run(main())


@pytest.mark.parametrize("way", ["calls", "calls a busy one"])
def test_nor_when_it_repeats_the_same(way: str, run: Run[None]) -> None:
    make, settings, wanted = WAYS[way]

    async def main() -> None:
        async with node(settings=settings) as it:
            stranger = Stranger(it)
            with stranger.socket:
                init = make(it.key)
                for _ in range(TIMES):
                    await stranger.say(init)
                assert stranger.kinds == wanted

    run(main())


# ---- in virtual time: every address, at every moment ----

FORGED: Address = ("198.51.100.7", 4444)


class Ledger:
    """Holds what a node sends to each address but its peer's against what came from there."""

    def __init__(self, duo: Duo, proved: Address) -> None:
        self.duo = duo
        self.proved = proved
        self.came: dict[Address, int] = {}
        self.went: dict[Address, int] = {}
        self.kinds: set[int] = set()

    def came_from(self, source: Address, size: int) -> None:
        self.came[source] = self.came.get(source, 0) + size

    def hand(self, data: bytes, source: Address) -> None:
        """The node is told it in that name, and what it answers is counted."""
        self.came_from(source, len(data))
        self.duo.server.receive([(data, source)], self.duo.now)
        self.count()

    def count(self) -> None:
        while out := self.duo.server.transmit(self.duo.now):
            for data, target in out:
                if target == self.proved:
                    continue
                self.kinds.add(data[0])
                self.went[target] = self.went.get(target, 0) + len(data)
                assert self.went[target] <= 3 * self.came.get(target, 0), target


def recorded(duo: Duo) -> list[bytes]:
    """What a client says in a session, of which nothing has arrived yet."""
    mine, theirs = duo.connect()
    theirs.write(theirs.open_stream(), bytes(200_000))
    duo.run(0.2)
    kept: list[bytes] = []

    def keep(d: bytes, s: Address, t: Address) -> list[tuple[bytes, Address, Address]]:
        if t != SERVER:
            return [(d, s, t)]
        kept.append(d)
        return []

    duo.path = keep
    for _ in range(40):
        mine.write(mine.open_stream(), b"a packet of its own")
        duo.run(0.01)
    return kept


def test_a_new_address_gets_three_times_what_came_from_it_and_waits_change_nothing() -> None:
    duo = Duo()
    packets = recorded(duo)
    ledger = Ledger(duo, CLIENT)
    for number, packet in enumerate(packets):
        ledger.hand(packet, FORGED if number % 3 else ("198.51.100.8", number))
        for _ in range(20):
            due = duo.server.deadline()
            if due is None or due > duo.now + 500_000:
                break
            duo.now = max(duo.now, due)
            duo.server.handle_timeout(duo.now)
            ledger.count()
    assert ledger.kinds == {DATA}
    assert len(ledger.went) > 10


def test_who_forges_many_sources_gets_no_more_for_any_of_them() -> None:
    duo = Duo(settings=Settings(reset_key=b"r" * 32))
    packets = recorded(duo)
    duo.restart_server(first_session=1000)
    ledger = Ledger(duo, SERVER)
    init = ByHand(duo.server.key).init()
    for number in range(400):
        duo.now += 30_000  # answers to strangers are rationed
        source = ("198.51.100.9", number % 7)
        said = [packets[number % len(packets)], init, calls(duo.server.key), says_anything(b"")]
        ledger.hand(said[number % 4], source)
    assert ledger.kinds >= {RESET, ACCEPT}


def test_a_reset_is_smaller_than_what_it_answers() -> None:
    duo = Duo()
    for size in range(20, 1200):
        said = datagram(DATA, bytes(size - 20), session=size)
        duo.now += 20_000
        duo.server.receive([(said, FORGED)], duo.now)
        answers = [data for data, _ in duo.server.transmit(duo.now)]
        assert len(answers) == (size > 36)
        assert all(len(answer) < size for answer in answers)


def test_after_a_first_packet_the_peer_may_be_sent_anything() -> None:
    """The control: who has proved its address gets more than threefold."""
    duo = Duo()
    _, theirs = duo.connect()
    theirs.write(theirs.open_stream(), bytes(200_000))
    duo.captured.clear()
    duo.run(1)
    sent = sum(len(d) for d, source, _ in duo.captured if source == SERVER)
    assert sent > 3 * sum(len(d) for d, source, _ in duo.captured if source == CLIENT)
