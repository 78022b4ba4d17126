"""Downloads that are interrupted, locked, counted, or served by hosts that fail or lie."""

from __future__ import annotations

import asyncio
import io
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from repram.content.chunker import CHUNK_SIZE
from repram.crypto import passwords, people
from repram.crypto.identity import public_key
from repram.crypto.locks import ITEM_SIZE
from repram.crypto.people import Person
from repram.errors import (
    Busy,
    IntegrityFailure,
    NotFound,
    Refused,
    RepramError,
    Unreachable,
    UsageError,
    WrongPassword,
)
from repram.proto.endpoint import Session
from repram.proto.messages import Get
from repram.sdk import Began, Client, Finished, LeftOut, Received, Transfer, Trouble
from repram.sdk.opening import Unbox
from tests.conftest import Run
from tests.sdk.storing import Storing, storing

CONTENT = random.Random(9).randbytes(20 * CHUNK_SIZE + 77)


@pytest.fixture(autouse=True)
def cheap() -> Iterator[None]:
    with passwords.cheap_for_tests():
        yield


def breaking(node: Storing, after: int) -> None:
    """From now on, break off the session once that many were fetched."""
    node.gets.clear()
    broke = False

    async def before(_request: Get, session: Session) -> None:
        nonlocal broke
        if not broke and len(node.gets) >= after:
            broke = True
            await session.close()

    node.before_get = before


async def received(client: Client, link: object) -> bytes:
    sink = io.BytesIO()
    await client.download_into(str(link), sink)
    return sink.getvalue()


