"""What a host says without a session: each must be the right answer to something that came from there."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt

from repram.proto.primitives import Pattern
from tests.proto.by_hand import DATA, HEADER, INIT, INIT_SIZE, REFUSED, RESET, RETRY, VERSION
from tests.sim.invariants import InvariantError

if TYPE_CHECKING:
    from collections.abc import Callable

    from repram.proto.connection import Address

SECOND: Final = 1_000_000
SURE_OF_AN_ANSWER: Final = 8  # so few in the last second leave room for one more
RESET_SIZE: Final = HEADER + 16
WRONG_KEY, WRONG_SECRET, _BUSY, _RATE, NOT_ALLOWED = range(1, 6)


def keyed(key: bytes, size: int, *parts: bytes) -> bytes:
    """BLAKE2b as docs/protocol.md writes it."""
    return blake2b(b"".join(parts), key=key, digest_size=size).digest()


@dataclass(frozen=True)
class Init:
    """An INIT taken apart; nothing in it is believed."""

    datagram: bytes

    @property
    def session(self) -> bytes:
        return self.datagram[20:24]

    @property
    def version(self) -> int:
        return self.datagram[24]

    @property
    def is_for_a_stranger(self) -> bool:
        """It does not know whom it calls."""
        return self.datagram[26] in (Pattern.XX, Pattern.XXPSK3)

    @property
    def nonce(self) -> bytes:
        return self.datagram[28:36]

    @property
    def mac1(self) -> bytes:
        return self.datagram[-32:-16]

    def mac1_for(self, responder: bytes) -> bytes:
        """What its mac1 must be for this responder."""
        key = keyed(b"", 32, b"repram v1 mac1", self._known(responder))
        return keyed(key, 16, self.datagram[:16], self.datagram[HEADER:-32])

    def has_mac2_for(self, cookie: bytes) -> bool:
        """Whether it brings this cookie."""
        mac2 = keyed(cookie, 16, self.datagram[:16], self.datagram[HEADER:-16])
        return mac2 == self.datagram[-16:]

    def cookie_in(self, retry: bytes, responder: bytes) -> bytes:
        """The cookie that a RETRY to this INIT brings."""
        key = keyed(b"", 32, b"repram v1 cookie", self._known(responder))
        nonce, sealed = retry[HEADER : HEADER + 24], retry[HEADER + 24 :]
        return crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, self.mac1, nonce, key)

    def _known(self, responder: bytes) -> bytes:
        return bytes(32) if self.is_for_a_stranger else responder


@dataclass
class Source:
    """What came from one address, and what must be said of it."""

    inits: deque[Init] = field(default_factory=lambda: deque(maxlen=64))
    packets: deque[tuple[bytes, int]] = field(default_factory=lambda: deque(maxlen=256))
    cookies: set[bytes] = field(default_factory=set)


@dataclass
class Expected:
    """What a stranger with one fault is to be told; nothing, when `wanted` is None."""

    fault: str
    wanted: tuple[int, int] | None
    may_wait: bool  # it may be asked for a cookie first
    due: int = -1  # since when


class Answers:
    """Holds what the server says to whoever has no session against what came from them."""

    def __init__(self, key: bytes, reset_key: bytes, *, always_cookies: bool) -> None:
        self.key = key
        self.reset_key = reset_key
        self.always_cookies = always_cookies
        self._sources: defaultdict[Address, Source] = defaultdict(Source)
        self._expected: dict[Address, Expected] = {}
        self._due: dict[Address, Expected] = {}
        self._said_at: deque[int] = deque(maxlen=SURE_OF_AN_ANSWER)

    def expect(
        self, source: Address, fault: str, wanted: tuple[int, int] | None, *, may_wait: bool
    ) -> None:
        """A stranger with this fault calls from there."""
        self._expected[source] = Expected(fault, wanted, may_wait)

    def came(self, datagram: bytes, source: Address, now: int) -> None:
        """A datagram that is whole."""
        self.check_due(now)
        if source in self._expected and self._expected[source].wanted and self._may_say_more(now):
            self._due[source] = self._expected[source]
            self._due[source].due = now
        if datagram[0] == INIT and len(datagram) >= INIT_SIZE:
            self._sources[source].inits.append(Init(datagram))
        elif datagram[0] == DATA:
            self._sources[source].packets.append((datagram[4:8], len(datagram)))

    def check_due(self, now: int) -> None:
        """Nobody must have waited for an answer longer than the turn takes."""
        for source, expected in self._due.items():
            if expected.due < now:
                raise InvariantError(f"{source} ({expected.fault}) has not been answered")

    def _may_say_more(self, now: int) -> bool:
        """Whether the limit on answers to strangers leaves room for one, for sure."""
        few = len(self._said_at) < SURE_OF_AN_ANSWER
        return few or self._said_at[0] < now - SECOND

    def accepted(self, to: Address) -> None:
        """The server makes a session for who calls from there."""
        if to in self._expected:
            raise InvariantError(f"{to} is accepted ({self._expected[to].fault})")
        inits = self._sources[to].inits
        if not inits:
            raise InvariantError(f"{to} is accepted, but no INIT came from there")
        cookies = self._sources[to].cookies
        proved = any(init.has_mac2_for(cookie) for init in inits for cookie in cookies)
        if self.always_cookies and not proved:
            raise InvariantError(f"{to} is accepted without a cookie")

    def said(self, datagram: bytes, to: Address, now: int) -> None:
        """The server answers somebody without a session."""
        kind, source = datagram[0], self._sources[to]
        self._said_at.append(now)
        self._judge_expected(datagram, to)
        if kind == RETRY:
            self._retried(datagram, to)
        elif kind == VERSION:
            self._named(datagram, to, lambda init: init.version != 1 and datagram[-1] == 1)
        elif kind == REFUSED:
            wrong_key = datagram[-1] == WRONG_KEY
            self._named(
                datagram, to, lambda init: (init.mac1 != init.mac1_for(self.key)) == wrong_key
            )
        elif kind == RESET:
            if not any(id_ == datagram[4:8] and size > RESET_SIZE for id_, size in source.packets):
                raise InvariantError(f"{to} is told of a reset that it has not asked for")
            if datagram[HEADER:] != self.token(datagram[4:8]):
                raise InvariantError(f"{to} is sent a wrong reset token")

    def token(self, session: bytes) -> bytes:
        """What proves that the server has forgotten a session."""
        return keyed(self.reset_key, 16, b"repram v1 reset token", session)

    def _judge_expected(self, datagram: bytes, to: Address) -> None:
        expected = self._expected.get(to)
        if not expected:
            return
        self._due.pop(to, None)
        waits = datagram[0] == RETRY and expected.may_wait
        if not waits and (datagram[0], datagram[-1]) != expected.wanted:
            raise InvariantError(f"{to} ({expected.fault}) is told {datagram.hex()}")

    def _retried(self, datagram: bytes, to: Address) -> None:
        source = self._sources[to]
        for init in source.inits:
            if init.session == datagram[4:8]:
                try:
                    source.cookies.add(init.cookie_in(datagram, self.key))
                except RuntimeError:
                    continue  # it answers another INIT of that session
                return
        raise InvariantError(f"the RETRY to {to} opens with no INIT that came from there")

    def _named(self, datagram: bytes, to: Address, fits: Callable[[Init], bool]) -> None:
        for init in self._sources[to].inits:
            if (init.session, init.nonce) == (datagram[4:8], datagram[HEADER:-1]) and fits(init):
                return
        raise InvariantError(f"{datagram.hex()} answers no INIT that came from {to}")
