"""The witness: it knows every seed, opens every datagram that a host emits, held against the protocol.

Handshakes are read with the responder's secrets alone; packets with the keys that come of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from repram.errors import Full, SessionClosed
from repram.proto.primitives import Pattern, Suite
from tests.proto.by_hand import ACCEPT, DATA, HEADER, INIT, RESET, Limits, read_varint
from tests.sim.answers import Answers
from tests.sim.invariants import FAULTS, InvariantError, fault_of
from tests.sim.noise import WITH_PSK, Overheard
from tests.sim.packets import Direction, Draws, Packet
from tests.sim.rules import RULES
from tests.sim.session import Session, Side, Standing

if TYPE_CHECKING:
    from repram.proto.connection import Address, Connection, Settings
    from tests.sim.world import Host, World

PAIRING = bytes(8)
HAS_IDENTITY, HAS_SECRET = 1, 2


@dataclass(frozen=True, slots=True)
class Secrets:
    """What the server keeps on its disk."""

    key: bytes  # Ed25519, public
    static: bytes  # X25519, private
    psks: dict[bytes, bytes]
    reset_key: bytes


@dataclass(slots=True)
class Hello:
    """What either side says of itself in the handshake."""

    identity: bytes
    secret_id: bytes
    reset_token: bytes
    limits: Limits


class Reader:
    """Takes a payload apart."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int) -> bytes:
        self.at += size
        return self.data[self.at - size : self.at]

    def limits(self) -> Limits:
        values = []
        for _ in Limits._fields:
            value, self.at = read_varint(self.data, self.at)
            values.append(value)
        return Limits(*values)


def read_hello(payload: bytes) -> Hello:
    """What the initiator says."""
    reader = Reader(payload)
    flags = reader.take(1)[0]
    identity = reader.take(32 if flags & HAS_IDENTITY else 0)
    secret_id = reader.take(8 if flags & HAS_SECRET else 0)
    return Hello(identity, secret_id, reader.take(16), reader.limits())


@dataclass(slots=True)
class Call:
    """An INIT and all that came of it."""

    host: Host
    init: bytes
    noise: Overheard
    hello: Hello | None
    answers: dict[bytes, Answer] = field(default_factory=dict)
    sources: Counter[Address] = field(default_factory=Counter)  # bytes of it that came from there

    @property
    def session(self) -> int:
        return int.from_bytes(self.init[20:24], "big")


@dataclass(slots=True)
class Answer:
    """An ACCEPT: for XX a session follows only with the initiator's confirmation."""

    call: Call
    noise: Overheard
    session: int
    suite: Suite
    reset_token: bytes
    limits: Limits
    confirmation: bytes = b""


