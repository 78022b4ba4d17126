"""What happens to the values of a space, as it happens.

A node's word that something has changed is not signed: it is a reason to look, and a name is told only once
it has been read from a note that opens. Ask for the value to know it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from repram.crypto.spaces import SpaceKeys
from repram.errors import NotFound, RemoteError, UsageError
from repram.ids import ItemId
from repram.proto.messages import MANY, STORAGE, Changed, Done, Reply, Request, Watch
from repram.proto.rpc import Caller, Incoming, reader
from repram.sdk.fetching import fetch
from repram.sdk.storage import Conversation, Storage
from repram.sdk.versions import Seen

CHANGED_MAX: Final = 256  # bytes of one message
_FOR_EVER: Final = (
    10.0 * 365 * 86_400
)  # seconds; nothing may happen for long, and the session is kept alive
_read: Final = reader(Changed, "the node told of a change in what is no message")


@dataclass(frozen=True, slots=True)
class Put:
    """A value is there in this version, for so long still (milliseconds)."""

    name: str
    version: int
    remaining: int


@dataclass(frozen=True, slots=True)
class Removed:
    """Somebody removed it."""

    name: str
    version: int


@dataclass(frozen=True, slots=True)
class Expired:
    """Its time was over."""

    name: str


Event: TypeAlias = Put | Removed | Expired


class Watching:
    """One client's watch over some names, or over all of a space."""

    def __init__(self, storage: Storage, keys: SpaceKeys, seen: Seen, names: Sequence[str]) -> None:
        if len(names) > MANY:
            raise UsageError(f"at most {MANY} values are watched at once, or all of a space")
        self._storage = storage
        self._keys = keys
        self._seen = seen
        self._all = not names
        self._names = {keys.named(name).item: name for name in names}

    async def events(self) -> AsyncGenerator[Event, None]:
        """First what is there, then every change."""
        conversation = await self._storage.open()
        if self._all:
            await conversation.prove(self._keys.signer)
        request = Watch(
            tuple(item.raw for item in self._names), self._keys.owner if self._all else b""
        )
        caller: Caller[Request, Reply] = Caller(conversation.session, STORAGE, patience=_FOR_EVER)
        async with caller.stream(request) as answer:
            if not isinstance(answer.reply, Done):
                raise RemoteError("the node did not say that it tells of changes")
            while True:
                event = await self._event(conversation, await _next(answer.body))
                if event is not None:
                    yield event

    async def _event(self, conversation: Conversation, changed: Changed) -> Event | None:
        item, version = ItemId(changed.id), changed.version
        if version and version < self._seen.newest(item):
            return None  # overtaken by what this client did itself meanwhile
        is_there = version > 0 and not changed.removed
        name = self._names.get(item)
        if name is None and not self._all:
            raise RemoteError("the node told of a value that was not asked for")
        if name is None and is_there:
            name = await _name(conversation, self._keys, item)
        if name is None:
            return None  # it came and went before its name could be read
        if is_there:
            self._names[item] = name
            return Put(name, version, changed.remaining)
        if self._all:
            self._names.pop(item, None)  # so that what is remembered is what is there
        return Removed(name, version) if changed.removed else Expired(name)


async def _next(body: Incoming) -> Changed:
    size = int.from_bytes(await body.take_exactly(4), "big")
    if size > CHANGED_MAX:
        raise RemoteError(f"the node told of a change in {size} bytes")
    return _read(await body.take_exactly(size))


async def _name(conversation: Conversation, keys: SpaceKeys, item: ItemId) -> str | None:
    """The name in a record's note, while the record is there."""
    try:
        record, _ = await fetch(conversation, item)
    except NotFound:
        return None
    return None if record.removed else keys.open_name(item, record.version, record.note)
