"""A download as a whole: a link opened with what its locks ask for, its content put where it is wanted."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from repram.content.head import Head, Kind
from repram.content.landing import folder_for, landing_for
from repram.content.part import Part
from repram.crypto.links import Link, WebLink, parse_link
from repram.crypto.xchacha import Bytes
from repram.errors import (
    Conflict,
    IntegrityFailure,
    LocalError,
    NotFound,
    Refused,
    RepramError,
    UsageError,
)
from repram.sdk.claims import Claims
from repram.sdk.download import Download
from repram.sdk.events import Finished, LeftOut
from repram.sdk.holders import Holders
from repram.sdk.opening import Keys, open_head
from repram.sdk.parallel import in_thread, to_the_end
from repram.sdk.reader import Reader
from repram.sdk.transfer import Report

_OVER: Final = (Conflict, IntegrityFailure, NotFound, Refused, UsageError)


@dataclass(frozen=True, slots=True)
class Received:
    """What has come: where it is, its size, and what of a folder was not written, and why; `hostile` when
    some of that is what no honest sender writes."""

    paths: tuple[Path, ...]
    size: int
    refused: tuple[LeftOut, ...]
    hostile: bool = False


class Sink(Protocol):
    """A binary stream to download into; `write` may take less than it is given."""

    def write(self, data: Bytes, /) -> int | None:
        """Write some bytes and say how many."""


class Receiving:
    """One link, the keys to it, and who holds what it names."""

    def __init__(
        self,
        link: Link,
        keys: Keys,
        holders: Holders,
        claims: Claims,
        tell: Report,
    ) -> None:
        self._link = link
        self._keys = keys
        self._holders = holders
        self._claims = claims
        self._tell = tell

    async def into_files(self, output: Path | None, *, overwrite: bool, resume: bool) -> Received:
        """A file, or a folder under the sender's name; all of it appears at once, when it has verified."""
        with Part(folder_for(output), self._link.item, keep=resume) as part:
            try:
                async with self._opened() as (head, download):
                    received = await _land(head, download, part, output, overwrite=overwrite)
            except _OVER:
                part.keep = False  # what is there is of no use to another attempt
                raise
        self._tell(Finished(head.size))
        return received

    async def into_stream(self, sink: Sink) -> Received:
        """A file, chunk by chunk; each is verified before it is written."""
        async with self._opened() as (head, download):
            _check_is_file(head)
            await download.content(lambda data: _write_all(sink, data), run=in_thread)
        self._tell(Finished(head.size))
        return Received((), head.size, ())

    async def reader(self) -> Reader:
        """A file of which nothing is fetched but what is read."""
        async with self._opened() as (head, download):
            _check_is_file(head)
        return Reader(head, download)

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[tuple[Head, Download]]:
        """What the link leads to. A download that was claimed for it goes back when nothing comes of it."""
        try:
            head = await open_head(self._link, self._holders, self._claims, self._keys)
            yield head, Download(self._holders, head, self._tell)
        except BaseException:
            await self._holders.give_back()
            raise
        self._claims.forget(self._link.item)


def self_contained(link: str | Link | WebLink) -> Link:
    """A link that says where what it names is; whoever has another is told what to do."""
    parsed = parse_link(link) if isinstance(link, str) else link
    if isinstance(parsed, WebLink):
        raise RepramError(
            "this link goes by way of a coordinator, which this version cannot ask",
            hint="Open it in a browser, or ask the sender for a link that starts with repram://.",
        )
    return parsed


def _check_is_file(head: Head) -> None:
    if head.kind is not Kind.FILE:
        raise UsageError(
            f"this link is {head.roots} files or folders, and not one stream",
            hint="Download it into a folder.",
        )


async def _land(
    head: Head, download: Download, part: Part, output: Path | None, *, overwrite: bool
) -> Received:
    with landing_for(part, head, output, overwrite=overwrite) as landing:
        start = await download.verified(landing.have())
        part.check_room(head.size - start)
        await to_the_end(lambda: landing.go_on(start))
        await download.content(landing.write, start=start)
        paths = await to_the_end(landing.commit)
        refused = tuple(LeftOut(os.fsdecode(each.path), each.why) for each in landing.refused)
        return Received(paths, head.size, refused, landing.hostile)


def _write_all(sink: Sink, data: Bytes) -> None:
    rest = memoryview(data)
    while rest:
        taken = sink.write(rest)
        if taken is None:
            raise LocalError("the stream to write to is not a blocking one")
        rest = rest[taken:]
