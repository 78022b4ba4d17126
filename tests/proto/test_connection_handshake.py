"""Sessions begin: what is lost is sent again, what is forged changes nothing, each failure has its name."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from nacl.bindings import crypto_sign_seed_keypair

from repram.errors import (
    Busy,
    DeadAddress,
    IncompatibleVersion,
    NotAllowed,
    RepramError,
    WrongKey,
)
from repram.proto.connection import Address, Connection, Core, EventKind, Settings
from repram.proto.primitives import Suite
from tests.proto.by_hand import (
    ACCEPT,
    DATA,
    HEADER,
    HERE,
    INIT,
    INIT_SIZE,
    NOISE_AT,
    PING,
    REFUSED,
    VERSION,
    ByHand,
    Limits,
    Talk,
    datagram,
    flipped,
    hello,
    with_crc,
)
from tests.proto.duo import CLIENT, DELAY, SERVER, Duo

Path = list[tuple[bytes, Address, Address]]
STRANGER = crypto_sign_seed_keypair(b"another seed, another key......!")[0]
NOW = 1_000_000
SECOND = 1_000_000
BOTH = (Suite.XCHACHA20, Suite.AEGIS256)


def drop(duo: Duo, kind: int, times: int = 1) -> None:
    """Loses the first datagrams of this type."""
    left = times

    def path(data: bytes, source: Address, target: Address) -> Path:
        nonlocal left
        lost = data[0] == kind and left > 0
        left -= lost
        return [] if lost else [(data, source, target)]

    duo.path = path


def change(duo: Duo, kind: int, how: Callable[[bytes], bytes]) -> None:
    """Lets somebody on the path rewrite each datagram of this type."""
    duo.path = lambda data, source, target: [
        (how(data) if data[0] == kind else data, source, target)
    ]


def patched(data: bytes, at: int, value: int) -> bytes:
    return with_crc(data[:at] + bytes([value]) + data[at + 1 :])


def roundtrip(duo: Duo, mine: Connection, theirs: Connection) -> None:
    """A few bytes there and back."""
    assert duo.transfer(mine, theirs, b"there") == b"there"
    assert duo.transfer(theirs, mine, b"and back") == b"and back"


def node(**settings: object) -> Core:
    return Core(
        now=NOW,
        seed=b"n" * 32,
        identity=b"i" * 32,
        listen=True,
        settings=Settings(**settings),  # type: ignore[arg-type]
    )


def failure(duo: Duo, key: bytes | None = None) -> tuple[RepramError, int]:
    """Why a call failed, and after how many microseconds."""
    before = duo.now
    with pytest.raises(RepramError) as caught:
        duo.connect(key=key)
    return caught.value, duo.now - before


# ---- the handshake itself ----


def test_a_session_stands_after_one_round_trip() -> None:
    duo = Duo()
    before = duo.now
    mine = duo.client.connect(SERVER, duo.server.key, duo.now)
    duo.run_until(lambda: duo.seen(duo.client, mine, EventKind.CONNECTED))
    assert duo.now - before == 2 * DELAY


@pytest.mark.parametrize("identity", [None, b"m" * 32])
def test_each_side_knows_the_other_and_both_share_a_hash(identity: bytes | None) -> None:
    duo = Duo(client_identity=identity)
    mine, theirs = duo.connect()
    assert mine.peer_key == duo.server.key
    assert theirs.peer_key == (duo.client.key if identity else None)
    assert (mine.address, theirs.address) == (SERVER, CLIENT)
    assert mine.handshake_hash() == theirs.handshake_hash() != bytes(64)
    roundtrip(duo, mine, theirs)


@pytest.mark.parametrize(
    ("offered", "spoken", "chosen"),
    [
        (BOTH, BOTH, Suite.AEGIS256),
        (BOTH, BOTH[:1], Suite.XCHACHA20),
        (BOTH[:1], BOTH, Suite.XCHACHA20),
    ],
)
def test_the_fast_suite_is_taken_when_both_have_it(
    offered: tuple[Suite, ...], spoken: tuple[Suite, ...], chosen: Suite
) -> None:
    duo = Duo(settings=Settings(suites=offered), server_settings=Settings(suites=spoken))
    mine, theirs = duo.connect()
    assert mine.stats().suite is theirs.stats().suite is chosen
    roundtrip(duo, mine, theirs)


def test_the_answer_carries_the_nodes_clock() -> None:
    talk = Talk(Core(now=NOW, seed=b"n" * 32, listen=True, wall_offset=1_700_000_000 * SECOND), NOW)
    talk.begin()
    assert talk.caller.clock == 1_700_000_000 * SECOND + NOW


def test_a_caller_made_from_the_documentation_is_understood() -> None:
    talk = Talk(node(), NOW)
    talk.begin()
    assert talk.caller.handshake_hash == talk.connection.handshake_hash()


def test_a_core_that_does_not_listen_answers_nobody() -> None:
    talk = Talk(Core(now=NOW, seed=b"n" * 32), NOW)
    assert talk.tell(talk.caller.init()) == []
    assert talk.node.counters()["dropped_handshake"] == 1


# ---- what is lost ----


@pytest.mark.parametrize("times", [1, 2, 4])
@pytest.mark.parametrize("kind", [INIT, ACCEPT, DATA])
def test_what_is_lost_of_a_handshake_is_sent_again(kind: int, times: int) -> None:
    duo = Duo()
    drop(duo, kind, times)
    roundtrip(duo, *duo.connect())
    assert duo.server.counters()["sessions"] == 1


def test_what_was_lost_of_a_handshake_does_not_slow_what_follows() -> None:
    """The waits for lost INITs are no round trips: the first packet behind them is not awaited longer."""
    duo = Duo()
    drop(duo, INIT, 4)
    mine = duo.client.connect(SERVER, duo.server.key, duo.now)
    duo.run_until(lambda: duo.seen(duo.client, mine, EventKind.CONNECTED))
    assert mine.stats().rtt == 2 * DELAY
    drop(duo, DATA, 1)
    before = duo.now
    duo.run_until(lambda: bool(duo.events[duo.server]))
    assert duo.now - before < 10 * DELAY


def test_a_repeated_init_is_the_same_bytes_and_gets_the_same_accept() -> None:
    duo = Duo()
    drop(duo, ACCEPT, 2)
    duo.connect()
    for kind in (INIT, ACCEPT):
        assert len({data for data, _, _ in duo.captured if data[0] == kind}) == 1
    assert duo.server.counters()["inits_repeated"] == 2


def test_an_init_that_comes_again_later_neither_displaces_nor_disturbs_the_session() -> None:
    duo = Duo()
    mine, theirs = duo.connect()
    init = next(data for data, _, _ in duo.captured if data[0] == INIT)
    duo.run(1)
    duo.captured.clear()
    duo.send(init, CLIENT, SERVER)
    duo.run(1)
    assert not duo.captured
    assert duo.server.counters()["sessions"] == 1
    roundtrip(duo, mine, theirs)


def test_a_half_open_session_is_nobodys_and_expires() -> None:
    talk = Talk(node(handshake_timeout=2), NOW)
    talk.tell(talk.caller.init())
    assert talk.node.counters()["sessions"] == 1
    talk.wait(2.1)
    assert talk.node.counters()["sessions"] == 0
    assert talk.node.events() == []


# ---- failures and their names ----


def test_a_dead_address_is_named_at_the_deadline() -> None:
    duo = Duo(settings=Settings(handshake_timeout=3))
    duo.path = lambda *_: []
    error, after = failure(duo)
    assert type(error) is DeadAddress
    assert after == 3 * SECOND
    assert duo.client.counters()["handshakes_failed"] == 1


def test_a_wrong_key_is_named_at_the_deadline() -> None:
    duo = Duo(settings=Settings(handshake_timeout=3))
    error, after = failure(duo, STRANGER)
    assert type(error) is WrongKey
    assert after == 3 * SECOND
    assert duo.server.counters()["dropped_mac"] > 1
    assert duo.server.counters()["sessions"] == 0


def test_an_incompatible_version_is_named_at_the_deadline() -> None:
    duo = Duo(settings=Settings(handshake_timeout=3))
    change(duo, INIT, lambda data: patched(data, 24, 2))
    error, after = failure(duo)
    assert type(error) is IncompatibleVersion
    assert after == 3 * SECOND
    assert duo.server.counters()["sessions"] == 0


def test_a_busy_node_is_named_and_serves_whom_it_has() -> None:
    duo = Duo(server_settings=Settings(max_sessions=1))
    mine, theirs = duo.connect()
    assert type(failure(duo)[0]) is Busy
    roundtrip(duo, mine, theirs)


def test_a_node_that_has_room_again_is_not_busy() -> None:
    duo = Duo(server_settings=Settings(max_sessions=1))
    duo.connect()[0].close()
    duo.run(1)
    roundtrip(duo, *duo.connect())


def test_a_caller_without_a_suite_of_ours_is_not_let_in() -> None:
    duo = Duo()
    duo.path = lambda d, s, t: [
        (ByHand(duo.server.key).with_mac1(patched(d, 25, 0x80)) if d[0] == INIT else d, s, t)
    ]
    assert type(failure(duo)[0]) is NotAllowed


# ---- forgeries ----


def test_a_refusal_only_labels_the_failure() -> None:
    """Whoever sees INIT can refuse in the node's name: the call succeeds all the same."""
    duo = Duo()

    def also_refuse(data: bytes, source: Address, target: Address) -> Path:
        if data[0] != INIT:
            return [(data, source, target)]
        nonce, session = data[28:36], int.from_bytes(data[20:24], "big")
        for kind, why in ((REFUSED, 1), (REFUSED, 3), (VERSION, 1)):
            duo.send(datagram(kind, nonce + bytes([why]), session=session), target, source)
        return [(data, source, target)]

    duo.path = also_refuse
    roundtrip(duo, *duo.connect())
    assert duo.client.counters()["refused_in"] + duo.client.counters()["versions_in"] == 3


