"""Packets: what is damaged, forged, replayed or malformed is dropped under its own cause."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repram.proto.connection import Address, Connection, Core, EventKind, Settings
from repram.proto.primitives import Suite
from tests.proto.by_hand import (
    DATA,
    HEADER,
    HERE,
    INIT,
    PING,
    REFUSED,
    RESET,
    SESSION,
    Frame,
    Talk,
    ack,
    datagram,
    flipped,
    stream,
    with_crc,
)
from tests.proto.duo import CLIENT, SERVER, Duo

NOW = 1_000_000
CRC_FIELD = range(16, HEADER)
WINDOW = 8_128
BEGUN = 2  # packets that a talk begins with: PING and an ACK

each_suite = pytest.mark.parametrize("suite", list(Suite))


def drops(core: Core) -> Counter[str]:
    """How many datagrams were dropped, by cause."""
    return Counter({k: v for k, v in core.counters().items() if k.startswith("dropped_")})


def node() -> Core:
    return Core(now=NOW, seed=b"n" * 32, identity=b"i" * 32, listen=True)


def talk() -> Talk:
    """A caller by hand that has been accepted."""
    begun = Talk(node(), NOW)
    begun.begin()
    return begun


class Held:
    """A session, and one packet of its client's that has not arrived yet."""

    def __init__(self, suite: Suite, data: bytes) -> None:
        self.duo = Duo(settings=Settings(suites=tuple({Suite.XCHACHA20, suite})))
        self.mine, self.theirs = self.duo.connect()
        self.duo.run(1)
        self.duo.captured.clear()
        self.duo.path = lambda *_: []
        self.mine.write(self.mine.open_stream(), data, fin=True)
        self.duo.flush()
        ((self.packet, _, _),) = self.duo.captured
        self.server = self.duo.server

    def dropped(self, forged: bytes) -> str:
        """The one cause under which the server drops this datagram, and does nothing else."""
        before, received = drops(self.server), self.theirs.stats().packets_received
        self.server.receive([(forged, CLIENT)], self.duo.now)
        assert self.theirs.stats().packets_received == received
        assert not self.server.events()
        assert {reply[0] for reply, _ in self.server.transmit(self.duo.now)} <= {RESET}
        ((cause, times),) = (drops(self.server) - before).items()
        assert times == 1
        return cause

    def arrives(self) -> bytes:
        """The packet itself is taken after all; what the server reads of it."""
        self.server.receive([(self.packet, CLIENT)], self.duo.now)
        assert EventKind.READABLE in {event.kind for event in self.server.events()}
        return self.theirs.read(0)[0]


CAUSES = {  # of a flipped bit under a right CRC, by the field of the header in which it stands
    "type": (range(1), {"dropped_type", "dropped_session", "dropped_state"}),
    "flags": (range(1, 2), {"dropped_flags", "dropped_auth"}),
    "len": (range(2, 4), {"dropped_length"}),
    "session": (range(4, 8), {"dropped_session"}),
    "seq": (range(8, 12), {"dropped_auth", "dropped_replay"}),
    "ack": (range(12, 16), {"dropped_auth"}),
}


def causes(byte: int) -> set[str]:
    """Under which counters a flipped bit of this byte may be dropped."""
    return next((named for field, named in CAUSES.values() if byte in field), {"dropped_auth"})


@each_suite
@pytest.mark.parametrize("size", [1, 1100])
def test_every_flipped_bit_is_dropped_as_damage(suite: Suite, size: int) -> None:
    held = Held(suite, b"x" * size)
    for bit in range(8 * len(held.packet)):
        assert held.dropped(flipped(held.packet, bit)) == "dropped_crc"
    assert held.arrives() == b"x" * size


