"""A node that holds honestly and lies in one way; whatever it says, no wrong byte comes out.

An older head in place of a newer one is no lie of its own: a link names its head by the head's hash, so
whatever else the node rolls back to is a splice.
"""

from __future__ import annotations

import asyncio
import io
import random
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvloop

from repram.content import refs
from repram.content.chunker import CHUNK_SIZE
from repram.crypto import passwords
from repram.crypto.links import Link
from repram.errors import IntegrityFailure, NotFound, RepramError
from repram.sdk import Client, Transfer, Trouble
from tests.conftest import Run
from tests.processes import ENVIRONMENT, REPRAM
from tests.sdk.storing import Storing, storing

CONTENT = random.Random(7).randbytes(2 * CHUNK_SIZE + 1)
NEWER = CONTENT[:CHUNK_SIZE] + b"changed" + CONTENT[CHUNK_SIZE + 7 :]
PASSWORD = "correct horse"

pytestmark = pytest.mark.parametrize("run", [uvloop.new_event_loop], indirect=True, ids=["uvloop"])


@pytest.fixture(autouse=True)
def cheap() -> Iterator[None]:
    with passwords.cheap_for_tests():
        yield


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three chunks have a page of two and a page of one, and a page above them, as 512 GiB would."""
    monkeypatch.setattr(refs, "HEAD_REFS", 1)
    monkeypatch.setattr(refs, "PAGE_REFS", 2)


@dataclass
class Upload:
    """One upload, and all that it put: three chunks, three pages, the shortest last, and the head."""

    link: Link
    items: list[bytes]


FIRST_CHUNK, LAST_CHUNK, PAGE, SHORT_PAGE, HEAD = 0, 2, 3, 5, 6


async def uploaded(node: Storing, transfer: Transfer[Link]) -> Upload:
    before, link = len(node.puts), await transfer
    below = [put.id for put in node.puts[before:] if put.id != link.item.raw]
    return Upload(link, [*sorted(below, key=lambda item: -len(node.held(item))), link.item.raw])


Lie = Callable[[list[bytes], int, list[bytes], list[bytes]], bytes]
"""From what each item of an upload is, which of them is asked for, the same of the file's next version,
and the same of another file."""


def flipped(percent: int) -> Lie:
    def lie(held: list[bytes], item: int, _newer: object, _other: object) -> bytes:
        bent = bytearray(held[item])
        bent[percent * len(bent) // 100] ^= 1
        return bytes(bent)

    return lie


LIES: dict[str, Lie] = {
    "flipped at its beginning": flipped(0),
    "flipped in its middle": flipped(50),
    "flipped at its end": flipped(99),
    "truncated": lambda held, item, newer, other: held[item][:-1],
    "emptied": lambda held, item, newer, other: b"",
    "extended": lambda held, item, newer, other: held[item] + b"x",
    "reordered within": lambda held, item, newer, other: held[item][64:] + held[item][:64],
    "swapped": lambda held, item, newer, other: held[item - 1],
    "spliced from the next version": lambda held, item, newer, other: newer[item],
    "spliced from another file": lambda held, item, newer, other: other[item],
    "made up": lambda held, item, newer, other: bytes(len(held[item])),
}


def listing(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def tells(node: Storing, lie: Lie, item: int, *uploads: Upload) -> None:
    """From now on, when that item of the first upload is asked for."""
    held, newer, other = ([node.held(each) for each in upload.items] for upload in uploads)
    lied_about = uploads[0].items[item]
    node.tamper = lambda asked, _: lie(held, item, newer, other) if asked == lied_about else None


async def outcome(download: Transfer[object]) -> object:
    """What comes of it: an error is one of ours, or the test fails."""
    try:
        return await download
    except RepramError as error:
        return type(error)


KINDS: dict[
    str, tuple[int, ...]
] = {  # and what is lied about: by each lie, or by one after the other
    "file": (FIRST_CHUNK, LAST_CHUNK, PAGE, SHORT_PAGE, HEAD),
    "tree": (FIRST_CHUNK, PAGE, HEAD),
    "locked": (LAST_CHUNK, HEAD),
    "counted": (SHORT_PAGE, HEAD),
}


def lies_about(kind: str) -> Iterator[tuple[str, int]]:
    items = KINDS[kind]
    for number, name in enumerate(LIES):
        for item in items if kind == "file" else (items[number % len(items)],):
            yield name, item


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("kind", KINDS)
def test_no_lie_gets_a_wrong_byte_into_the_output(
    run: Run[None], tmp_path: Path, kind: str
) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    out.mkdir()
    content = source / "content" if kind == "tree" else source
    content.parent.mkdir(exist_ok=True)
    content.write_bytes(CONTENT)
    locks = {"locked": {"password": PASSWORD}, "counted": {"downloads": 99}}.get(kind, {})

    async def main() -> None:
        async with storing() as (node, address), Client(address) as client:
            newer, other, upload = [
                await uploaded(node, transfer)
                for transfer in (
                    client.upload(io.BytesIO(NEWER)),
                    client.upload(io.BytesIO(CONTENT[::-1])),
                    client.upload(source, **locks),  # type: ignore[arg-type]
                )
            ]
            for name, item in lies_about(kind):
                tells(node, LIES[name], item, upload, newer, other)
                download = client.download(upload.link, out, password=PASSWORD)
                assert (name, item, await outcome(download)) == (name, item, IntegrityFailure)
                assert (name, item, listing(out)) == (name, item, [])
            node.tamper = None  # the control
            await client.download(upload.link, out, password=PASSWORD)
            assert (out / content.relative_to(tmp_path)).read_bytes() == CONTENT

    run(main())


@pytest.mark.usefixtures("small_pages")
def test_a_stream_ends_before_the_first_byte_that_is_not_true(run: Run[None]) -> None:
    async def main() -> None:
        async with storing() as (node, address), Client(address) as client:
            upload = await uploaded(node, client.upload(io.BytesIO(CONTENT)))
            for name in ("flipped in its middle", "truncated", "swapped"):
                tells(node, LIES[name], LAST_CHUNK, upload, upload, upload)
                sink = io.BytesIO()
                assert await outcome(client.download_into(upload.link, sink)) is IntegrityFailure
                assert CONTENT[: 2 * CHUNK_SIZE].startswith(sink.getvalue())
                async with await client.open(upload.link) as reader:
                    reader.seek(2 * CHUNK_SIZE - 3)
                    with pytest.raises(IntegrityFailure):
                        await reader.read(4)

    run(main())


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("more", [1, -1])
def test_a_size_that_is_announced_and_not_kept_is_a_lie_too(
    run: Run[None], tmp_path: Path, more: int
) -> None:
    async def main() -> None:
        async with storing() as (node, address), Client(address) as client:
            upload = await uploaded(node, client.upload(io.BytesIO(CONTENT)))
            node.announced_more = more
            for item in (FIRST_CHUNK, PAGE, HEAD):
                tells(node, lambda held, at, *_: held[at], item, upload, upload, upload)
                with pytest.raises(IntegrityFailure):
                    await client.download(upload.link, tmp_path)
                assert listing(tmp_path) == []
            node.announced_more = 0
            await client.download(upload.link, tmp_path / "control")

    run(main())


@pytest.mark.usefixtures("small_pages")
def test_what_is_withheld_is_not_found_and_leaves_nothing(run: Run[None], tmp_path: Path) -> None:
    async def main() -> None:
        async with storing() as (node, address), Client(address) as client:
            upload = await uploaded(node, client.upload(io.BytesIO(CONTENT)))
            for withheld in upload.items:

                def tamper(asked: bytes, _: bytes, withheld: bytes = withheld) -> None:
                    if asked == withheld:
                        raise NotFound("not here")

                node.tamper = tamper
                with pytest.raises(NotFound):
                    await client.download(upload.link, tmp_path)
                assert listing(tmp_path) == []

    run(main())


@pytest.mark.usefixtures("small_pages")
def test_whatever_one_host_lies_about_another_tells(run: Run[None]) -> None:
    async def main() -> None:
        async with storing() as (liar, first), storing() as (_, second):
            async with Client(first) as client:
                newer, other = [
                    await uploaded(liar, client.upload(io.BytesIO(content)))
                    for content in (NEWER, CONTENT[::-1])
                ]
            async with Client(hosts=(first, second)) as client:
                upload = await uploaded(liar, client.upload(io.BytesIO(CONTENT)))
            for number, lie in enumerate(LIES.values()):
                tells(liar, lie, number % len(upload.items), upload, newer, other)
                sink = io.BytesIO()
                # before the head says who else has it, only who asks knows
                async with Client(second) as client:
                    download = client.download_into(upload.link, sink)
                    told = [each.host async for each in download if isinstance(each, Trouble)]
                assert sink.getvalue() == CONTENT
                assert told == [str(first)]

    run(main())


def test_a_lying_node_ends_a_command_with_13_and_a_withholding_one_with_10(
    run: Run[None], tmp_path: Path
) -> None:
    def withheld(_asked: bytes, _held: bytes) -> None:
        raise NotFound("not here")

    def command(link: Link, target: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*REPRAM, "download", str(link), "-o", target],
            capture_output=True,
            check=False,
            env=ENVIRONMENT,
        )

    async def main() -> None:
        async with storing() as (node, address), Client(address) as client:
            link = await client.upload(io.BytesIO(CONTENT), name="file")
            last = next(put.id for put in node.puts if len(node.held(put.id)) < CHUNK_SIZE)
            node.tamper = lambda asked, held: held[::-1] if asked == last else None
            done = await asyncio.to_thread(command, link, str(tmp_path))
            assert done.returncode == 13
            happened, _ = done.stderr.decode().splitlines()
            assert happened.startswith("repram: the node sent other bytes")
            done = await asyncio.to_thread(command, link, "-")
            assert (done.returncode, done.stdout) == (13, CONTENT[: 2 * CHUNK_SIZE])
            node.tamper = withheld
            done = await asyncio.to_thread(command, link, str(tmp_path))
            assert done.returncode == 10
            assert listing(tmp_path) == []
            node.tamper = None
            done = await asyncio.to_thread(command, link, str(tmp_path))
            assert done.returncode == 0
            assert (tmp_path / "file").read_bytes() == CONTENT

    run(main())
