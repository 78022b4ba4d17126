"""Measuring between endpoints: who asks for nonsense is refused, and the other side goes on serving."""

from __future__ import annotations

import asyncio

import pytest

from repram.errors import StreamReset
from repram.proto import measure
from repram.proto.endpoint import Endpoint
from tests.conftest import Run
from tests.proto.live import node

NONSENSE = {
    "nothing": b"",
    "no text": b"\x91\xa2\xed\xa0",
    "deep": b"\x92\xa4sink" + b"\x91" * 4000 + b"\xc0",
    "another order": b"\x91\xa5shout",
}


@pytest.mark.parametrize("what", NONSENSE)
def test_an_order_that_is_none_ends_its_stream_alone(run: Run[None], what: str) -> None:
    async def main() -> None:
        async with node() as server, await Endpoint.open(("127.0.0.1", 0)) as client:
            serving = asyncio.create_task(measure.serve(server))
            session = await client.connect(server.address, server.key)
            for order in (NONSENSE[what], NONSENSE[what]):
                stream = await session.open_stream()
                stream.write(len(order).to_bytes(2, "big") + order)
                stream.send_eof()
                with pytest.raises(StreamReset):
                    await stream.read()
            assert not serving.done()
            serving.cancel()

    run(main())