def test_a_refusal_that_does_not_echo_the_nonce_labels_nothing() -> None:
    duo = Duo()
    change(duo, REFUSED, lambda data: with_crc(flipped(data, 8 * HEADER)))
    assert type(failure(duo, STRANGER)[0]) is DeadAddress


def test_a_forged_accept_does_not_spoil_the_handshake() -> None:
    duo = Duo()

    def forge_first(data: bytes, source: Address, target: Address) -> Path:
        forged = [with_crc(flipped(data, bit)) for bit in range(8 * HEADER, 8 * len(data), 37)]
        before = forged if data[0] == ACCEPT else []
        return [(each, source, target) for each in (*before, data)]

    duo.path = forge_first
    roundtrip(duo, *duo.connect())
    assert duo.client.counters()["dropped_handshake"] > 10


def test_offering_fewer_suites_than_the_caller_did_fails() -> None:
    duo = Duo(settings=Settings(suites=BOTH))
    hand = ByHand(duo.server.key)
    change(duo, INIT, lambda data: hand.with_mac1(patched(data, 25, Suite.XCHACHA20)))
    assert type(failure(duo)[0]) is DeadAddress
    assert duo.server.counters()["sessions"] == 0


def test_no_changed_bit_of_an_init_makes_a_session() -> None:
    """Even whoever computes mac1 anew, which takes the node's public key alone."""
    talk = Talk(node(), NOW)
    init = talk.caller.init()
    end = NOISE_AT + int.from_bytes(init[36:38], "big")
    for bit in range(8 * INIT_SIZE):
        talk.tell(flipped(init, bit))
        if not 16 <= bit // 8 < HEADER and bit // 8 < INIT_SIZE - 16:  # neither the CRC nor mac2
            talk.tell(with_crc(flipped(init, bit)))
        if HEADER <= bit // 8 < end:
            talk.tell(talk.caller.with_mac1(flipped(init, bit)))
    assert talk.node.counters()["sessions"] == 0


