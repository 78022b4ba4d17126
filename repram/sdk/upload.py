"""An upload: what is asked for, the journal that remembers it, and the head and link at its end.

It goes on where an earlier attempt was interrupted: the journal says under which keys that sealed what,
the hosts say what they hold of it, and the content is read again from its beginning, for only what seals
to the same bytes is the same.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from repram.content import head as heads
from repram.content.head import MAX_HOSTS, Head
from repram.content.refs import Body, encode
from repram.crypto import locks as locking
from repram.crypto.links import SECRET_SIZE, Link
from repram.crypto.locks import Locks
from repram.crypto.sealing import id_of
from repram.errors import (
    Changed,
    NotAllowed,
    RepramError,
    StreamReset,
    Unreachable,
    UsageError,
)
from repram.sdk import journal as journals
from repram.sdk.events import Finished, Trouble
from repram.sdk.journal import Done, Journal, Plan
from repram.sdk.parallel import in_thread, to_the_end
from repram.sdk.sending import Sending
from repram.sdk.source import Content, Uploadable, paths_of
from repram.sdk.storage import Storage
from repram.sdk.transfer import Report

GO_ON: Final = "Run the same command again: it goes on where this one stopped."
UPLOADS: Final = "uploads"
LINKS: Final = "links"
_PASSING: Final = (Unreachable, StreamReset, asyncio.CancelledError)


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for."""

    what: Uploadable
    name: str | None
    ttl: int
    downloads: int
    locks: Locks
    resume: bool

    def open(self) -> Content:
        """The content, from its beginning; may block."""
        return Content.open(self.what, self.name)


class Upload:
    """An order for some hosts; `state` is the folder that remembers."""

    def __init__(
        self,
        order: Order,
        storages: Sequence[Storage],
        state: Path,
        patience: float,
        tell: Report,
    ) -> None:
        self._order = order
        self._storages = list(storages)
        self._hosts = tuple(str(each.host.address) for each in storages)
        self._state = state
        self._patience = patience
        self._tell = tell
        self._was_interrupted = False

    async def run(self) -> Link:
        """Send all of it; the link, once every host that did not fail holds everything."""
        content = await in_thread(self._order.open)
        try:
            for each in content.left_out:
                self._tell(each)
            plan = await self._plan(content)
            resumable = content.repeatable and self._order.resume
            known = _taken_up(self._state / UPLOADS, plan) if resumable else None
            try:
                journal = known or self._new_journal(plan)
                return await self._send(content, journal, resumable=resumable)
            except (Changed, NotAllowed) as error:
                forgot = isinstance(error, NotAllowed) and self._was_interrupted
                if not content.repeatable or not (known or forgot):
                    raise
            content.close()  # it is another now, or the node has forgotten all: begin anew
            content = await in_thread(self._order.open)
            journal = self._new_journal(await self._plan(content))
            return await self._send(content, journal, resumable=resumable)
        finally:
            content.close()

    async def _plan(self, content: Content) -> Plan:
        """The upload as it is when it begins now."""
        deadline = (
            min(await self._times()) + self._order.ttl
        )  # so that it is ahead of nobody's clock
        what = paths_of(self._order.what) if content.repeatable else ()
        return Plan(
            journals.VERSION,
            tuple(os.fsencode(path.absolute()) for path in what),
            content.name,
            self._order.ttl,
            self._order.downloads,
            self._hosts,
            time.time_ns() // 1_000_000,
            deadline,
            *(secrets.token_bytes(SECRET_SIZE) for _ in range(3)),
        )

    async def _times(self) -> list[int]:
        """By the hosts that answer at once; the upload goes to those."""
        found = await asyncio.gather(*(_time(each) for each in self._storages))
        failures = [each for each in found if isinstance(each, Unreachable)]
        times = [each for each in found if isinstance(each, int)]
        if not times:
            raise failures[0]
        for storage, each in zip(tuple(self._storages), found, strict=True):
            if isinstance(each, Unreachable):
                self._tell(Trouble(str(storage.host.address), f"{each}; going on without it"))
                self._storages.remove(storage)
        return times

    def _new_journal(self, plan: Plan) -> Journal:
        try:
            return Journal.create(self._state / UPLOADS / secrets.token_hex(8), plan)
        except OSError as error:
            why = f"cannot keep what resuming and `repram links` need: {error.strerror}"
            self._tell(Trouble("this computer", why))
            return Journal.nowhere(plan)

    async def _send(self, content: Content, journal: Journal, *, resumable: bool) -> Link:
        plan = journal.plan()
        sending = Sending(journal, plan, self._storages, self._patience, self._tell)
        try:
            body, size = await sending.content(content, self._order.open)
            link = await self._head(content, body, size, sending, journal)
            journal.move(self._state / LINKS / str(link.item))
            await to_the_end(journal.forget_keys_of_items)
        except BaseException as error:
            self._was_interrupted = sending.was_interrupted
            if resumable and isinstance(error, _PASSING):
                if isinstance(error, RepramError):
                    error.hint = GO_ON
            else:
                await sending.end()
                journal.remove()
            raise
        finally:
            journal.close()
        await sending.end_failed()
        self._tell(Finished(size))
        return link

    async def _head(
        self, content: Content, body: Body, size: int, sending: Sending, journal: Journal
    ) -> Link:
        plan, order = journal.plan(), self._order
        hosts = tuple(str(copy.host.address) for copy in sending.living)[:MAX_HOSTS]
        head = Head(
            kind=content.kind,
            name=content.name,
            size=size,
            entries=content.entries,
            roots=content.roots,
            modified=content.modified,
            mode=content.mode,
            expires=plan.made + plan.ttl,
            hosts=hosts,
            depth=body.depth,
            refs=encode(body.refs),
        )
        signed = heads.encode(head, sending.signer)
        sealed = await asyncio.to_thread(locking.lock, plan.secret, signed, order.locks)
        locked = order.locks.password is not None, len(order.locks.people)
        item = id_of(sealed)
        journal.append(Done(item.raw, content.kind, content.name, size, *locked, hosts))
        holder = await sending.head(item, sealed, order.downloads)
        return Link(holder, item, plan.secret)


def _taken_up(folder: Path, wanted: Plan) -> Journal | None:
    """The journal of an attempt at the same, if more than half of its time is left; what is over goes."""
    for path in sorted(folder.glob("*")):
        journal = Journal.open(path)
        if journal is None:
            continue
        try:
            plan = journal.plan()
        except UsageError:
            journal.remove()
            continue
        age = wanted.made - plan.made
        if plan.is_the_same_as(wanted) and 0 <= age < plan.ttl // 2:
            return journal
        if age > plan.ttl:
            journal.remove()
        journal.close()
    return None


async def _time(storage: Storage) -> int | Unreachable:
    try:
        return (await storage.open()).now()
    except Unreachable as error:
        return error
