"""What an upload has to remember, in one file: what is uploaded and with which keys, and then every chunk.

A chunk stands here before it is sent, so a second attempt seals it under the same key to the same bytes.
When all is done the file becomes the link's: with it the link is ended, extended and looked up. It only
grows; what was torn off at its end, or damaged there, was never sent.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import struct
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Annotated, Final, Self, TypeAlias, TypeVar

import msgspec
from blake3 import blake3
from msgspec import Meta

from repram.content.refs import REF_SIZE, Ref, decode, without_keys
from repram.crypto.statements import BATCH_MAX
from repram.errors import UsageError

VERSION: Final = 1
_FRAME: Final = struct.Struct(">I8s")  # the length of a record and a checksum over where it is, too
_RECORD_MAX: Final = 1 << 16
_CHECKSUM: Final = 8
_NEW: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC

_Secret = Annotated[bytes, Meta(min_length=32, max_length=32)]
_Count = Annotated[int, Meta(ge=0, le=1 << 53)]


class _Record(msgspec.Struct, frozen=True, array_like=True, tag=str.lower):
    """One step."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"  # most of them hold keys


class Plan(_Record, frozen=True):
    """What is uploaded, to where, for how long, and the keys of all of it; always the first record."""

    version: int
    what: tuple[bytes, ...]  # absolute paths; none: a stream
    name: str
    ttl: _Count
    downloads: _Count
    hosts: tuple[str, ...]
    made: _Count  # by this machine's clock
    deadline: _Count  # by the nodes'
    end_seed: _Secret
    renew_seed: _Secret
    secret: _Secret  # the link's

    def is_the_same_as(self, other: Plan) -> bool:
        """Whether the other upload is this one, begun anew."""
        return self._subject() == other._subject()

    def _subject(self) -> tuple[object, ...]:
        return (self.version, self.what, self.name, self.ttl, self.downloads, self.hosts)


class Batch(_Record, frozen=True):
    """Items that are leased together, encoded as refs."""

    refs: Annotated[bytes, Meta(min_length=REF_SIZE, max_length=BATCH_MAX * REF_SIZE)]


class Done(_Record, frozen=True):
    """The head is about to be put: from then on the link opens."""

    item: _Secret
    kind: str
    name: str
    size: _Count
    password: bool
    people: _Count
    hosts: tuple[
        str, ...
    ]  # those that hold all of it; the first holds the head, when it is limited


class Extended(_Record, frozen=True):
    """Every lease is about to be renewed."""

    time: _Count
    serial: _Count
    deadline: _Count
    ttl: _Count


class Revoked(_Record, frozen=True):
    """Every lease was ended."""

    time: _Count


Record: TypeAlias = Plan | Batch | Done | Extended | Revoked
R = TypeVar("R", bound=Record)


class Journal:
    """An open journal; no other process has it open meanwhile."""

    def __init__(self, path: Path | None, fd: int) -> None:
        """Use `create` or `open`."""
        self.path = path
        self._fd = fd
        self._end = 0

    @classmethod
    def create(cls, path: Path, plan: Plan) -> Self:
        """A new one; when this returns its keys survive a power cut."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(path, _NEW, 0o600)
        journal = cls(path, fd)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        journal.append(plan)
        os.fsync(fd)
        return journal

    @classmethod
    def open(cls, path: Path, *, wait: bool = False) -> Self | None:
        """One that is there; None when it has gone, or unless this may `wait` another is at work with it."""
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return None
        journal = cls(path, fd)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            if os.fstat(fd).st_mode & 0o077 or not os.path.samestat(os.fstat(fd), path.stat()):
                raise BlockingIOError  # open to others, or replaced before it was locked
            for _ in journal.records():
                pass
            os.ftruncate(fd, journal._end)
        except OSError:
            journal.close()
            return None
        return journal

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @classmethod
    def nowhere(cls, plan: Plan) -> Self:
        """One that nobody finds again: it goes when it is closed."""
        with tempfile.TemporaryFile() as file:
            journal = cls(None, os.dup(file.fileno()))
        journal.append(plan)
        return journal

    def close(self) -> None:
        """Let others have it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def remove(self) -> None:
        """Forget all of it."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
        self.close()

    def move(self, path: Path) -> None:
        """Have it stand under another name, for good."""
        if self.path is None:
            return
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.fsync(self._fd)
        self.path = self.path.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def rewrite(self, records: Iterable[Record]) -> None:
        """Have it hold these instead, and nothing that it held before."""
        if self.path is None:
            return
        new, end = self.path.with_suffix(f".{secrets.token_hex(8)}"), 0
        with os.fdopen(os.open(new, _NEW, 0o600), "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            for record in records:
                end += file.write(_framed(end, record))
            file.flush()
            os.fsync(file.fileno())
            new.replace(self.path)
            os.dup2(file.fileno(), self._fd, inheritable=False)
        self._end = end

    def forget_keys_of_items(self) -> None:
        """What was sent needs none to be renewed or ended; a lock on the link is one here, too, then."""
        self.rewrite(
            Batch(without_keys(record.refs)) if isinstance(record, Batch) else record
            for record in self.records()
        )

    def append(self, record: Record) -> None:
        """One step more. It survives the end of this process; `move` has all survive a power cut."""
        framed, at = _framed(self._end, record), self._end
        while framed:
            written = os.pwrite(self._fd, framed, at)
            at, framed = at + written, framed[written:]
        self._end = at

    def records(self) -> Iterator[Record]:
        """All steps, read one by one, up to where the file ends or is damaged."""
        at = 0
        while (found := self._read(at)) is not None:
            record, at = found
            self._end = max(self._end, at)
            yield record

    def plan(self) -> Plan:
        """The first record."""
        for record in self.records():
            if isinstance(record, Plan) and record.version == VERSION:
                return record
            break
        raise UsageError(
            f"{self.path} is damaged, or of another version",
            hint="Move it away; what it was about ends by itself when its time is over.",
        )

    def batches(self) -> Iterator[tuple[Ref, ...]]:
        """The items in their order, as they are leased."""
        for record in self.records():
            if isinstance(record, Batch):
                yield decode(record.refs)

    def last(self, kind: type[R]) -> R | None:
        """The last record of a kind."""
        found = None
        for record in self.records():
            if isinstance(record, kind):
                found = record
        return found

    def _read(self, at: int) -> tuple[Record, int] | None:
        frame = os.pread(self._fd, _FRAME.size, at)
        if len(frame) < _FRAME.size:
            return None
        length, checksum = _FRAME.unpack(frame)
        payload = os.pread(self._fd, min(length, _RECORD_MAX), at + _FRAME.size)
        if len(payload) != length or checksum != _checksum(at, payload):
            return None
        try:
            return _decode(payload), at + _FRAME.size + length
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None


def _framed(at: int, record: Record) -> bytes:
    """A record as it stands at this place."""
    payload = _encode(record)
    return _FRAME.pack(len(payload), _checksum(at, payload)) + payload


def _checksum(at: int, payload: bytes) -> bytes:
    return blake3(at.to_bytes(8, "big") + payload).digest(_CHECKSUM)


_encode = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Record).decode