@each_suite
@pytest.mark.parametrize("size", [1, 1100])
def test_every_flipped_bit_under_a_right_crc_is_dropped_as_forgery(suite: Suite, size: int) -> None:
    held = Held(suite, b"x" * size)
    for bit in range(8 * len(held.packet)):
        if bit // 8 not in CRC_FIELD:
            cause = held.dropped(with_crc(flipped(held.packet, bit)))
            assert cause in causes(bit // 8), bit
    assert held.arrives() == b"x" * size


@each_suite
def test_every_truncation_is_dropped(suite: Suite) -> None:
    held = Held(suite, b"text")
    for size in range(HEADER):
        assert held.dropped(held.packet[:size]) == "dropped_short"
    for size in range(HEADER, len(held.packet)):
        cut = held.packet[:size]
        assert held.dropped(cut) == "dropped_crc"
        assert held.dropped(with_crc(cut)) == "dropped_length"
        shorter = cut[:2] + (size - HEADER).to_bytes(2, "big") + cut[4:]
        assert held.dropped(with_crc(shorter)) == "dropped_auth"
    assert held.arrives() == b"text"


@each_suite
@pytest.mark.parametrize("more", [1, 2, 1000, 65_535, 100_000])
def test_every_overlong_packet_is_dropped(suite: Suite, more: int) -> None:
    held = Held(suite, b"text")
    longer = held.packet + bytes(more)
    assert held.dropped(longer) == "dropped_crc"
    assert held.dropped(with_crc(longer)) == "dropped_length"
    claimed = (len(longer) - HEADER) & 0xFFFF
    if claimed == len(longer) - HEADER:
        lying = longer[:2] + claimed.to_bytes(2, "big") + longer[4:]
        assert held.dropped(with_crc(lying)) == "dropped_auth"
    assert held.arrives() == b"text"


@pytest.mark.parametrize("claimed", [0, 1, 15, 65_535])
def test_a_lying_len_is_dropped(claimed: int) -> None:
    held = Held(Suite.XCHACHA20, b"text")
    lying = held.packet[:2] + claimed.to_bytes(2, "big") + held.packet[4:]
    assert held.dropped(with_crc(lying)) == "dropped_length"


@pytest.mark.parametrize("kind", [0, *range(REFUSED + 1, 256)])
def test_an_unknown_type_is_dropped(kind: int) -> None:
    held = Held(Suite.XCHACHA20, b"text")
    assert held.dropped(with_crc(bytes([kind]) + held.packet[1:])) == "dropped_type"


@pytest.mark.parametrize("kind", range(INIT, REFUSED + 1))
@pytest.mark.parametrize("flags", [0x02, 0x80, 0xFE, 0xFF])
def test_an_unknown_flag_is_dropped(kind: int, flags: int) -> None:
    held = Held(Suite.XCHACHA20, b"text")
    assert held.dropped(with_crc(bytes([kind, flags]) + held.packet[2:])) == "dropped_flags"


def test_a_packet_is_taken_once() -> None:
    held = Held(Suite.XCHACHA20, b"once")
    assert held.arrives() == b"once"
    for _ in range(3):
        assert held.dropped(held.packet) == "dropped_replay"


def test_nothing_that_is_replayed_is_taken_again() -> None:
    duo = Duo()
    duo.path = lambda *packet: [packet] * 3
    mine, theirs = duo.connect()
    assert duo.transfer(mine, theirs, bytes(300_000)) == bytes(300_000)
    duo.run(1)
    sent = sum(data[0] == DATA and target == SERVER for data, _, target in duo.captured)
    assert theirs.stats().packets_received == sent
    assert duo.server.counters()["dropped_replay"] == 2 * sent


def test_numbers_are_taken_in_any_order_within_the_window() -> None:
    begun, newest = talk(), 20_000
    caller = begun.caller
    within = [newest, newest - WINDOW + 1, newest - 1, newest - 64, newest - 5_000]
    for number in within:
        begun.tell(caller.seal(PING, number=number))
    assert begun.connection.stats().packets_received == BEGUN + len(within)
    for number in (*within, newest - 2 * WINDOW, 2):
        begun.tell(caller.seal(PING, number=number))
    assert begun.connection.stats().packets_received == BEGUN + len(within)
    assert begun.node.counters()["dropped_replay"] == len(within) + 2


def test_a_number_far_ahead_is_taken_and_forgets_what_lies_behind() -> None:
    begun, far = talk(), 1 << 20
    numbers = (5, far + 100, far, far + 1, far + 5)  # the last three stand where 0, 1 and 5 stood
    for number in numbers:
        begun.tell(begun.caller.seal(PING, number=number))
    assert begun.connection.stats().packets_received == BEGUN + len(numbers)
    for number in (*numbers, 6, far - WINDOW):
        begun.tell(begun.caller.seal(PING, number=number))
    assert begun.node.counters()["dropped_replay"] == len(numbers) + 2


def test_another_version_in_the_associated_data_is_a_forgery() -> None:
    begun = talk()
    begun.tell(begun.caller.seal(PING, version=2))
    assert begun.node.counters()["dropped_auth"] == 1


def test_the_acknowledgement_in_the_header_is_authentic() -> None:
    begun = talk()
    honest = begun.caller.seal(PING, newest=0)
    begun.tell(with_crc(honest[:12] + b"\0\0\0\1" + honest[16:]))
    assert begun.node.counters()["dropped_auth"] == 1
    (answer,) = begun.tell(honest, begun.caller.seal(PING))
    assert int.from_bytes(answer[12:16], "big") == begun.caller.number - 1


def test_a_packet_reflected_to_its_sender_is_a_forgery() -> None:
    """The two directions have keys of their own."""
    duo = Duo()
    mine, theirs = duo.connect()
    duo.run(1)
    duo.captured.clear()
    theirs.write(theirs.open_stream(), b"text")
    duo.flush()
    session = next(d[4:8] for d, source, _ in duo.captured if source == SERVER)
    duo.path = lambda *_: []
    duo.captured.clear()
    mine.write(mine.open_stream(), b"text")
    duo.flush()
    for data, _, _ in duo.captured:
        duo.client.receive([(with_crc(data[:4] + session + data[8:]), SERVER)], duo.now)
    assert duo.client.counters()["dropped_auth"] + duo.client.counters()["dropped_replay"] == len(
        duo.captured
    )
    assert duo.client.counters()["dropped_auth"]


def test_a_packet_of_another_session_is_a_forgery() -> None:
    server = node()
    one, other = Talk(server, NOW), Talk(server, NOW)
    one.begin()
    other.caller.session, other.caller.ephemeral = SESSION + 1, b"f" * 32
    other.begin()
    packet = one.caller.seal(PING, number=7)
    other.tell(with_crc(packet[:4] + other.caller.their_session.to_bytes(4, "big") + packet[8:]))
    assert server.counters()["dropped_auth"] == 1


def test_an_unknown_session_is_answered_with_less_than_came_and_not_too_often() -> None:
    server = Talk(node(), NOW)
    stray = datagram(DATA, bytes(100), session=77)
    answers = server.tell(*[stray] * 1000)
    assert 0 < len(answers) <= 16
    assert all(len(answer) < len(stray) and answer[0] == RESET for answer in answers)
    assert server.tell(datagram(DATA, bytes(16), session=77)) == []
    assert server.node.counters()["dropped_session"] == 1001


def test_a_new_address_is_proved_by_the_right_answer_alone() -> None:
    begun = talk()
    asked = begun.tell(begun.caller.seal(PING), source=CLIENT)
    ((challenge,),) = [
        [each.data for each in begun.caller.open(data) if each.kind == 0x0A] for data in asked
    ]
    for wrong in (bytes(8), flipped(challenge, 0), flipped(challenge, 63)):
        begun.tell(begun.caller.seal(b"\x0b" + wrong), source=CLIENT)
        assert begun.connection.stats().migrations == 0
    begun.tell(begun.caller.seal(b"\x0b" + challenge), source=CLIENT)
    assert begun.connection.stats().migrations == 1


# ---- acknowledgements ----


def acknowledged(begun: Talk) -> Frame:
    """The newest ACK that the node has to give."""
    frames = begun.say(PING, PING) + begun.wait(0.1)
    return [frame for frame in frames if frame.kind in (0x02, 0x03)][-1]


def test_an_acknowledgement_names_exactly_what_came() -> None:
    begun = talk()
    for number in (2, 5, 7, 8, 9, 20):
        begun.tell(begun.caller.seal(PING, number=number))
    begun.caller.number = 21
    largest, _, count, *ranges = acknowledged(begun).values
    # 20 to 22, ten numbers missing, 7 to 9, one missing, 5, two missing, 0 to 2
    assert (largest, count) == (22, 3)
    assert ranges[:7] == [2, 9, 2, 0, 0, 1, 2]


def test_what_came_out_of_order_is_acknowledged_at_once() -> None:
    begun = talk()
    begun.wait(1)
    assert begun.say(PING) == []  # it may wait for company
    (answer,) = begun.tell(begun.caller.seal(PING, number=10))
    assert begun.caller.open(answer)[0].values[0] == 10


def test_a_single_packet_is_acknowledged_within_the_delay() -> None:
    begun = talk()
    begun.wait(1)
    assert begun.say(PING) == []
    assert begun.wait(0.0049) == []
    (frame,) = begun.wait(0.0002)
    assert (frame.kind, *frame.values[:2]) == (0x02, begun.caller.number - 1, 5_000)


def test_acknowledgements_and_padding_are_not_acknowledged() -> None:
    begun = talk()
    begun.wait(1)
    assert begun.say(ack(0), bytes(50), bytes(1)) == []
    assert begun.wait(1) == []


# ---- anything at all ----


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=1500), max_size=5))
def test_arbitrary_bytes_raise_nothing(datagrams: list[bytes]) -> None:
    begun = talk()
    begun.tell(*datagrams)
    counters = begun.node.counters()
    assert counters["dropped_short"] + counters["dropped_crc"] == len(datagrams)
    begun.tell(*(with_crc(data.ljust(HEADER, b"\0")) for data in datagrams))
    begun.say(stream(0, 0, b"alive"))
    assert begun.connection.read(0) == (b"alive", False)


