"""What happens to the values of a space, as it happens.

A node's word that something has changed is not signed: it is a reason to look, and a name is told only once
it has been read from a note that opens. Ask for the value to know it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import msgspec

from repram.crypto.spaces import SpaceKeys
from repram.errors import NotFound, RemoteError, UsageError
from repram.ids import ItemId
from repram.proto.messages import MANY, STORAGE, Changed, Done, Reply, Request, Watch
from repram.proto.rpc import Caller, Incoming
from repram.sdk.fetching import fetch
from repram.sdk.storage import Conversation, Storage
from repram.sdk.versions import Seen

CHANGED_MAX: Final = 256  # bytes of one message
_FOR_EVER: Final = (
    10.0 * 365 * 86_400
)  # seconds; nothing may happen for long, and the session is kept alive
_read = msgspec.msgpack.Decoder(Changed).decode


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


async def watch(
    storage: Storage, keys: SpaceKeys, seen: Seen, names: Sequence[str]
) -> AsyncGenerator[Event, None]:
    """Every change to these names, or to all."""
    if len(names) > MANY:
        raise UsageError(f"at most {MANY} values are watched at once, or all of a space")
    known = {keys.id_of(keys.label(name)): name for name in names}
    conversation = await storage.open()
    if not names:
        await conversation.prove(keys.signer)
    request = Watch(tuple(item.raw for item in known), b"" if names else keys.owner)
    caller: Caller[Request, Reply] = Caller(conversation.session, STORAGE, patience=_FOR_EVER)
    async with caller.stream(request) as answer:
        if not isinstance(answer.reply, Done):
            raise RemoteError("the node did not say that it tells of changes")
        while True:
            changed = await _next(answer.body)
            item = ItemId(changed.id)
            if changed.version and changed.version < seen.newest(item):
                continue  # overtaken by what this client did itself meanwhile
            name = known.get(item)
            if name is None and names:
                raise RemoteError("the node told of a value that was not asked for")
            if name is None and changed.version and not changed.removed:
                name = await _name(conversation, keys, item)
            if name is None:
                continue  # it came and went before its name could be read
            if changed.version and not changed.removed:
                known[item] = name
                yield Put(name, changed.version, changed.remaining)
                continue
            if not names:
                del known[item]  # so that what is known is what is there
            yield Removed(name, changed.version) if changed.removed else Expired(name)


async def _next(body: Incoming) -> Changed:
    size = int.from_bytes(await body.take_exactly(4), "big")
    if size > CHANGED_MAX:
        raise RemoteError(f"the node told of a change in {size} bytes")
    try:
        return _read(await body.take_exactly(size))
    except (msgspec.DecodeError, RecursionError) as error:
        raise RemoteError(f"the node told of a change in what is no message: {error}") from None


async def _name(conversation: Conversation, keys: SpaceKeys, item: ItemId) -> str | None:
    """The name in a record's note, while the record is there."""
    try:
        record, _ = await fetch(conversation, item)
    except NotFound:
        return None
    return None if record.removed else keys.open_name(item, record.version, record.note)