def listing(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def changed_at_its_end(_item: bytes, held: bytes) -> bytes | None:
    """Of all that is larger than a head."""
    return held[:-1] + bytes([held[-1] ^ 1]) if len(held) > ITEM_SIZE else None


def left_in(folder: Path) -> Path:
    """What an earlier attempt has left there."""
    (part,) = folder.iterdir()
    return part / "content"


def test_what_does_not_fit_is_refused_before_any_of_it_is_fetched(
    run: Run[None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = os.fstatvfs

    def full(fd: int) -> os.statvfs_result:
        values = list(room(fd))
        values[4] = 19 * CHUNK_SIZE // room(fd).f_frsize  # blocks for who is not root
        return os.statvfs_result(values)

    async def main() -> None:
        async with storing() as (node, address), Client(address) as client:
            link = await client.upload(io.BytesIO(CONTENT), name="file")
            node.gets.clear()
            monkeypatch.setattr(os, "fstatvfs", full)
            with pytest.raises(RepramError, match=r"20\.\d MiB are to come, .* 19\.0 MiB"):
                await client.download(link, tmp_path)
            assert len(node.gets) == 1  # the head
            assert listing(tmp_path) == []
            monkeypatch.setattr(os, "fstatvfs", room)
            await client.download(link, tmp_path)
            assert (tmp_path / "file").read_bytes() == CONTENT

    run(main())


def test_an_interrupted_download_goes_on_where_it_was(run: Run[None], tmp_path: Path) -> None:
    async def main() -> None:
        async with storing() as (node, address), Client(address) as client:
            link = await client.upload(io.BytesIO(CONTENT), name="file")
            breaking(node, 19)
            async with Client(patience=0) as other:
                with pytest.raises(Unreachable):
                    await other.download(link, tmp_path)
            there = left_in(tmp_path).stat().st_size
            assert 0 < there < len(CONTENT)
            node.gets.clear()
            download = client.download(link, tmp_path)
            events = [event async for event in download]
            assert events[0] == Began(len(CONTENT), there)
            assert events[-1] == Finished(len(CONTENT))
            assert (tmp_path / "file").read_bytes() == CONTENT
            assert listing(tmp_path) == ["file"]
            assert len(node.gets) <= 1 + 21 - there // CHUNK_SIZE + 1

    run(main())


def test_what_was_changed_in_what_is_left_is_fetched_again(run: Run[None], tmp_path: Path) -> None:
    async def main() -> None:
        async with storing() as (node, address), Client(address) as client:
            link = await client.upload(io.BytesIO(CONTENT), name="file")
            breaking(node, 19)
            async with Client(patience=0) as other:
                with pytest.raises(Unreachable):
                    await other.download(link, tmp_path)
            with left_in(tmp_path).open("r+b") as file:
                file.seek(CHUNK_SIZE + 5)
                file.write(b"??")
            await client.download(link, tmp_path)
            assert (tmp_path / "file").read_bytes() == CONTENT

    run(main())


def test_who_does_not_want_to_resume_leaves_nothing(run: Run[None], tmp_path: Path) -> None:
    async def main() -> None:
        async with storing() as (node, address), Client(address, patience=0) as client:
            link = await client.upload(io.BytesIO(CONTENT), name="file")
            breaking(node, 19)
            with pytest.raises(Unreachable):
                await client.download(link, tmp_path, resume=False)
            assert listing(tmp_path) == []

    run(main())


def test_a_tree_goes_there_and_comes_back(run: Run[None], tmp_path: Path) -> None:
    tree, alone = tmp_path / "tree", tmp_path / "alone.txt"
    (tree / "deep" / "er").mkdir(parents=True)
    (tree / "deep" / "data").write_bytes(CONTENT)
    (tree / "deep" / "er" / "-x\n").write_text("odd")
    (tree / "link").symlink_to("deep/data")
    (tree / "out").symlink_to("/etc/passwd")
    alone.write_text("alone")
    (tmp_path / "back").mkdir()

    async def main() -> None:
        async with storing() as (_, address), Client(address) as client:
            upload = client.upload([tree, alone])
            left_out = [event.path async for event in upload if isinstance(event, LeftOut)]
            assert left_out == ["tree/out"]
            done = await client.download(await upload, tmp_path / "back")
            assert {path.name for path in done.paths} == {"tree", "alone.txt"}
            back = tmp_path / "back" / "tree"
            assert (back / "deep" / "data").read_bytes() == CONTENT
            assert (back / "deep" / "er" / "-x\n").read_text() == "odd"
            assert (back / "link").readlink() == Path("deep/data")
            with pytest.raises(UsageError, match="not one stream"):
                await client.download_into(await upload, io.BytesIO())

    run(main())


@pytest.mark.parametrize("lies", [True, False], ids=["lying", "forgetful"])
def test_what_one_host_does_not_have_or_falsifies_comes_from_another(
    run: Run[None], lies: bool
) -> None:
    async def main() -> None:
        async with storing() as (one, first), storing() as (other, second):
            async with Client(hosts=(first, second)) as client:
                link = await client.upload(io.BytesIO(CONTENT))
            one.tamper = changed_at_its_end if lies else None
            for entry in () if lies else tuple(one.book.entries()):
                if entry.key[1:] != link.item.raw:
                    one.book.drop(entry)
            async with Client() as client:
                sink = io.BytesIO()
                download = client.download_into(link, sink)
                troubles = [each async for each in download if isinstance(each, Trouble)]
                assert sink.getvalue() == CONTENT
                assert {each.host for each in troubles} == {str(first)}
            other.forget_all()
            async with Client() as client:
                with pytest.raises(IntegrityFailure if lies else NotFound):
                    await client.download_into(link, io.BytesIO())

    run(main())


def test_a_password_is_asked_for_until_it_is_right(run: Run[None]) -> None:
    async def main() -> None:
        async with storing() as (_, address), Client(address) as client:
            link = await client.upload(io.BytesIO(b"secret"), password="Grüße")
            sink = io.BytesIO()
            await client.download_into(link, sink, password="Gru\u0308ße")
            assert sink.getvalue() == b"secret"
            with pytest.raises(WrongPassword):
                await client.download_into(link, sink, password="wrong")
            with pytest.raises(Refused, match="asks for a password"):
                await client.download_into(link, sink)
            asked: list[bool] = []

            async def ask(wrong_before: bool) -> str | None:
                asked.append(wrong_before)
                return "Grüße" if wrong_before else "wrong"

            await client.download_into(link, io.BytesIO(), password=ask)
            assert asked == [False, True]

    run(main())


def test_what_is_sealed_to_people_opens_for_them_alone(run: Run[None]) -> None:
    async def main() -> None:
        seeds = [bytes([number]) * 32 for number in range(3)]
        to = [Person(public_key(seed)) for seed in seeds[:2]]

        def unbox(seed: bytes) -> Unbox:
            async def opened(box: bytes) -> bytes | None:
                try:
                    return people.unbox(seed, box)
                except IntegrityFailure:
                    return None

            return opened

        async with storing() as (_, address), Client(address) as client:
            link = await client.upload(io.BytesIO(b"for two"), to=to)
            for seed in seeds[:2]:
                sink = io.BytesIO()
                await client.download_into(link, sink, unbox=unbox(seed))
                assert sink.getvalue() == b"for two"
            for nobody in (unbox(seeds[2]), None):
                with pytest.raises(Refused, match="sealed to"):
                    await client.download_into(link, io.BytesIO(), unbox=nobody)

    run(main())


def test_a_limit_holds_however_many_come_at_once(run: Run[None]) -> None:
    async def main() -> None:
        async with storing() as (_, address), Client(address) as sender:
            link = await sender.upload(io.BytesIO(CONTENT), downloads=2)

            async def one(number: int) -> bool:
                async with Client(
                    patience=0, state=Path(os.environ["XDG_STATE_HOME"], str(number))
                ) as client:
                    try:
                        return await received(client, link) == CONTENT
                    except (NotFound, Busy):
                        return False

            assert sum(await asyncio.gather(*map(one, range(6)))) == 2
            _, (standing,) = await sender.links.info(link)
            assert (standing.left, standing.under_way) == (0, 0)

    run(main())


def test_a_counted_download_that_fails_can_be_made_once_more_and_counts_once(
    run: Run[None], tmp_path: Path
) -> None:
    async def main() -> None:
        async with storing() as (node, address), Client(address) as sender:
            link = await sender.upload(io.BytesIO(CONTENT), downloads=1, name="file")
            breaking(node, 8)
            async with Client(patience=0) as client:
                with pytest.raises(Unreachable):
                    await client.download(link, tmp_path)
            async with Client() as client:
                await client.download(link, tmp_path)
            assert (tmp_path / "file").read_bytes() == CONTENT
            async with Client() as client:
                with pytest.raises(NotFound, match="as often as it may be"):
                    await client.download(link, tmp_path, overwrite=True)

    run(main())


def test_a_claim_that_comes_to_nothing_is_given_back(run: Run[None], tmp_path: Path) -> None:
    async def main() -> None:
        async with storing() as (node, address), Client(address) as sender:
            link = await sender.upload(io.BytesIO(CONTENT), downloads=1, name="file")
            claimed = asyncio.Event()

            async def stuck(request: Get, session: Session) -> None:
                item = node.service.chunks.get(request.id, 0)
                if item.limit is not None and item.limit.reserved:
                    claimed.set()
                    await asyncio.Event().wait()

            node.before_get = stuck
            async with Client() as client:
                download = asyncio.ensure_future(_awaited(client.download(link, tmp_path)))
                await claimed.wait()
                download.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await download
            node.before_get = None
            _, (standing,) = await sender.links.info(link)
            assert (standing.left, standing.under_way) == (1, 0)

    run(main())


def test_an_attempt_of_which_nothing_comes_uses_up_no_download(
    run: Run[None], tmp_path: Path
) -> None:
    async def main() -> None:
        async with storing() as (_, address), Client(address) as client:
            link = await client.upload(
                io.BytesIO(CONTENT), downloads=1, name="file", password="right"
            )
            with pytest.raises(WrongPassword):
                await client.download(link, tmp_path, password="wrong")
            _, (standing,) = await client.links.info(link)
            assert (standing.left, standing.under_way) == (1, 0)
            await client.download(link, tmp_path, password="right")
            _, (standing,) = await client.links.info(link)
            assert (standing.left, standing.under_way) == (0, 0)

    run(main())


async def _awaited(transfer: Transfer[Received]) -> Received:
    return await transfer


def test_a_file_is_read_from_anywhere_and_nothing_else_is_fetched(run: Run[None]) -> None:
    async def main() -> None:
        async with storing() as (node, address), Client(address) as client:
            link = await client.upload(io.BytesIO(CONTENT), name="film")
            node.gets.clear()
            async with await client.open(link) as reader:
                assert (reader.name, reader.size) == ("film", len(CONTENT))
                reader.seek(5 * CHUNK_SIZE - 3)
                assert await reader.read(7) == CONTENT[5 * CHUNK_SIZE - 3 :][:7]
                assert reader.tell() == 5 * CHUNK_SIZE + 4
                reader.seek(-10, os.SEEK_END)
                assert await reader.read() == CONTENT[-10:]
                assert await reader.read() == b""
            assert len(node.gets) == 1 + 3

    run(main())
