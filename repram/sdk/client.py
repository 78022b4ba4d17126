"""The client: sessions with nodes, and what a program does over them."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

from repram.content import manifest as manifests
from repram.content.chunker import Chunker
from repram.content.landing import Landing
from repram.content.manifest import Manifest
from repram.content.padding import padme
from repram.crypto.identity import x25519_image
from repram.crypto.links import SECRET_SIZE, Link, WebLink, parse_link
from repram.crypto.xchacha import Bytes
from repram.errors import LocalError, NotFound, RepramError, UsageError
from repram.ids import ItemId, NodeAddress, format_duration, parse_duration
from repram.proto.connection import Settings
from repram.proto.endpoint import Endpoint, Session
from repram.proto.messages import CHUNK_TTL_MIN, STORAGE, TTL_MAX
from repram.proto.rpc import Caller
from repram.sdk.leasing import Leasing
from repram.sdk.parallel import in_thread
from repram.sdk.source import Content, Uploadable
from repram.sdk.transfer import Download, Progress, Report, Upload

DEFAULT_TTL: Final = "24h"
HANDSHAKE_TIMEOUT: Final = 10.0


class Sink(Protocol):
    """A binary stream to download into; `write` may take less than it is given."""

    def write(self, data: Bytes, /) -> int | None:
        """Write some bytes and say how many."""


class Client:
    """Stores on `host` (a node's address) and reads from wherever a link points."""

    def __init__(
        self, host: str | NodeAddress | None = None, *, timeout: float = HANDSHAKE_TIMEOUT
    ) -> None:
        self._host = NodeAddress.parse(host) if isinstance(host, str) else host
        self._settings = Settings(handshake_timeout=timeout)
        self._open = contextlib.AsyncExitStack()
        self._endpoints: dict[bool, Endpoint] = {}
        self._sessions: dict[NodeAddress, Session] = {}
        self._leasings: dict[ItemId, Leasing] = {}  # of what this client has uploaded
        self._connecting = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._open.aclose()

    async def upload(
        self,
        what: Uploadable,
        *,
        ttl: str = DEFAULT_TTL,
        name: str | None = None,
        report: Report | None = None,
    ) -> Link:
        """Seal a file or stream, store it, and return its link once the node holds all of it."""
        if self._host is None:
            raise UsageError(
                "no node to store on was named",
                hint="Start one with `repram storaged run --public` and give its address as --host "
                "or in $REPRAM_HOST.",
            )
        lifetime = _checked_ttl(ttl)
        content = await in_thread(lambda: Content.open(what, name))
        try:
            content.check()
            session = await self._session(self._host)
            return await self._store(session, self._host, content, lifetime, report or _silent)
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
        session = await self._session(link.node)
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
        download, manifest = await self._look_up(link, report)
        target = _target(output, manifest)
        with Landing(target, mode=manifest.mode, overwrite=overwrite) as landing:
            await download.content(manifest, lambda data: in_thread(lambda: landing.write(data)))
            await in_thread(lambda: landing.commit(modified_ms=manifest.modified))
        return target

    async def download_into(
        self, link: str | Link | WebLink, sink: Sink, *, report: Report | None = None
    ) -> None:
        """Fetch a link into a stream; every chunk is verified before it is written."""
        download, manifest = await self._look_up(link, report)
        await download.content(manifest, lambda data: in_thread(lambda: _write_all(sink, data)))

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
        self, link: str | Link | WebLink, report: Report | None
    ) -> tuple[Download, Manifest]:
        parsed = parse_link(link) if isinstance(link, str) else link
        if isinstance(parsed, WebLink):
            raise RepramError(
                "this link goes by way of a coordinator, which this version cannot ask",
                hint="Open it in a browser, or ask the sender for a link that starts with repram://.",
            )
        download = Download(await self._session(parsed.node), report or _silent)
        return download, await download.manifest(parsed.item, parsed.secret)

    async def _session(self, node: NodeAddress) -> Session:
        """The session with a node; kept until the client closes."""
        x25519_image(
            node.key
        )  # a key that no node can have is a malformed address, not a dead node
        async with self._connecting:
            known = self._sessions.get(node)
            if known is None or known.closed:
                endpoint = await self._endpoint(ipv6=node.at.is_ipv6)
                known = await endpoint.connect((node.at.host, node.at.port), node.key)
                self._sessions[node] = known
            return known

    async def _endpoint(self, *, ipv6: bool) -> Endpoint:
        if ipv6 not in self._endpoints:
            wildcard = "::" if ipv6 else "0.0.0.0"  # noqa: S104  # a client's socket, on whichever way out
            endpoint = await Endpoint.open((wildcard, 0), settings=self._settings)
            self._endpoints[ipv6] = await self._open.enter_async_context(endpoint)
        return self._endpoints[ipv6]


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


def _silent(_progress: Progress) -> None:
    """No one asked."""
