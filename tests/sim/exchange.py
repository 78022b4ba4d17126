"""One stream's talk between a client that asks and a server that answers, checked byte by byte."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from struct import Struct
from typing import TYPE_CHECKING

from tests.sim.pattern import BLOCK, Pattern

if TYPE_CHECKING:
    from repram.proto.connection import Connection

HEADER = Struct(">I?IQQQ")
PRIORITIES = 8


class TransferError(AssertionError):
    """An application got something other than what its peer wrote."""


@dataclass(frozen=True, slots=True)
class Request:
    """What goes over one stream: `rounds` times `up` bytes there and `down` bytes back.

    `number` names the bytes. With `in_turn` each side waits until it has heard the other out;
    without, both directions are filled at once. With `patience` the client abandons the stream,
    whatever its state, after so many microseconds."""

    number: int
    up: int
    down: int
    in_turn: bool = False
    rounds: int = 1
    patience: int = 0

    def pack(self) -> bytes:
        """The form in which it stands at the front of its stream."""
        return HEADER.pack(
            self.number, self.in_turn, self.rounds, self.up, self.down, self.patience
        )

    @classmethod
    def unpack(cls, head: bytes) -> Request:
        """Read what `pack` wrote."""
        number, in_turn, rounds, up, down, patience = HEADER.unpack(head)
        return cls(number, up, down, in_turn, rounds, patience)


class Exchange:
    """One side of a stream: writes what it may, reads what has come, and trusts neither."""

    def __init__(
        self, connection: Connection, stream: int, seed: str, request: Request | None = None
    ) -> None:
        """With a request this is the asking side; without, it waits for one."""
        self.connection = connection
        self.stream = stream
        self.asks = request is not None
        self.priority = request.number % PRIORITIES if request else PRIORITIES // 2
        self.written = 0
        self.fin_sent = False
        self.fin_heard = False
        self._seed = seed
        self._head = bytearray()
        self._pending = memoryview(b"")
        self._heard_hash = sha256()
        if request:
            self._pending = memoryview(request.pack())
            self._begin(request)
        else:
            self.request: Request | None = None

    def _begin(self, request: Request) -> None:
        self.request = request
        up = Pattern(f"{self._seed}/{request.number}/up", request.up * request.rounds)
        down = Pattern(f"{self._seed}/{request.number}/down", request.down * request.rounds)
        self.writes, self.hears = (up, down) if self.asks else (down, up)

    @property
    def finished(self) -> bool:
        """Both sides have said all that they had to say."""
        return self.fin_sent and self.fin_heard

    def may_break_off(self) -> bool:
        """Whether, for all this side knows, the client may abandon the stream."""
        return self.request is None or self.request.patience > 0

    def push(self) -> None:
        """Write what may be written now; when the core takes less, WRITABLE brings us back."""
        while self.request and not self.fin_sent:
            if not self._pending:
                self._pending = self.writes.take(min(BLOCK, self._allowed() - self.writes.taken))
            last = self.writes.taken == self.writes.size and self._may_end()
            if not self._pending and not last:
                return
            taken = self.connection.write(self.stream, self._pending, fin=last)
            self.written += taken
            self._pending = self._pending[taken:]
            if self._pending:
                return
            self.fin_sent = last

    def pull(self, limit: int) -> int:
        """Read up to `limit` bytes and check them; returns how many there were."""
        count = 0
        while count < limit and not self.fin_heard:
            data, end = self.connection.read(self.stream, min(BLOCK, limit - count))
            count += len(data)
            self._heard(data)
            if end:
                self._ended()
            elif not data:
                break
        return count

    def take(self, rest: bytes) -> None:
        """The rest of what the peer says comes in one piece."""
        self._heard(rest)
        self._ended()

    def _heard(self, data: bytes) -> None:
        if not self.request:
            missing = HEADER.size - len(self._head)
            self._head += data[:missing]
            data = data[missing:]
            if len(self._head) == HEADER.size:
                self._begin(Request.unpack(bytes(self._head)))
        if data:
            self._heard_hash.update(data)
            wrong = self.hears.first_difference(data)
            if wrong is not None:
                past = " (past the end)" if wrong == self.hears.size else ""
                raise TransferError(f"stream {self.stream}: wrong byte at {wrong}{past}")

    def _ended(self) -> None:
        self.fin_heard = True
        if not self.request or self.hears.taken != self.hears.size:
            heard = self.hears.taken if self.request else len(self._head)
            raise TransferError(f"stream {self.stream}: ended early, after {heard} bytes")
        if self._heard_hash.hexdigest() != self.hears.digest():
            raise TransferError(f"stream {self.stream}: wrong hash")

    def _allowed(self) -> int:
        """How many bytes this side may have written by now."""
        request = self.request
        if not request or not request.in_turn:
            return self.writes.size
        if self.asks:
            rounds = 1 + (self.hears.taken // request.down if request.down else 0)
            return min(self.writes.size, rounds * request.up)
        rounds = self.hears.taken // request.up if request.up else request.rounds
        return rounds * request.down

    def _may_end(self) -> bool:
        # A server's FIN says that it has the whole request: the client may then close.
        return self.asks or self.fin_heard