class Witness:
    """Sees all that is emitted and all that arrives."""

    def __init__(self, world: World, settings: Settings, secrets: Secrets) -> None:
        self.world = world
        self.settings = settings
        self.secrets = secrets
        self.answers = Answers(
            secrets.key, secrets.reset_key, always_cookies=not settings.cookie_after
        )
        self.dropped: Counter[tuple[int, str]] = Counter()
        self._draws = Draws(b"")
        self._calls: dict[int, Call] = {}
        self._answers: dict[int, Answer] = {}
        self._speakers: dict[tuple[int, int], tuple[Session, Side]] = {}
        self._listeners: dict[tuple[int, int], Side] = {}
        self._sessions: list[Session] = []
        self._callers: dict[int, Side] = {}
        self._hashes: dict[bytes, Session] = {}
        self._reports: defaultdict[int, dict[Connection, Side]] = defaultdict(dict)

    def begins(self, seed: bytes) -> None:
        """A server's life begins with this seed."""
        self._draws = Draws(seed)

    def died(self, host: Host) -> None:
        """Whoever lived on the host has forgotten everything."""
        for table in (self._speakers, self._listeners):
            for key in [key for key in table if key[0] == host.index]:
                del table[key]
        self._reports[host.index].clear()
        for session in self._sessions:
            for side in (session.initiator, session.responder):
                side.closed |= side.host is host

    def born(self, host: Host) -> None:
        """A core begins on the host: what came there while nobody counted does not count."""
        for cause in FAULTS:
            self.dropped.pop((host.index, cause), None)

    def caller(self, host: Host) -> Side | None:
        """The side of the session that stands for a client's host, once both have spoken."""
        side = self._callers.get(host.index)
        return side if side and side.largest_heard >= 0 and not side.closed else None

    def over(self) -> None:
        """Nothing more will happen."""
        for session in self._sessions:
            for side in (session.initiator, session.responder):
                for rule in side.rules if side.honest else ():
                    rule.over()

    def let_go(self, before: int) -> None:
        """Judge the sessions in which nothing has happened since then, and forget them."""
        gone = [each for each in self._sessions if each.last_at() < before]
        self._sessions = [each for each in self._sessions if each.last_at() >= before]
        for session in gone:
            for side in (session.initiator, session.responder):
                for rule in side.rules if side.honest else ():
                    rule.over()
                self.world.checker.let_go(side.host.index, side.peer.host.index, side.peer.address)
        over = {side for session in gone for side in (session.initiator, session.responder)}
        self._hashes = {at: one for at, one in self._hashes.items() if one.initiator not in over}
        self._speakers = {at: one for at, one in self._speakers.items() if one[1] not in over}
        self._listeners = {at: side for at, side in self._listeners.items() if side not in over}
        self._callers = {at: side for at, side in self._callers.items() if side not in over}

    def judge_drops(self, host: Host, counters: dict[str, int]) -> None:
        """A core counts what it drops for its header under the right cause: it is over with this one."""
        for cause in FAULTS:
            seen, counted = self.dropped.pop((host.index, cause), 0), counters[f"dropped_{cause}"]
            if seen != counted:
                raise InvariantError(f"host {host.index}: {seen} {cause} faults, {counted} counted")

    # ---- what hosts emit ----

    def emitted(self, host: Host, datagram: bytes, to: Address, ecn: int) -> None:
        """A host's core emits a datagram."""
        kind, session = datagram[0], int.from_bytes(datagram[4:8], "big")
        if kind == DATA:
            self._data(host, session, datagram, to, ecn)
        elif kind == INIT:
            self._init(host, datagram)
        elif kind == ACCEPT and session in self._calls and host.listens:
            self._accept(host, self._calls[session], datagram, to)
        elif kind == ACCEPT and session in self._answers:
            self._confirm(host, self._answers[session], datagram)
        elif kind == ACCEPT:
            raise InvariantError(f"host {host.index} accepts session {session:08x}: nobody's")
        elif host.listens:
            self.answers.said(datagram, to, self.world.now)
        if kind == RESET and self._lives(host, session):
            raise InvariantError(f"host {host.index} has forgotten session {session:08x}")

    def _init(self, host: Host, datagram: bytes) -> None:
        session = int.from_bytes(datagram[20:24], "big")
        if session in self._calls:
            return
        pattern = Pattern(datagram[26])
        size = int.from_bytes(datagram[36:38], "big")
        prologue = b"repram v1" + datagram[20:36]
        noise = Overheard(pattern, prologue, self.secrets.static, b"")
        payload = self._read(host, noise, datagram[38 : 38 + size])
        hello = read_hello(payload) if payload else None
        psk_id = hello.secret_id if hello else PAIRING
        if pattern in WITH_PSK:
            noise.psk = self.secrets.psks[psk_id]
        self._calls[session] = Call(host, datagram, noise, hello)

    def _accept(self, host: Host, call: Call, datagram: bytes, to: Address) -> None:
        if datagram in call.answers:
            return
        self.answers.accepted(to)
        noise = call.noise.fork()
        ephemeral = self._draws.private_of(datagram[HEADER : HEADER + 32])
        if ephemeral is None:
            raise InvariantError(f"host {host.index} answers with a key that it has not drawn")
        reader = Reader(self._read(host, noise, datagram[HEADER:], ephemeral))
        session, suite = int.from_bytes(reader.take(4), "big"), Suite(reader.take(1)[0])
        reader.take(32 if reader.take(1)[0] & HAS_IDENTITY else 0)
        reader.take(8)
        token = reader.take(16)
        answer = Answer(call, noise, session, suite, token, reader.limits())
        call.answers[datagram] = self._answers[session] = answer
        if call.hello:
            self._begin(host, answer, call.hello)

    def _confirm(self, host: Host, answer: Answer, datagram: bytes) -> None:
        if datagram == answer.confirmation:
            return
        answer.confirmation = datagram
        hello = read_hello(self._read(host, answer.noise, datagram[HEADER:]))
        self._bind(self._begin(self.world.hosts[0], answer, hello))

    def _read(self, host: Host, noise: Overheard, message: bytes, ephemeral: bytes = b"") -> bytes:
        try:
            return noise.read(message, ephemeral)
        except RuntimeError as error:
            raise InvariantError(
                f"host {host.index}: its handshake message does not open"
            ) from error

    def _begin(self, server: Host, answer: Answer, hello: Hello) -> Session:
        caller, call = answer.call.host, answer.call
        there, back = answer.noise.finish()
        initiator = Side(
            self.world,
            caller,
            self.settings,
            name=f"host {caller.index}, session {call.session:08x}",
            initiator=True,
            address=call.session,
            keys=Direction(answer.suite, there),
            granted=hello.limits,
            reset_token=hello.reset_token,
            rules=RULES,
        )
        responder = Side(
            self.world,
            server,
            self.settings,
            name=f"host {server.index}, session {answer.session:08x}",
            initiator=False,
            address=answer.session,
            keys=Direction(answer.suite, back),
            granted=answer.limits,
            reset_token=answer.reset_token,
            rules=RULES,
        )
        responder.called_from = call.sources
        session = Session(initiator, responder, self._draws)
        self._sessions.append(session)
        self._hashes[answer.noise.hash] = session
        self._speakers[caller.index, answer.session] = session, initiator
        self._listeners[server.index, answer.session] = responder
        return session

    def _bind(self, session: Session) -> None:
        """The caller has taken this answer, and no other: its id now names this session."""
        caller, responder = session.initiator, session.responder
        self._speakers[responder.host.index, caller.address] = session, responder
        self._listeners[caller.host.index, caller.address] = caller
        self._callers[caller.host.index] = caller

    def _data(self, host: Host, session: int, datagram: bytes, to: Address, ecn: int) -> None:
        found = self._speakers.get((host.index, session))
        if not found:
            raise InvariantError(f"host {host.index} emits DATA of no session: {session:08x}")
        both, side = found
        if side.initiator and not side.packets:
            self._bind(both)
        both.say(side, datagram, to, ecn)

    # ---- what sessions report ----

    def stands(self, host: Host, connection: Connection) -> None:
        """An application is told that a session stands."""
        found = self._hashes.get(connection.handshake_hash())
        if not found:
            raise InvariantError(f"host {host.index}: a session whose handshake nobody heard")
        with suppress(Full):  # short of memory, it keeps no record
            connection.trace(True)
            side = found.initiator if host is found.initiator.host else found.responder
            self._reports[host.index][connection] = side

    def turned(self, host: Host) -> None:
        """A host has done all that it had to do for now."""
        for connection, side in list(self._reports[host.index].items()):
            try:
                records, raw = connection.trace_records(), connection._raw_stats()
            except SessionClosed:
                del self._reports[host.index][connection]
                continue
            standing = Standing(*(getattr(raw, name) for name in Standing.__dataclass_fields__))
            for rule in side.rules:
                rule.reported(records, standing)

    # ---- what arrives ----

    def _lives(self, host: Host, session: int) -> bool:
        """Whether a host has heard of a session lately, and neither side has ended it."""
        side = self._listeners.get((host.index, session))
        if not side or side.closed or side.largest_heard < 0:
            return False
        return side.now() < side.last_heard_at + side.idle_limit

    def _reset(self, host: Host, session: int, datagram: bytes) -> None:
        _, side = self._speakers.get((host.index, session), (None, None))
        if side and datagram[HEADER:] == side.peer.reset_token:
            side.closed = True

    def arrived(self, host: Host, datagram: bytes, source: Address, ecn: int) -> Packet | None:
        """A datagram comes to a host, from whomever; returns the packet that it is, if it is one."""
        fault = fault_of(datagram)
        self.dropped[host.index, fault] += 1
        if fault:
            return None
        if host.listens:
            self.answers.came(datagram, source, self.world.now)
        kind, session = datagram[0], int.from_bytes(datagram[4:8], "big")
        if kind == INIT and int.from_bytes(datagram[20:24], "big") in self._calls:
            self._calls[int.from_bytes(datagram[20:24], "big")].sources[source] += len(datagram)
        if kind == ACCEPT and session in self._answers:
            self._answers[session].call.sources[source] += len(datagram)
        if kind == RESET:
            self._reset(host, session, datagram)
        side = self._listeners.get((host.index, session))
        if not side or kind != DATA:
            return None
        peer = side.peer
        place = (int.from_bytes(datagram[8:12], "big") - peer.first) % 2**32
        said = peer.packets.get(peer.first + place)
        if said is None or said.datagram != datagram:
            return None
        side.hear(said, source, ecn)
        return said