@settings(max_examples=300)
@given(
    kind=st.integers(0, 8),
    flags=st.sampled_from([0, 0, 0, 1, 2]),
    ours=st.booleans(),
    seq=st.integers(0, 2**32 - 1),
    body=st.binary(max_size=1400),
)
def test_arbitrary_bodies_under_a_right_header_raise_nothing(
    kind: int, flags: int, ours: bool, seq: int, body: bytes
) -> None:
    begun = talk()
    session = begun.caller.their_session if ours else 0
    begun.tell(datagram(kind, body, session=session, flags=flags, seq=seq))
    begun.wait(0.1)
    begun.say(stream(0, 0, b"alive"))
    assert begun.connection.read(0) == (b"alive", False)


@settings(max_examples=500)
@given(st.lists(st.binary(max_size=200), min_size=1, max_size=4))
def test_arbitrary_frames_under_the_right_keys_end_their_own_session_at_worst(
    texts: list[bytes],
) -> None:
    begun = talk()
    other = Talk(begun.node, NOW)
    other.caller.session, other.caller.ephemeral = SESSION + 1, b"f" * 32
    other.begin()
    begun.tell(*(begun.caller.seal(text) for text in texts))
    begun.node.events()
    begun.wait(1)
    other.now = begun.now
    other.say(stream(0, 0, b"alive"))
    assert other.connection.read(0) == (b"alive", False)


@given(
    st.lists(
        st.tuples(st.binary(max_size=80), st.sampled_from([HERE, CLIENT, SERVER])), max_size=10
    )
)
def test_a_caller_takes_arbitrary_bytes_as_well(datagrams: list[tuple[bytes, Address]]) -> None:
    duo = Duo()
    connection: Connection = duo.client.connect(SERVER, duo.server.key, duo.now)
    duo.client.receive(datagrams, duo.now)
    duo.client.receive(
        [(with_crc(data.ljust(HEADER, b"\0")), source) for data, source in datagrams], duo.now
    )
    duo.run_until(lambda: duo.seen(duo.client, connection, EventKind.CONNECTED))
