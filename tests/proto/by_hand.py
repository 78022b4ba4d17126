"""A caller made by hand from docs/protocol.md: it seals whatever a test wants to say, right or wrong."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import NamedTuple
from zlib import crc32

from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
)

from repram.proto.connection import Address, Core, EventKind
from repram.proto.primitives import Noise, Pattern, identity_to_dh

HERE: Address = ("203.0.113.9", 999)
INIT, RETRY, ACCEPT, DATA, RESET, VERSION, REFUSED = range(1, 8)
HEADER = 20
XCHACHA20 = 1
INIT_SIZE = 1200
NOISE_AT = 38
SESSION = 0x0BADF00D

PADDING, PING = b"\x00", b"\x01"
STREAM, STREAM_FIN = 0x20, 0x21


# ---- bytes ----


def varint(value: int) -> bytes:
    """As in RFC 9000, section 16."""
    size = next(size for size in (1, 2, 4, 8) if value < 1 << 8 * size - 2)
    return (value | (size.bit_length() - 1) << 8 * size - 2).to_bytes(size, "big")


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The value, and where the next field stands."""
    size = 1 << (data[at] >> 6)
    mask = (1 << 8 * size - 2) - 1
    return int.from_bytes(data[at : at + size], "big") & mask, at + size


def with_crc(datagram: bytes) -> bytes:
    """The datagram, its CRC made right."""
    blank = datagram[:16] + bytes(4) + datagram[HEADER:]
    return blank[:16] + crc32(blank).to_bytes(4, "big") + blank[HEADER:]


def header(
    kind: int, size: int, *, flags: int = 0, session: int = 0, seq: int = 0, ack: int = 0
) -> bytes:
    """The 20 bytes before `size` others, the CRC still zero."""
    fields = ((kind, 1), (flags, 1), (size, 2), (session, 4), (seq, 4), (ack, 4), (0, 4))
    return b"".join(value.to_bytes(width, "big") for value, width in fields)


def datagram(kind: int, body: bytes, *, session: int = 0, flags: int = 0, seq: int = 0) -> bytes:
    """A whole datagram with a right CRC."""
    return with_crc(header(kind, len(body), session=session, flags=flags, seq=seq) + body)


