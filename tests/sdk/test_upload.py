"""Uploads that are interrupted, go on, change, and go to several hosts, over real sockets."""

from __future__ import annotations

import asyncio
import io
import random
from pathlib import Path

import pytest

from repram.content.chunker import CHUNK_SIZE
from repram.content.padding import padme
from repram.errors import Full, Unreachable
from repram.proto.endpoint import Session
from repram.proto.messages import Put
from repram.sdk import Began, Client, Finished, Trouble
from repram.sdk.journal import Journal
from repram.sdk.upload import GO_ON
from tests.conftest import Run
from tests.sdk.storing import breaking, storing

CONTENT = random.Random(8).randbytes(20 * CHUNK_SIZE + 77)
TOTAL = padme(len(CONTENT))


async def received(client: Client, link: object) -> bytes:
    sink = io.BytesIO()
    await client.download_into(str(link), sink)
    return sink.getvalue()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(CONTENT)
    return path


def test_an_interrupted_upload_goes_on_where_it_was(run: Run[None], source: Path) -> None:
    async def main() -> None:
        async with storing() as (node, address):
            node.before_put = breaking(node, 3)
            async with Client(address, patience=0) as client:
                with pytest.raises(Unreachable) as caught:
                    await client.upload(source)
                assert caught.value.hint == GO_ON
            acknowledged = {put.id for put in node.puts}
            assert acknowledged
            async with Client(address) as client:
                upload = client.upload(source)
                events = [event async for event in upload]
                assert events[0] == Began(TOTAL, len(acknowledged) * CHUNK_SIZE)
                assert events[-1] == Finished(len(CONTENT))
                assert await received(client, await upload) == CONTENT
            ids = [put.id for put in node.puts]
            assert len(ids) == len(set(ids)), "what was acknowledged went again"
            assert len({(put.lease.end_pk, put.lease.deadline) for put in node.puts}) == 1

    run(main())


def test_a_session_that_is_lost_is_made_anew_and_nothing_is_missing(
    run: Run[None], source: Path
) -> None:
    async def main() -> None:
        async with storing() as (node, address), Client(address) as client:
            node.before_put = breaking(node, 3)
            upload = client.upload(source)
            events = [event async for event in upload]
            assert [event.host for event in events if isinstance(event, Trouble)] == [str(address)]
            node.before_put = None
            assert await received(client, await upload) == CONTENT

    run(main())


def test_what_a_host_lost_meanwhile_is_sent_again(run: Run[None], source: Path) -> None:
    async def main() -> None:
        async with storing() as (node, address), Client(address) as client:
            breaks = breaking(node, 3)

            async def loses(put: Put, session: Session) -> None:
                await breaks(put, session)
                if session.closed:
                    node.forget_all()

            node.before_put = loses
            link = await client.upload(source)
            assert await received(client, link) == CONTENT

    run(main())


def test_a_host_that_starts_anew_with_nothing_is_given_all_of_it_anew(
    run: Run[None], source: Path
) -> None:
    async def main() -> None:
        async with storing() as (node, address), Client(address) as client:
            breaks = breaking(node, 3)

            async def restarts(put: Put, session: Session) -> None:
                await breaks(put, session)
                if session.closed:
                    node.forget_all()
                    node.service._ends._started = node.service._now()

            node.before_put = restarts
            link = await client.upload(source)
            assert await received(client, link) == CONTENT

    run(main())


def test_a_source_that_has_changed_is_uploaded_anew_and_the_old_is_ended(
    run: Run[None], source: Path
) -> None:
    async def main() -> None:
        async with storing() as (node, address):
            node.before_put = breaking(node, 3)
            async with Client(address, patience=0) as client:
                with pytest.raises(Unreachable):
                    await client.upload(source)
            old = {put.id for put in node.puts}
            changed = CONTENT[:CHUNK_SIZE] + b"x" + CONTENT[CHUNK_SIZE + 1 :]
            source.write_bytes(changed)  # noqa: ASYNC240
            async with Client(address) as client:
                assert await received(client, await client.upload(source)) == changed
            held = {bytes(entry.key[1:]) for entry in node.book.entries()}
            assert not held & old

    run(main())


def test_another_name_or_time_is_another_upload(run: Run[None], source: Path) -> None:
    async def main() -> None:
        async with storing() as (node, address):
            node.before_put = breaking(node, 3)
            async with Client(address, patience=0) as client:
                with pytest.raises(Unreachable):
                    await client.upload(source)
            async with Client(address) as client:
                began = await anext(client.upload(source, ttl="2h"))
                assert began == Began(TOTAL, 0)

    run(main())


