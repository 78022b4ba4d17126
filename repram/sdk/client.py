"""The client: sessions with nodes, and what a program does over them."""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

from repram.content import head as heads
from repram.content import refs
from repram.content.chunker import Chunker
from repram.content.head import Head, Kind
from repram.content.landing import folder_for, landing_for
from repram.content.padding import padme
from repram.content.part import Part
from repram.crypto import locks
from repram.crypto.links import SECRET_SIZE, Link, WebLink, parse_link
from repram.crypto.spaces import Space
from repram.crypto.xchacha import Bytes
from repram.errors import LocalError, NotFound, RepramError, UsageError
from repram.ids import ItemId, NodeAddress, format_duration, parse_duration
from repram.proto.endpoint import Session
from repram.proto.messages import CHUNK_TTL_MIN, STORAGE, TTL_MAX
from repram.proto.rpc import Caller
from repram.sdk.hosts import Host, Hosts
from repram.sdk.kv import Values
from repram.sdk.leasing import Leasing
from repram.sdk.parallel import in_thread
from repram.sdk.sessions import Sessions
from repram.sdk.source import Content, Uploadable
from repram.sdk.storage import About, Storage
from repram.sdk.transfer import Download, Progress, Report, Upload

DEFAULT_TTL: Final = "24h"
HANDSHAKE_TIMEOUT: Final = 10.0


class Sink(Protocol):
    """A binary stream to download into; `write` may take less than it is given."""

    def write(self, data: Bytes, /) -> int | None:
        """Write some bytes and say how many."""


class Client:
    """Stores on `host` (an address, an invite or a known host's name; else $REPRAM_HOST or the default
    host) and reads from wherever a link points."""

    def __init__(
        self, host: str | NodeAddress | Host | None = None, *, timeout: float = HANDSHAKE_TIMEOUT
    ) -> None:
        self._host = host
        self._sessions = Sessions(timeout)
        self._storage: Storage | None = None
        self._values: dict[Space, Values] = {}
        self._leasings: dict[ItemId, Leasing] = {}  # of what this client has uploaded

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for values in self._values.values():
            await values.close()
        await self._sessions.close()

    @property
    def storage(self) -> Storage:
        """The host that this client stores on, settled when it is first needed."""
        if self._storage is None:
            self._storage = Storage(self._sessions, _chosen(self._host))
        return self._storage

    async def about(self) -> About:
        """What the host is like."""
        return await (await self.storage.open()).about()

    def kv(self, space: Space) -> Values:
        """The values of a space on the host."""
        if space not in self._values:
            self._values[space] = Values(self.storage, space)
        return self._values[space]

    async def upload(
        self,
        what: Uploadable,
        *,
        ttl: str = DEFAULT_TTL,
        name: str | None = None,
        report: Report | None = None,
    ) -> Link:
        """Seal a file or stream, store it, and return its link once the node holds all of it."""
        host = self.storage.host
        lifetime = _checked_ttl(ttl)
        content = await in_thread(lambda: Content.open(what, name))
        try:
            content.check()
            session = await self._sessions.to(host.address, host.secret)
            return await self._store(session, host.address, content, lifetime, report or _silent)
        finally:
            content.close()

    async def end(self, link: Link) -> None:
        """Have the node forget, now and for good, what this client has uploaded under the link."""
        leasing = self._leasings.get(link.item)
        if leasing is None:
            raise NotFound(
                "only the client that has uploaded this can end it, and this one has not",
                hint="It ends by itself when its time is over.",
            )
        session = await self._sessions.to(link.node)
        await Caller(session, STORAGE).ask(leasing.end(session.peer_time))
        del self._leasings[link.item]

    async def download(
        self,
        link: str | Link | WebLink,
        output: Path | None = None,
        *,
        overwrite: bool = False,
        report: Report | None = None,
    ) -> Path:
        """Fetch a link into a file (or into a folder, under the sender's name); the path where it is."""
        parsed, download, head = await self._look_up(link, report)
        part = Part(folder_for(output), parsed.item, keep=False)
        with part, landing_for(part, head, output, overwrite=overwrite) as landing:
            landing.go_on(0)
            await download.content(head, lambda data: in_thread(lambda: landing.write(data)))
            return (await in_thread(landing.commit))[0]

    async def download_into(
        self, link: str | Link | WebLink, sink: Sink, *, report: Report | None = None
    ) -> None:
        """Fetch a link into a stream; every chunk is verified before it is written."""
        _, download, head = await self._look_up(link, report)
        await download.content(head, lambda data: in_thread(lambda: _write_all(sink, data)))

    async def _store(
        self, session: Session, host: NodeAddress, content: Content, ttl: int, report: Report
    ) -> Link:
        leasing = Leasing(ttl, session.peer_time)
        expires = time.time_ns() // 1_000_000 + ttl
        total = None if content.size is None else padme(content.size)
        upload = Upload(session, leasing, report, total)
        chunker = Chunker(content.source)
        body = await upload.body(chunker)
        head = Head(
            kind=Kind.FILE,
            name=content.name,
            size=chunker.size,
            modified=content.modified,
            mode=content.mode,
            expires=expires,
            hosts=(str(host),),
            depth=body.depth,
            refs=refs.encode(body.refs),
        )
        secret = secrets.token_bytes(SECRET_SIZE)
        encoded = heads.encode(head, leasing.signer)
        item = await upload.put(locks.lock(secret, encoded, locks.Locks()))
        self._leasings[item] = leasing
        return Link(host, item, secret)

    async def _look_up(
        self, link: str | Link | WebLink, report: Report | None
    ) -> tuple[Link, Download, Head]:
        parsed = parse_link(link) if isinstance(link, str) else link
        if isinstance(parsed, WebLink):
            raise RepramError(
                "this link goes by way of a coordinator, which this version cannot ask",
                hint="Open it in a browser, or ask the sender for a link that starts with repram://.",
            )
        download = Download(await self._sessions.to(parsed.node), report or _silent)
        return parsed, download, await download.head(parsed.item, parsed.secret)


def _chosen(host: str | NodeAddress | Host | None) -> Host:
    if isinstance(host, NodeAddress):
        return Host(host)
    return host if isinstance(host, Host) else Hosts().chosen(host, os.environ)


def _checked_ttl(text: str) -> int:
    ttl = parse_duration(text)
    if not CHUNK_TTL_MIN <= ttl <= TTL_MAX:
        raise UsageError(
            f"a file lives {format_duration(CHUNK_TTL_MIN)} to {format_duration(TTL_MAX)}, not {text}",
            hint="Give a --ttl within these bounds.",
        )
    return ttl


def _write_all(sink: Sink, data: Bytes) -> None:
    rest = memoryview(data)
    while rest:
        taken = sink.write(rest)
        if taken is None:
            raise LocalError("the stream to write to is not a blocking one")
        rest = rest[taken:]


def _silent(_progress: Progress) -> None:
    """No one asked."""