MALFORMED: dict[str, bytes] = {
    "nothing": b"",
    "unknown flag": hello(flags=4),
    "half an identity": hello(flags=1)[:20],
    "no limits": hello()[:17],
    "limits cut short": hello()[:-1],
    "too small a datagram": hello(Limits(max_datagram=1199)),
    "somebody else's identity": hello(flags=1, identity=STRANGER),
    "no identity at all": hello(flags=1, identity=b"\x02" + bytes(31)),
}


@pytest.mark.parametrize("payload", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_or_lying_hello_makes_no_session(payload: bytes) -> None:
    talk = Talk(node(), NOW)
    assert talk.tell(talk.caller.init(payload)) == []
    counters = talk.node.counters()
    assert (counters["sessions"], counters["dropped_handshake"]) == (0, 1)


def test_what_a_later_version_appends_to_a_hello_is_ignored() -> None:
    talk = Talk(node(), NOW)
    (accept,) = talk.tell(talk.caller.init(hello() + b"more of it"))
    assert accept[0] == ACCEPT


@pytest.mark.parametrize(("size", "reserved"), [(INIT_SIZE - 1, 0), (INIT_SIZE, 1)])
def test_an_init_of_the_wrong_form_is_dropped(size: int, reserved: int) -> None:
    talk = Talk(node(), NOW)
    assert talk.tell(talk.caller.init(size=size, reserved=reserved)) == []
    assert talk.node.counters()["dropped_handshake"] == 1


def test_an_init_that_names_session_zero_is_dropped() -> None:
    talk = Talk(node(), NOW, session=0)
    assert talk.tell(talk.caller.init()) == []
    assert talk.node.counters()["dropped_handshake"] == 1


@pytest.mark.parametrize("size", [0, 31, 95, 96, 1131, 0xFFFF])
def test_a_noise_message_of_any_claimed_length_is_survived(size: int) -> None:
    talk = Talk(node(), NOW)
    init = talk.caller.init()
    lying = talk.caller.with_mac1(init[:36] + size.to_bytes(2, "big") + init[38:])
    assert talk.tell(lying) == []
    assert talk.node.counters()["sessions"] == 0


def test_a_flood_of_wrong_keys_is_answered_a_few_times_a_second() -> None:
    talk = Talk(node(), NOW)
    wrong = ByHand(STRANGER).init()
    answers = sum(len(talk.tell(*[wrong] * 100)) for _ in range(10))
    assert answers <= 16
    talk.now += SECOND
    assert 0 < sum(len(talk.tell(*[wrong] * 100)) for _ in range(10)) <= 100


def test_data_before_its_time_is_dropped() -> None:
    """A session id that is being called has no keys yet."""
    caller = Core(now=NOW, seed=b"c" * 32)
    caller.connect(SERVER, STRANGER, NOW)
    ((init, _),) = caller.transmit(NOW)
    session = int.from_bytes(init[20:24], "big")
    caller.receive([(datagram(DATA, bytes(40), session=session), SERVER)], NOW)
    assert caller.counters()["dropped_state"] == 1
    caller.close()


def test_the_first_packet_must_verify_before_anybody_is_accepted() -> None:
    talk = Talk(node(), NOW)
    (accept,) = talk.tell(talk.caller.init())
    talk.caller.accepted(accept)
    packet = talk.caller.seal(PING)
    assert talk.tell(with_crc(flipped(packet, 8 * len(packet) - 1))) == []
    assert talk.node.events() == []
    talk.tell(packet)
    (event,) = talk.node.events()
    assert (event.kind, event.connection.address) == (EventKind.ACCEPTED, HERE)