def test_a_stream_or_one_who_does_not_want_to_leaves_nothing_to_resume(
    run: Run[None], source: Path, tmp_path: Path
) -> None:
    async def main() -> None:
        async with storing() as (node, address), Client(address, state=tmp_path) as client:
            for what, resume in ((io.BytesIO(CONTENT), True), (source, False)):

                async def full(put: Put, session: Session) -> None:
                    if len(node.puts) >= 4:
                        raise Full("no room")

                node.before_put = full
                with pytest.raises(Full):
                    await client.upload(what, resume=resume)
                assert node.puts
                assert not node.service.chunks._batches, "it was told to forget"
                node.puts.clear()
            assert list((tmp_path / "uploads").iterdir()) == []

    run(main())


def test_each_of_several_hosts_gets_a_copy_and_each_copy_serves(
    run: Run[None], source: Path
) -> None:
    async def main() -> None:
        async with storing() as (one, first), storing() as (other, second):
            async with Client(hosts=(first, second)) as client:
                link = await client.upload(source)
            assert {put.id for put in one.puts} == {put.id for put in other.puts}
            one.forget_all()
            async with Client(second) as client:
                assert await received(client, link) == CONTENT

    run(main())


def test_a_host_that_dies_is_done_without(run: Run[None], source: Path) -> None:
    async def main() -> None:
        async with storing() as (dying, first), storing() as (_, second):

            async def full(put: Put, session: Session) -> None:
                if len(dying.puts) >= 5:
                    raise Full("no room")

            dying.before_put = full
            async with Client(hosts=(first, second)) as client:
                upload = client.upload(source)
                events = [event async for event in upload]
                link = await upload
                troubles = [event for event in events if isinstance(event, Trouble)]
                assert [event.host for event in troubles] == [str(first)]
                assert link.node == second
                assert await received(client, link) == CONTENT
                (made,) = await client.links.ls()
                assert made.hosts == (second,)
            assert not dying.service.chunks._batches, "it was told to forget its part"

    run(main())


def test_when_the_last_host_fails_the_upload_does(run: Run[None], source: Path) -> None:
    async def main() -> None:
        async with storing() as (one, first), storing() as (other, second):

            async def full(put: Put, session: Session) -> None:
                raise Full("no room")

            one.before_put = other.before_put = full
            async with Client(hosts=(first, second)) as client:
                with pytest.raises(Full):
                    await client.upload(source)

    run(main())


def test_cancelling_leaves_no_task_and_a_journal_to_go_on_with(
    run: Run[None], source: Path, tmp_path: Path
) -> None:
    async def main() -> None:
        async with storing() as (node, address), Client(address, state=tmp_path / "s") as client:
            reached = asyncio.Event()

            async def stuck(put: Put, session: Session) -> None:
                if len(node.puts) >= 4:
                    reached.set()
                    await asyncio.Event().wait()

            await client.about()
            before = asyncio.all_tasks()
            node.before_put = stuck
            upload = client.upload(source)

            async def follow() -> None:
                async for _ in upload:
                    pass

            following = asyncio.ensure_future(follow())
            await reached.wait()
            following.cancel()
            with pytest.raises(asyncio.CancelledError):
                await following
            ours = {task for task in asyncio.all_tasks() - before if "repram/sdk" in str(task)}
            assert not ours
            (left,) = (tmp_path / "s" / "uploads").iterdir()
            journal = Journal.open(left)
            assert journal is not None
            journal.close()
            node.before_put = None
            assert await received(client, await client.upload(source)) == CONTENT

    run(main())


def test_a_chunk_is_in_the_journal_before_it_is_sent(
    run: Run[None], source: Path, tmp_path: Path
) -> None:
    async def main() -> None:
        async with storing() as (node, address), Client(address, state=tmp_path / "s") as client:

            async def known(put: Put, session: Session) -> None:
                if put.size > 9_000:
                    (path,) = (tmp_path / "s" / "uploads").iterdir()
                    assert put.id in path.read_bytes()

            node.before_put = known
            await client.upload(source)

    run(main())


def test_nothing_is_read_any_more_once_an_upload_has_failed(run: Run[None], tmp_path: Path) -> None:
    async def main() -> None:
        with (tmp_path / "large").open("wb") as file:
            file.truncate(64 * CHUNK_SIZE)

        async def full(_request: Put, _session: Session) -> None:
            raise Full("no room")

        async with storing() as (node, address), Client(address) as client:
            await client.upload(io.BytesIO(b"so that the session is there"))
            before = asyncio.all_tasks()
            node.before_put = full
            with pytest.raises(Full):
                await client.upload(tmp_path / "large")
            reading = [str(each.get_coro()) for each in asyncio.all_tasks() - before]
            assert not any("to_the_end" in each for each in reading)

    run(main())
