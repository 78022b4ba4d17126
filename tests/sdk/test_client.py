"""The client and a node, over real sockets; `test_lying_node.py` has those that lie."""

from __future__ import annotations

import io
import os
import random
from collections import Counter
from pathlib import Path

import pytest

from repram.content.chunker import CHUNK_SIZE
from repram.content.padding import padme
from repram.crypto.links import Link, WebLink
from repram.crypto.statements import BATCH_MAX
from repram.errors import Conflict, IntegrityFailure, RepramError, UsageError
from repram.ids import HostPort, NodeAddress
from repram.sdk import Client, Moved, Received
from tests.conftest import Run
from tests.sdk.storing import storing

CONTENT = random.Random(7).randbytes(3 * CHUNK_SIZE + 12_345)


@pytest.mark.parametrize("size", [0, 1, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1, len(CONTENT)])
def test_a_file_comes_back(run: Run[None], tmp_path: Path, size: int) -> None:
    source = tmp_path / "report.pdf"
    source.write_bytes(CONTENT[:size])
    source.chmod(0o640)
    os.utime(source, ns=(10**18, 10**18))
    (tmp_path / "out").mkdir()

    async def main() -> None:
        async with storing() as (_, address), Client(address) as client:
            link = await client.upload(source, ttl="60s")
            received = await client.download(str(link), tmp_path / "out")
            path = tmp_path / "out" / "report.pdf"
            assert received == Received((path,), size, ())
            assert path.read_bytes() == CONTENT[:size]
            assert path.stat().st_mtime_ns == 10**18
            assert path.stat().st_mode & 0o777 == 0o640

    run(main())


def test_a_stream_goes_in_and_out(run: Run[None]) -> None:
    async def main() -> None:
        async with storing() as (_, address), Client(str(address)) as client:
            link = await client.upload(io.BytesIO(CONTENT))
            sink = io.BytesIO()
            await client.download_into(link, sink)
            assert sink.getvalue() == CONTENT

    run(main())


def test_a_node_sees_the_padded_total_and_nothing_of_the_content(run: Run[None]) -> None:
    marked = b"canary" * (CHUNK_SIZE // 3)

    async def main() -> None:
        async with storing() as (node, address), Client(address) as client:
            await client.upload(io.BytesIO(marked), name="canary.txt")
            held = [bytes(node.book.body(entry)) for entry in node.book.entries()]
            assert not any(b"canary" in each for each in held)
            chunks = sorted(held, key=len)[1:] if len(held[-1]) < 2_000 else held[:-1]
            assert sum(len(each) - 16 for each in chunks) == padme(len(marked))

    run(main())


def test_the_same_file_is_never_stored_alike(run: Run[None]) -> None:
    async def main() -> None:
        async with storing() as (node, address), Client(address) as client:
            first, second = [await client.upload(io.BytesIO(b"same")) for _ in range(2)]
            assert first.item != second.item
            assert len({put.id for put in node.puts}) == 4

    run(main())


def test_a_link_to_something_else_on_the_node_does_not_open(run: Run[None], tmp_path: Path) -> None:
    async def main() -> None:
        async with storing() as (node, address), Client(address) as client:
            link, other = [await client.upload(io.BytesIO(CONTENT)) for _ in range(2)]
            mixed = Link(link.node, other.item, link.secret)
            with pytest.raises(IntegrityFailure):
                await client.download(mixed, tmp_path / "out")
            chunk = Link(link.node, type(link.item)(node.puts[0].id), link.secret)
            with pytest.raises(IntegrityFailure):
                await client.download(chunk, tmp_path / "out")

    run(main())


def test_a_file_that_is_there_is_not_replaced_unless_that_is_asked_for(
    run: Run[None], tmp_path: Path
) -> None:
    target = tmp_path / "out"
    target.write_text("mine")

    async def main() -> None:
        async with storing() as (_, address), Client(address) as client:
            link = await client.upload(io.BytesIO(CONTENT))
            with pytest.raises(Conflict):
                await client.download(link, target)
            assert target.read_text() == "mine"
            await client.download(link, target, overwrite=True)
            assert target.read_bytes() == CONTENT

    run(main())


def test_progress_counts_up_to_the_size(run: Run[None], tmp_path: Path) -> None:
    source = tmp_path / "file"
    source.write_bytes(CONTENT)

    async def main() -> None:
        async with storing() as (_, address), Client(address) as client:
            upload = client.upload(source)
            up = [event async for event in upload if isinstance(event, Moved)]
            download = client.download_into(await upload, io.BytesIO())
            down = [event async for event in download if isinstance(event, Moved)]
        assert [each.done for each in up] == sorted(each.done for each in up)
        assert up[-1] == Moved(padme(len(CONTENT)), padme(len(CONTENT)))
        assert down[-1] == Moved(len(CONTENT), len(CONTENT))

    run(main())


@pytest.mark.parametrize("ttl", ["29s", "31d", "nonsense"])
def test_a_ttl_out_of_bounds_is_refused_before_anything_is_sent(run: Run[None], ttl: str) -> None:
    async def main() -> None:
        async with storing() as (node, address), Client(address) as client:
            with pytest.raises(UsageError):
                await client.upload(io.BytesIO(CONTENT), ttl=ttl)
            assert node.puts == []

    run(main())


def test_what_cannot_be_uploaded_is_named(run: Run[None], tmp_path: Path) -> None:
    async def main() -> None:
        async with storing() as (_, address), Client(address) as client:
            with pytest.raises(UsageError, match="cannot read"):
                await client.upload(tmp_path / "missing")

    run(main())


def test_no_host_and_a_web_link_say_what_to_do(run: Run[None]) -> None:
    async def main() -> None:
        async with Client() as client:
            with pytest.raises(UsageError) as caught:
                await client.upload(io.BytesIO(CONTENT))
            assert "--host" in caught.value.hint
            async with storing() as (_, address), Client(address) as other:
                link = await other.upload(io.BytesIO(b"x"))
            with pytest.raises(RepramError, match="by way of a coordinator"):
                await client.download(
                    str(WebLink(HostPort("example.org", 443), link.item, link.secret))
                )

    run(main())


def test_a_key_that_no_node_can_have_is_a_malformed_address(run: Run[None]) -> None:
    async def main() -> None:
        async with Client(NodeAddress(bytes(32), HostPort("127.0.0.1", 1))) as client:
            with pytest.raises(UsageError, match="no Ed25519 public key"):
                await client.upload(io.BytesIO(b"x"))

    run(main())


def test_a_large_upload_is_leased_in_growing_batches_under_one_end_key(run: Run[None]) -> None:
    async def main() -> None:
        async with storing() as (node, address), Client(address) as client:
            content = bytes((2 + 4 + 8 + BATCH_MAX + 1) * CHUNK_SIZE)
            link = await client.upload(io.BytesIO(content), ttl="60s")
            sink = io.BytesIO()
            await client.download_into(link, sink)
            assert sink.getvalue() == content
        leases = [put.lease for put in node.puts]
        chunks = -(-padme(len(content)) // CHUNK_SIZE)
        sizes = sorted(Counter(lease.root for lease in leases).values())  # who comes first may vary
        assert sizes == [1, chunks - 2 - 4 - 8 - BATCH_MAX, 2, 4, 8, BATCH_MAX]
        assert len({(lease.end_pk, lease.deadline, lease.ttl) for lease in leases}) == 1

    run(main())
