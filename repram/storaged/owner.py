"""What a node's owner may ask of it, over its control socket."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import repram
from repram.crypto.links import Invite
from repram.ids import ItemId, to_base64url
from repram.proto.connection import Secret
from repram.storaged import clock, control
from repram.storaged.access.denied import Denial
from repram.storaged.access.invites import Granted
from repram.storaged.audit import audit

if TYPE_CHECKING:
    from repram.storaged.node import Node

Answer = dict[str, Any]


class Owner:
    """Answers what `repram storaged …` asks of a node that runs; `stop` ends it."""

    def __init__(self, node: Node, stop: asyncio.Event) -> None:
        self._node = node
        self._stop = stop
        self._answers: Final[dict[type, Callable[[Any], Answer | Awaitable[Answer]]]] = {
            control.Status: self._status,
            control.Drain: self._drain,
            control.Stop: self._end,
            control.Invite: self._invite,
            control.Invites: self._invites,
            control.Revoke: self._revoke,
            control.Deny: self._deny,
            control.Audit: self._audit,
            control.Clock: self._clock,
        }

    async def answer(self, request: control.Request) -> Answer:
        """What the request's verb does."""
        answer = self._answers[type(request)](request)
        return answer if isinstance(answer, dict) else await answer

    def _status(self, _: control.Status) -> Answer:
        node = self._node
        return {
            "address": str(node.address),
            "version": repram.__version__,
            "pid": os.getpid(),
            "folder": str(node.folder.path),
            "uptime_ms": node.clock.now() - node.started,
            "state": "stopping" if self._stop.is_set() else "draining" if node.keeper.draining else "serving",
            "tier": node.book.tier.name,
            "capacity": node.book.capacity,
            "used": node.book.used,
            "items": len(node.book),
            "sessions": node.front.sessions,
            "public": node.keeper.terms.public,
            "invites": len(node.keeper.invites.by_id),
            "denied": len(node.keeper.denied.all),
            "clock": self._time(),
        }  # fmt: skip

    def _drain(self, _: control.Drain) -> Answer:
        self._node.keeper.draining = True
        return {"items": len(self._node.book)}

    def _end(self, _: control.Stop) -> Answer:
        self._stop.set()
        return {"pid": os.getpid()}

    def _invite(self, asked: control.Invite) -> Answer:
        node = self._node
        granted = node.keeper.invites.grant(
            name=asked.name, write_only=asked.write_only, quota=asked.quota, now=node.clock.now()
        )
        node.front.add_secret(Secret(granted.id, granted.secret))
        line = str(Invite(node.address, granted.id, granted.secret))
        return {"invite": line, "id": to_base64url(granted.id)}

    def _invites(self, _: control.Invites) -> Answer:
        return {"invites": [self._row(each) for each in self._node.keeper.invites.by_id.values()]}

    def _row(self, granted: Granted) -> Answer:
        """All that may be shown of it."""
        return {
            "id": to_base64url(granted.id),
            "name": granted.name,
            "write_only": granted.write_only,
            "quota": granted.quota,
            "used": self._node.keeper.quotas.used_by(granted.id),
            "created": granted.created,
        }

    def _revoke(self, asked: control.Revoke) -> Answer:
        gone = self._node.keeper.invites.revoke(asked.invite)
        self._node.front.remove_secret(gone.id)
        return {"id": to_base64url(gone.id), "name": gone.name}

    def _deny(self, asked: control.Deny) -> Answer:
        denied = self._node.keeper.denied
        if asked.do == "add":
            denied.add(Denial(asked.kind, ItemId.parse(asked.id).raw, asked.reason))
        elif asked.do == "rm":
            denied.remove(asked.kind, ItemId.parse(asked.id).raw)
        return {"denied": [each.row() for each in denied.all]}

    async def _audit(self, _: control.Audit) -> Answer:
        return await audit(self._node.book, self._node.clock.now())

    async def _clock(self, asked: control.Clock) -> Answer:
        if asked.accept:
            self._node.clock.accept(clock.read())
            await self._node.front.keep_time()
        return self._time()

    def _time(self) -> Answer:
        now = self._node.clock
        return {"time": now.now(), "settled": now.settled, "offset_ms": now.offset}
