"""Whoever sees all and holds no key says anything in anybody's name: no working session ends of it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial
from hashlib import blake2b
from random import Random

import pytest
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt

from repram.errors import DeadAddress
from repram.proto.connection import Address, Cause, Core, EventKind, Settings
from repram.proto.primitives import Pattern
from tests.proto.by_hand import (
    HEADER,
    HERE,
    INIT,
    PING,
    REFUSED,
    RESET,
    RETRY,
    VERSION,
    Talk,
    datagram,
    flipped,
    hello,
    with_crc,
)
from tests.proto.duo import CLIENT, SERVER, Duo, Filter

STRANGER: Address = ("198.51.100.7", 4444)
COUNT = 1500  # of each kind
BODIES = {RESET: 16, REFUSED: 9, VERSION: 9, RETRY: 56}
TOKEN = b"t" * 16  # of every caller by hand
NOW = 1_000_000


class Forger:
    """Makes things up out of all that stands in the clear, and of chance."""

    def __init__(self, duo: Duo, seed: int) -> None:
        self._random = Random(seed)
        self._duo = duo
        captured = [data for data, _, _ in duo.captured]
        self._init = next(data for data in captured if data[0] == INIT)
        fields = [data[at : at + 4] for data in captured for at in (4, 8, 12)]
        self._fields = [*dict.fromkeys(fields), self._init[20:24], bytes(4), b"\xff" * 4]

    def forged(self, kind: int) -> bytes:
        """One of that kind, its CRC right, its length mostly so."""
        random, body = self._random, self._body(kind)
        if random.random() < 0.1:
            body = (body + random.randbytes(40))[: random.randrange(len(body) + 40)]
        flags = 1 << random.randrange(8) if random.random() < 0.1 else 0
        session, seq, ack = (
            random.choice([random.choice(self._fields), random.randbytes(4)])
            if random.random() < share
            else default
            for share, default in (
                (0.2, random.choice(self._sessions())),
                (0.5, bytes(4)),
                (0.5, bytes(4)),
            )
        )
        head = bytes([kind, flags]) + len(body).to_bytes(2) + session + seq + ack + bytes(4)
        return with_crc(head + body)

    def _sessions(self) -> list[bytes]:
        return [data[4:8] for data, _, _ in self._duo.captured[-20:]]

    def _body(self, kind: int) -> bytes:
        random = self._random
        if kind == RETRY and random.random() < 0.5:
            return retry(self._init, self._duo.server.key, random.randbytes(16))[HEADER:]
        if kind in (REFUSED, VERSION) and random.random() < 0.8:
            return self._init[28:36] + bytes([random.randrange(8)])
        pieces = [self._init[at : at + 16] for at in (28, -32, -16)] + [bytes(16), TOKEN]
        body = random.choice([random.randbytes(16), *pieces]) + random.randbytes(40)
        return body[: BODIES[kind]]


def retry(init: bytes, node: bytes, cookie: bytes) -> bytes:
    """A RETRY that opens: its key follows from the node's, and INIT went in the clear."""
    key = blake2b(b"repram v1 cookie" + node, digest_size=32).digest()
    nonce = secrets.token_bytes(24)
    sealed = crypto_aead_xchacha20poly1305_ietf_encrypt(cookie, init[-32:-16], nonce, key)
    body = nonce + sealed
    return datagram(RETRY, body, session=int.from_bytes(init[20:24]))


@pytest.mark.parametrize("source", [None, STRANGER], ids=["in its peer's name", "in its own"])
@pytest.mark.parametrize("kind", [RESET, REFUSED, VERSION, RETRY])
def test_no_forgery_ends_a_working_session(kind: int, source: Address | None) -> None:
    duo = Duo(settings=Settings(reset_key=b"r" * 32))
    mine, theirs = duo.connect()
    assert duo.transfer(mine, theirs, bytes(5000)) == bytes(5000)
    forger = Forger(duo, kind)
    mine.write(mine.open_stream(), bytes(100_000))
    theirs.write(theirs.open_stream(), bytes(100_000))
    for core, other in ((duo.client, SERVER), (duo.server, CLIENT)):
        core.receive([(forger.forged(kind), source or other) for _ in range(COUNT)], duo.now)
    duo.run(1)
    for core, end in ((duo.client, mine), (duo.server, theirs)):
        assert not duo.seen(core, end, EventKind.CLOSED)
        assert sum(core.counters()[name] for name in ("dropped_state", "dropped_session")) > 500
    assert duo.transfer(mine, theirs, b"on it goes") == b"on it goes"
    assert duo.transfer(theirs, mine, b"both ways") == b"both ways"


