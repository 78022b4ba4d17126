"""The client: sessions with nodes, and what a program does over them."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeAlias

from repram.content import manifest as manifests
from repram.content.chunker import Chunker
from repram.content.landing import Landing
from repram.content.manifest import Manifest
from repram.content.padding import padme
from repram.crypto.links import SECRET_SIZE, Link, WebLink, parse_link
from repram.crypto.spaces import Space
from repram.crypto.xchacha import Bytes
from repram.errors import LocalError, RepramError, UsageError
from repram.ids import ItemId, NodeAddress, format_duration, parse_duration
from repram.proto.endpoint import Session
from repram.proto.messages import CHUNK_TTL_MIN, TTL_MAX
from repram.sdk.events import LeftOut
from repram.sdk.hosts import Host, Hosts
from repram.sdk.kv import Values
from repram.sdk.leasing import Leasing
from repram.sdk.links import Links
from repram.sdk.moving import Download, Upload
from repram.sdk.parallel import in_thread
from repram.sdk.sessions import Sessions
from repram.sdk.source import Content, Uploadable
from repram.sdk.storage import About, Storage
from repram.sdk.transfer import Report, Transfer

DEFAULT_TTL: Final = "24h"
HANDSHAKE_TIMEOUT: Final = 10.0


Password: TypeAlias = str | Callable[[bool], Awaitable[str | None]] | None
"""The text, or what is asked for it (True: what it gave before was wrong); None gives up."""

Unbox: TypeAlias = Callable[[bytes], Awaitable[bytes | None]]
"""Opens one of the boxes of a link that was sealed to people; None: it is not this person's."""


@dataclass(frozen=True, slots=True)
class Received:
    """What has come: where it is, its size, and what of a folder was not written, and why."""

    paths: tuple[Path, ...]
    size: int
    refused: tuple[LeftOut, ...]