def flipped(data: bytes, bit: int) -> bytes:
    """The same bytes, but for one bit."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


# ---- frames ----


def stream(number: int, offset: int, data: bytes, *, fin: bool = False) -> bytes:
    """A STREAM frame."""
    size = len(data).to_bytes(2, "big")
    return bytes([STREAM_FIN if fin else STREAM]) + varint(number) + varint(offset) + size + data


def ack(largest: int, *ranges: int, delay: int = 0) -> bytes:
    """An ACK frame: the first range's length - 1, then gap and length - 1 in turn."""
    first, *rest = ranges or (0,)
    fields = (largest, delay, len(rest) // 2, first, *rest)
    return b"\x02" + b"".join(map(varint, fields))


def frame(kind: int, *values: int) -> bytes:
    """A frame of nothing but varints."""
    return bytes([kind]) + b"".join(map(varint, values))


def close(code: int, reason: bytes = b"") -> bytes:
    """A CLOSE frame."""
    return frame(0x0E, code, len(reason)) + reason


class Frame(NamedTuple):
    """What was read of a frame: its varints in their order, and its bytes."""

    kind: int
    values: tuple[int, ...] = ()
    data: bytes = b""


_VARINTS = {0x01: 0, 0x04: 3, 0x05: 2, 0x06: 1, 0x07: 2, 0x08: 1}
_FIXED = {0x0A: 8, 0x0B: 8, 0x0C: 18, 0x0F: 37}


def frames(text: bytes) -> Iterator[Frame]:
    """The frames of an opened packet."""
    at = 0
    while at < len(text):
        kind, at = text[at], at + 1
        values, size = [], _FIXED.get(kind, 0)
        for _ in range(_VARINTS.get(kind, 0)):
            value, at = read_varint(text, at)
            values.append(value)
        if kind in (0x02, 0x03):
            at = _read_ack(text, at, values, ecn=kind == 0x03)
        elif kind in (STREAM, STREAM_FIN, 0x0E):
            for _ in range(2):
                value, at = read_varint(text, at)
                values.append(value)
            size = values.pop() if kind == 0x0E else int.from_bytes(text[at : at + 2], "big")
            at += 0 if kind == 0x0E else 2
        elif kind not in _VARINTS and kind not in _FIXED:
            raise ValueError(f"frame {kind:#x} is not in the protocol")
        yield Frame(kind, tuple(values), text[at : at + size])
        at += size


def _read_ack(text: bytes, at: int, values: list[int], *, ecn: bool) -> int:
    for _ in range(3):
        value, at = read_varint(text, at)
        values.append(value)
    for _ in range(1 + 2 * values[2] + (3 if ecn else 0)):
        value, at = read_varint(text, at)
        values.append(value)
    return at


# ---- the handshake ----


class Limits(NamedTuple):
    """What a caller allows the node; times in microseconds."""

    idle_timeout: int = 0
    session_window: int = 1 << 20
    stream_window: int = 1 << 20
    max_streams: int = 100
    max_datagram: int = 1200

    def pack(self) -> bytes:
        return b"".join(map(varint, self))


def hello(limits: Limits = Limits(), *, flags: int = 0, identity: bytes = b"") -> bytes:  # noqa: B008
    """What message 1 of IK carries."""
    return bytes([flags]) + identity + b"t" * 16 + limits.pack()


class ByHand:
    """One session with a node, as its caller."""

    def __init__(
        self, node: bytes, *, session: int = SESSION, ephemeral: bytes = b"e" * 32
    ) -> None:
        self.node = node
        self.session = session
        self.static = b"s" * 32
        self.ephemeral = ephemeral
        self.their_session = 0
        self.number = 0
        self.heard: set[int] = set()
        self.clock = 0
        self.epoch = self.their_epoch = 0

    def init(
        self,
        payload: bytes = hello(),
        *,
        version: int = 1,
        suites: int = XCHACHA20,
        reserved: int = 0,
        size: int = INIT_SIZE,
    ) -> bytes:
        """An INIT with these in it; each of its own seals and checks is right."""
        clear = self.session.to_bytes(4, "big") + bytes([version, suites, Pattern.IK, reserved])
        clear += b"nonce..."
        self.noise = Noise(
            Pattern.IK,
            initiator=True,
            prologue=b"repram v1" + clear,
            static=self.static,
            ephemeral=self.ephemeral,
            remote_static=identity_to_dh(self.node),
        )
        message = self.noise.write(payload)
        start = header(INIT, size - HEADER) + clear + len(message).to_bytes(2, "big") + message
        return self.with_mac1(start + bytes(size - len(start)))

    def with_mac1(self, init: bytes) -> bytes:
        """The INIT, its mac1 and CRC made right."""
        key = blake2b(b"repram v1 mac1" + self.node, digest_size=32).digest()
        covered = init[:16] + init[HEADER:-32]
        mac1 = blake2b(covered, key=key, digest_size=16).digest()
        return with_crc(init[:-32] + mac1 + bytes(16))

    def accepted(self, datagram: bytes) -> None:
        """Takes the ACCEPT: keys, and the node's session id."""
        if datagram[0] != ACCEPT or int.from_bytes(datagram[4:8], "big") != self.session:
            raise ValueError(f"this is no ACCEPT for us: {datagram[:HEADER].hex()}")
        welcome = self.noise.read(datagram[HEADER:])
        self.their_session = int.from_bytes(welcome[:4], "big")
        self.suite = welcome[4]
        self.clock = int.from_bytes(welcome[6:14], "big")
        self._ours, self._theirs, self.handshake_hash = self.noise.finish()
        self._send, self._receive = _packet_key(self._ours), _packet_key(self._theirs)

    # ---- packets ----

    def begin_epoch(self) -> None:
        """What is sealed from now on is of the next epoch, in its turn or not."""
        self.epoch, self._ours = self.epoch + 1, _next_secret(self._ours)
        self._send = _packet_key(self._ours)

    def _follow(self) -> None:
        self.their_epoch, self._theirs = self.their_epoch + 1, _next_secret(self._theirs)
        self._receive = _packet_key(self._theirs)

    def seal(
        self, text: bytes, *, number: int | None = None, newest: int = 0, version: int = 1
    ) -> bytes:
        """A DATA packet that holds these frames."""
        if number is None:
            number, self.number = self.number, self.number + 1
        size, phase, seq = len(text) + 16, self.epoch & 1, number & 0xFFFFFFFF
        head = header(DATA, size, flags=phase, session=self.their_session, seq=seq, ack=newest)
        key, iv = self._send
        about = head[:16] + bytes([version]) + self.epoch.to_bytes(4, "big")
        nonce = iv + number.to_bytes(8, "big")
        return with_crc(head + crypto_aead_xchacha20poly1305_ietf_encrypt(text, about, nonce, key))

    def open(self, datagram: bytes) -> list[Frame]:
        """The frames of a DATA packet of the node's."""
        if datagram[1] != self.their_epoch & 1:
            self._follow()
        key, iv = self._receive
        about = datagram[:16] + b"\1" + self.their_epoch.to_bytes(4, "big")
        number = int.from_bytes(datagram[8:12], "big")
        nonce = iv + number.to_bytes(8, "big")
        opened = crypto_aead_xchacha20poly1305_ietf_decrypt(datagram[HEADER:], about, nonce, key)
        self.heard.add(number)
        return list(frames(opened))


def _next_secret(secret: bytes) -> bytes:
    return blake2b(b"repram v1 next epoch", key=secret, digest_size=32).digest()


def _packet_key(secret: bytes) -> tuple[bytes, bytes]:
    suite = bytes([XCHACHA20])
    key = blake2b(b"repram v1 packet key" + suite, key=secret, digest_size=32).digest()
    iv = blake2b(b"repram v1 packet iv" + suite, key=secret, digest_size=24).digest()
    return key, iv[:16]


# ---- a node that it talks to ----


class Talk:
    """A caller by hand and the node it calls, with nothing between them."""

    def __init__(self, node: Core, now: int, *, session: int = SESSION) -> None:
        self.node = node
        self.now = now
        self.caller = ByHand(node.key, session=session)

    def tell(self, *datagrams: bytes, source: Address = HERE) -> list[bytes]:
        """Hands the node these datagrams and returns what it answers to them."""
        self.node.receive([(datagram, source) for datagram in datagrams], self.now)
        answers: list[bytes] = []
        while out := self.node.transmit(self.now):
            answers += [data for data, target in out if target == source]
        return answers

    def say(self, *texts: bytes) -> list[Frame]:
        """Tells the node a packet for each text; the frames that it answers with."""
        return self._heard(self.tell(*(self.caller.seal(text) for text in texts)))

    def _heard(self, answers: list[bytes]) -> list[Frame]:
        ours = self.caller.session.to_bytes(4, "big")  # the node may talk to others of us as well
        return [frame for data in answers if data[4:8] == ours for frame in self.caller.open(data)]

    def wait(self, seconds: float) -> list[Frame]:
        """Lets time pass for the node alone; the frames that it says in the meantime."""
        end, heard = self.now + round(seconds * 1e6), []
        while (due := self.node.deadline()) is not None and due <= end:
            self.now = max(self.now, due)
            self.node.handle_timeout(self.now)
            heard += self._heard(self.tell())
        self.now = end
        return heard

    def begin(self, rtt: float = 0, **limits: int) -> None:
        """A whole handshake: the node has accepted us, and its first packet is acknowledged."""
        (accept,) = self.tell(self.caller.init(hello(Limits(**limits))))
        self.caller.accepted(accept)
        self.say(PING)
        self.wait(rtt)
        self.say(ack(0))
        (self.connection,) = (
            e.connection for e in self.node.events() if e.kind is EventKind.ACCEPTED
        )