def test_the_token_that_was_given_ends_it() -> None:
    """The control: a RESET is taken where it is true, from where it must come."""
    duo = Duo(settings=Settings(reset_key=b"r" * 32))
    mine, _ = duo.connect()
    duo.restart_server(first_session=1000)
    mine.write(mine.open_stream(), bytes(100_000))
    duo.path = lambda data, s, t: [] if data[0] == RESET else [(data, s, t)]
    duo.run(0.1)
    true = next(data for data, _, _ in duo.captured if data[0] == RESET)
    duo.client.receive([(true, STRANGER), (with_crc(flipped(true, 8 * 35)), SERVER)], duo.now)
    duo.flush()
    assert not duo.seen(duo.client, mine, EventKind.CLOSED)
    duo.client.receive([(true, SERVER)], duo.now)
    duo.flush()
    assert duo.seen(duo.client, mine, EventKind.CLOSED)


# ---- a session id that had another holder ----


def called(node: Core, token: bytes) -> Talk:
    """A new session of a caller whose session id is always the same."""
    talk = Talk(node, NOW)
    talk.caller.ephemeral = secrets.token_bytes(32)
    (accept,) = talk.tell(talk.caller.init(hello().replace(TOKEN, token)))
    talk.caller.accepted(accept)
    assert talk.say(PING, PING)
    return talk


def test_a_token_does_not_end_the_session_of_a_later_holder_of_its_id() -> None:
    node = Core(now=NOW, seed=b"n" * 32, identity=b"i" * 32, listen=True)
    before, after = b"b" * 16, b"a" * 16
    session = called(node, before).caller.session
    first = datagram(RESET, before, session=session)
    second = datagram(RESET, after, session=session)
    node.receive([(second, HERE)], NOW)
    assert [e.cause for e in node.events() if e.kind is EventKind.CLOSED] == []
    node.receive([(first, HERE)], NOW)
    assert [e.cause for e in node.events() if e.kind is EventKind.CLOSED] == [Cause.RESET]
    talk = called(node, after)
    node.receive([(first, HERE)], NOW)
    assert [e.cause for e in node.events() if e.kind is EventKind.CLOSED] == []
    assert talk.say(PING, PING)
    node.receive([(second, HERE)], NOW)
    assert [e.cause for e in node.events() if e.kind is EventKind.CLOSED] == [Cause.RESET]


def test_a_session_id_follows_from_its_number_and_the_reset_key_alone() -> None:
    """So one whose number is kept with that key never gives the same id, and its token, to two."""

    def session_of(seed: bytes, reset_key: bytes, number: int) -> bytes:
        settings = Settings(reset_key=reset_key, first_session=number)
        core = Core(now=NOW, seed=seed, identity=None, settings=settings)
        core.connect(SERVER, None, NOW, pattern=Pattern.XX)
        ((init, _),) = core.transmit(NOW)
        return init[20:24]

    one, other = b"1" * 32, b"2" * 32
    assert session_of(one, b"r" * 32, 7) == session_of(other, b"r" * 32, 7)
    assert session_of(one, b"r" * 32, 7) != session_of(one, b"q" * 32, 7)
    assert session_of(one, b"r" * 32, 7) != session_of(one, b"r" * 32, 8)


# ---- while the handshake lasts ----


def forging(forge: Callable[[bytes], list[bytes]]) -> Filter:
    """A path on which somebody answers each INIT in the node's name, before the node does."""

    def path(data: bytes, source: Address, target: Address) -> list[tuple[bytes, Address, Address]]:
        forged = forge(data) if data[0] == INIT else []
        return [*((each, target, source) for each in forged), (data, source, target)]

    return path


def test_a_forged_retry_costs_no_handshake() -> None:
    duo = Duo()
    duo.path = forging(
        lambda init: [retry(init, duo.server.key, secrets.token_bytes(16)) for _ in range(50)]
    )
    mine, theirs = duo.connect()
    assert duo.transfer(mine, theirs, b"stands") == b"stands"
    assert duo.client.counters()["retries_in"] >= 50


def inits_to_a_dead_node(forge: Callable[[Duo, bytes], list[bytes]]) -> int:
    """How often a caller calls while somebody else answers for it."""
    duo = Duo()
    answered = forging(partial(forge, duo))

    def path(data: bytes, source: Address, target: Address) -> list[tuple[bytes, Address, Address]]:
        return [each for each in answered(data, source, target) if each[2] != SERVER]

    duo.path = path
    with pytest.raises(DeadAddress):
        duo.connect()
    return sum(data[0] == INIT for data, _, _ in duo.captured)


def test_forged_retries_draw_no_more_inits_than_silence_does() -> None:
    in_silence = inits_to_a_dead_node(lambda _duo, _init: [])
    told = inits_to_a_dead_node(
        lambda duo, init: [retry(init, duo.server.key, secrets.token_bytes(16))]
    )
    assert 10 < told <= in_silence + 1