class Reader(Protocol):
    """A link's file, to be read from anywhere in it; close it, or use it in an `async with`."""

    size: int
    name: str

    async def read(self, limit: int = -1) -> bytes:
        """The next bytes; b"" at the end."""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Where to read next."""

    def tell(self) -> int:
        """Where that is."""

    async def close(self) -> None:
        """No more will be read."""


class Sink(Protocol):
    """A binary stream to download into; `write` may take less than it is given."""

    def write(self, data: Bytes, /) -> int | None:
        """Write some bytes and say how many."""


class Client:
    """Stores on `host` (an address, an invite or a known host's name; else $REPRAM_HOST or the default
    host), or a copy on each of `hosts`, and reads from wherever a link points. `state`: the folder for
    what is to be known later (uploads under way, links that were made); the person's own, if not given."""

    def __init__(
        self,
        host: str | NodeAddress | Host | None = None,
        *,
        hosts: Sequence[str | NodeAddress | Host] = (),
        timeout: float = HANDSHAKE_TIMEOUT,
        state: Path | None = None,
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

    def upload(
        self,
        what: Uploadable | Sequence[str | os.PathLike[str]],
        *,
        ttl: str = DEFAULT_TTL,
        name: str | None = None,
        downloads: int | None = None,
        password: str | None = None,
        to: Sequence[Any] = (),
        resume: bool = True,
    ) -> Transfer[Link]:
        """Seal a file, a folder, several of them or a stream, and store it on every host of this client;
        its link, once each of them that did not fail holds all of it.

        `name` is what a stream is called, and otherwise takes the place of the file's own; `downloads`:
        how often it may be fetched; `password` and `to`: what it takes to open it beside the link. With
        `resume` the same upload, when it was interrupted, goes on where it was.
        """
        return Transfer(lambda tell: self._upload(what, ttl, name, tell))

    def download(
        self,
        link: str | Link | WebLink,
        output: Path | None = None,
        *,
        overwrite: bool = False,
        password: Password = None,
        unbox: Unbox | None = None,
        resume: bool = True,
    ) -> Transfer[Received]:
        """Fetch a link into a file, or into a folder under the sender's name; where it is then.

        `password` is the text, or is asked for it when one is needed, and again as long as it is wrong;
        `unbox` opens the box that was sealed to a person. With `resume` an interrupted download leaves
        what it has, out of sight, and the same download goes on from there.
        """
        return Transfer(lambda tell: self._download(link, output, overwrite, tell))

    def download_into(
        self,
        link: str | Link | WebLink,
        sink: Sink,
        *,
        password: Password = None,
        unbox: Unbox | None = None,
    ) -> Transfer[Received]:
        """Fetch a link's file into a stream; every chunk is verified before it is written."""
        return Transfer(lambda tell: self._download_into(link, sink, tell))

    async def open(
        self,
        link: str | Link | WebLink,
        *,
        password: Password = None,
        unbox: Unbox | None = None,
    ) -> Reader:
        """A link's file to read from anywhere in it; nothing is fetched but what is read."""
        raise NotImplementedError

    @property
    def links(self) -> Links:
        """The links that were made here."""
        return Links()

    async def _upload(self, what: Uploadable, ttl: str, name: str | None, tell: Report) -> Link:
        host = self.storage.host
        lifetime = _checked_ttl(ttl)
        content = await in_thread(lambda: Content.open(what, name))
        try:
            content.check()
            session = await self._sessions.to(host.address, host.secret)
            return await self._store(session, host.address, content, lifetime, tell)
        finally:
            content.close()

    async def _download(self, link, output, overwrite, tell) -> Received:
        download, manifest = await self._look_up(link, tell)
        target = _target(output, manifest)
        with Landing(target, mode=manifest.mode, overwrite=overwrite) as landing:
            await download.content(manifest, lambda data: in_thread(lambda: landing.write(data)))
            await in_thread(lambda: landing.commit(modified_ms=manifest.modified))
        return Received((target,), manifest.size, ())

    async def _download_into(self, link, sink, tell) -> Received:
        download, manifest = await self._look_up(link, tell)
        await download.content(manifest, lambda data: in_thread(lambda: _write_all(sink, data)))
        return Received((), manifest.size, ())

    async def _store(
        self, session: Session, host: NodeAddress, content: Content, ttl: int, report: Report
    ) -> Link:
        leasing = Leasing(ttl, session.peer_time)
        expires = time.time_ns() // 1_000_000 + ttl
        total = None if content.size is None else padme(content.size)
        upload = Upload(session, leasing, report, total)
        chunker = Chunker(content.source)
        chunks = await upload.chunks(chunker)
        manifest = Manifest(
            manifests.VERSION,
            content.name,
            chunker.size,
            content.modified,
            content.mode,
            expires,
            chunks,
        )
        secret = secrets.token_bytes(SECRET_SIZE)
        item = await upload.put(await asyncio.to_thread(manifests.seal, manifest, secret))
        self._leasings[item] = leasing
        return Link(host, item, secret)

    async def _look_up(
        self, link: str | Link | WebLink, report: Report
    ) -> tuple[Download, Manifest]:
        parsed = parse_link(link) if isinstance(link, str) else link
        if isinstance(parsed, WebLink):
            raise RepramError(
                "this link goes by way of a coordinator, which this version cannot ask",
                hint="Open it in a browser, or ask the sender for a link that starts with repram://.",
            )
        download = Download(await self._sessions.to(parsed.node), report)
        return download, await download.manifest(parsed.item, parsed.secret)


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


def _target(output: Path | None, manifest: Manifest) -> Path:
    """The manifest's name has passed `is_safe_name`: it stays in the folder it is joined to."""
    if output is None:
        return Path(manifest.name)
    return output / manifest.name if output.is_dir() else output


def _write_all(sink: Sink, data: Bytes) -> None:
    rest = memoryview(data)
    while rest:
        taken = sink.write(rest)
        if taken is None:
            raise LocalError("the stream to write to is not a blocking one")
        rest = rest[taken:]
