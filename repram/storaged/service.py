"""What a node answers: requests in, replies out; the store and the clock are given."""

from __future__ import annotations

from collections.abc import Callable

from repram.crypto.sealing import id_of
from repram.errors import IntegrityFailure, UsageError
from repram.ids import ItemId, format_duration, format_size
from repram.proto.endpoint import Session
from repram.proto.messages import (
    CHUNK_MAX,
    CHUNK_TTL_MAX,
    CHUNK_TTL_MIN,
    Found,
    Get,
    Held,
    Put,
    Reply,
    Request,
)
from repram.proto.rpc import Answer, Incoming, Server
from repram.storaged.clock import Moment
from repram.storaged.store import MemoryStore


class Service:
    """What each request does to the store."""

    def __init__(self, store: MemoryStore, now: Callable[[], Moment]) -> None:
        self._store = store
        self._now = now

    def answer_on(self, server: Server[Request, Reply]) -> None:
        """Have a server ask here; every error is the caller's to be told."""
        server.on_task(Put, self.put)
        server.on(Get, self.get)

    async def put(self, request: Put, body: Incoming) -> Held:
        """Hold the bytes that follow, if they are those that the id names."""
        _check_bounds(request)
        with self._store.reserved(request.size, self._now()):  # bytes on their way count as held
            sealed = await body.take(request.size)
        item = ItemId(request.id)
        if id_of(sealed) != item:
            raise IntegrityFailure(f"the bytes that came are not those that {item} names")
        now = self._now()
        held = self._store.put(item, sealed, request.ttl, request.remaining, now)
        return Held(held.created, held.ttl, held.remaining(now))

    def get(self, request: Get, _session: Session) -> Answer[Found]:
        """Give back what is held."""
        now = self._now()
        held = self._store.get(ItemId(request.id), now)
        found = Found(len(held.body), held.created, held.ttl, held.remaining(now))
        return Answer(found, held.body)


def _check_bounds(request: Put) -> None:
    if not 0 < request.size <= CHUNK_MAX:
        raise UsageError(
            f"a chunk has 1 byte to {format_size(CHUNK_MAX)}, and {request.size} bytes were announced"
        )
    if not CHUNK_TTL_MIN <= request.ttl <= CHUNK_TTL_MAX:
        raise UsageError(
            f"a chunk lives {format_duration(CHUNK_TTL_MIN)} to {format_duration(CHUNK_TTL_MAX)}, "
            f"not {format_duration(request.ttl)}"
        )
    if not 0 < request.remaining <= request.ttl:
        raise UsageError(f"of a lease of {request.ttl} ms, {request.remaining} ms cannot remain")
