"""The values of a space on one node: put, get, rm, ls, watch.

What the node answers is checked here. A value and a name open only as this version of this record under the
space's key, so whoever wrote them has the space: the owner's signature would say no more, and a value that
opens is not checked for it. A removal has nothing that could open, so its signature is checked. Versions
never go back in the eyes of one client. What a node can do unnoticed is to say that there is nothing, or to
tell wrong times: leave out, forget early, hold longer.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Final

from repram.crypto.spaces import OVERHEAD, Space, SpaceKeys, check_value
from repram.crypto.xchacha import Bytes
from repram.errors import Conflict, IntegrityFailure, NotFound, RemoteError, UsageError
from repram.ids import ItemId, format_duration, parse_duration
from repram.proto.messages import (
    ANY_VERSION,
    NO_VERSION,
    RECORD_TTL_MIN,
    TTL_MAX,
    ListRecords,
    NewRecord,
    Outcome,
    Record,
    Row,
    Rows,
)
from repram.proto.rpc import Code, Failure
from repram.proto.rpc.failures import error_of
from repram.sdk.fetching import check_signature, fetch
from repram.sdk.gathering import Gathering
from repram.sdk.storage import Storage
from repram.sdk.versions import Seen, Versions
from repram.sdk.watching import Event, Watching

DEFAULT_TTL: Final = "1h"
_ATTEMPTS: Final = 4  # to get above versions that others write meanwhile
_GONE: Final = "What expires is gone for good; `repram kv ls` lists what is there."


@dataclass(frozen=True, slots=True)
class Stored:
    """A value is held: its version, since when, for how long in all, and how long still (milliseconds)."""

    version: int
    created: int
    ttl: int
    remaining: int


@dataclass(frozen=True, slots=True)
class Value(Stored):
    """What is there."""

    value: bytes


@dataclass(frozen=True, slots=True)
class Listed(Stored):
    """One value of a list."""

    name: str
    size: int


class Values:
    """All values of one space, as one client sees them."""

    def __init__(self, storage: Storage, space: Space) -> None:
        self._storage = storage
        self._keys = SpaceKeys(space)
        self._versions = Versions()
        self._seen = Seen()
        self._gathering = Gathering(self._keys.signer)

    async def close(self) -> None:
        """Puts that are still under way are cancelled."""
        await self._gathering.close()

    async def put(
        self,
        name: str,
        value: Bytes,
        *,
        ttl: str = DEFAULT_TTL,
        if_version: int | None = None,
        if_absent: bool = False,
    ) -> Stored:
        """Hold a value; with a condition only over this version, or where there is none, else Conflict."""
        check_value(value)
        lifetime, expects = _checked_ttl(ttl), _expected(if_version, if_absent)
        outcome = await self._write(name, value, lifetime, expects)
        return Stored(outcome.version, outcome.created, outcome.ttl, outcome.remaining)

    async def get(self, name: str) -> Value:
        """The newest value; NotFound when there is none, or no more."""
        record, value = await self._fetch(name)
        return Value(record.version, record.created, record.ttl, record.remaining, value)

    async def rm(self, name: str, *, if_version: int | None = None) -> int:
        """Remove a value; the version of its removal, which outranks all that were before."""
        record, _ = await self._fetch(name)
        expects = _expected(if_version, if_absent=False)
        # As long as what it removes was signed for, so that the node need not remember that apart.
        conversation = await self._storage.open()
        lifetime = max(RECORD_TTL_MIN, min(record.deadline - conversation.now(), TTL_MAX))
        outcome = await self._write(name, None, lifetime, expects)
        return outcome.version

    async def ls(self) -> AsyncIterator[Listed]:
        """Every value that is there, in no order that tells of names; fetched page by page."""
        conversation = await self._storage.open()
        await conversation.prove(self._keys.signer)
        after, more = b"", True
        while more:
            floors = self._seen.copy()
            reply = await conversation.caller.ask(ListRecords(self._keys.owner, after))
            if not isinstance(reply, Rows):
                raise RemoteError("the node did not answer with a list")
            for row in reply.rows:
                if row.id <= after:
                    raise RemoteError("the node's list is out of order")
                after = row.id
                yield self._listed(row, floors)
            more = reply.more and bool(reply.rows)

    def watch(self, *names: str) -> AsyncGenerator[Event, None]:
        """Every change to these values, or to all of the space: first what is there, then for ever.

        Break out of it inside `contextlib.aclosing`, so that the node stops at once.
        """
        return Watching(self._storage, self._keys, self._seen, names).events()

    # ----

    async def _write(self, name: str, value: Bytes | None, ttl: int, expects: int) -> Outcome:
        """Put a version, or with no value its removal, above all versions that are known."""
        _, label, item = self._keys.named(name)
        above = max(self._seen.newest(item), expects)
        for attempt in range(1, _ATTEMPTS + 1):
            conversation = await self._storage.open()
            now = conversation.now()
            version = self._versions.next(now, above)
            note = sealed = b""
            if value is not None:
                note = self._keys.seal_name(item, version, name)
                sealed = self._keys.seal_value(item, version, value)
            record = NewRecord(label, version, now + ttl, ttl, expects, value is None, note)
            outcome = await self._gathering.put(conversation, record, sealed)
            # What expired or was removed may have been newer, too: so whatever was expected.
            overtaken = outcome.code == Code.CONFLICT and outcome.version >= version
            if overtaken and attempt < _ATTEMPTS:
                above = outcome.version
                continue
            _check_outcome(name, outcome, version)
            self._seen.note(item, version)
            return outcome
        raise AssertionError  # the last attempt returns or raises

    async def _fetch(self, name: str) -> tuple[Record, bytes]:
        _, label, item = self._keys.named(name)
        floor = self._seen.newest(item)
        conversation = await self._storage.open()
        try:
            record, sealed = await fetch(conversation, item)
        except NotFound:
            raise _not_there(name) from None
        if record.owner != self._keys.owner or record.label != label:
            raise IntegrityFailure("the node answered with another record than was asked for")
        if record.removed:
            check_signature(record, sealed)
            self._seen.check(item, record.version, floor)
            raise _not_there(name)
        value = self._keys.open_value(item, record.version, sealed)
        self._seen.check(item, record.version, floor)
        return record, value

    def _listed(self, row: Row, floors: Seen) -> Listed:
        item = ItemId(row.id)
        name = self._keys.open_name(item, row.version, row.note)
        self._seen.check(item, row.version, floors.newest(item))
        size = max(0, row.size - OVERHEAD)
        return Listed(row.version, row.created, row.ttl, row.remaining, name, size)


def _check_outcome(name: str, outcome: Outcome, version: int) -> None:
    if outcome.code == Code.CONFLICT:
        there = f"version {outcome.version} is" if outcome.version else "there is none"
        raise Conflict(f"{name!r} was not changed: {there} there")
    if outcome.code:
        raise error_of(Failure(outcome.code, f"{name!r} is not kept"))
    if outcome.version != version:
        raise RemoteError(f"the node says that it keeps another version of {name!r}")


def _not_there(name: str) -> NotFound:
    return NotFound(f"there is no value called {name!r}, or it has expired", hint=_GONE)


def _expected(if_version: int | None, if_absent: bool) -> int:
    if if_version is None:
        return NO_VERSION if if_absent else ANY_VERSION
    if if_absent or not 0 < if_version < 1 << 63:
        raise UsageError(
            "a value is put over a version, which is a number above 0, or where there is none",
            hint="`repram kv get --json NAME` tells the version.",
        )
    return if_version


def _checked_ttl(text: str) -> int:
    ttl = parse_duration(text)
    if not RECORD_TTL_MIN <= ttl <= TTL_MAX:
        raise UsageError(
            f"a value lives {format_duration(RECORD_TTL_MIN)} to {format_duration(TTL_MAX)}, not {text}",
            hint="Give a --ttl within these bounds.",
        )
    return ttl
