"""A small form of the handshake matrix over real sockets; `python -m tests.proto.matrix` runs it whole."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import count

import pytest

from tests.namespaces import needs_namespaces
from tests.proto.matrix import LOOPBACK, Stage, carry, listening, namespaces
from tests.sim.matrix import DARK_AND_LIGHT, ROWS, moves, path_of
from tests.sim.plan import SECOND

SIZE = 20_000
LASTS = 1_000_000  # bytes, which take longer than until the caller's first move


@pytest.fixture(params=["loopback", pytest.param("namespaces", marks=needs_namespaces)])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    if request.param == "loopback":
        yield LOOPBACK
    else:
        with namespaces() as it:
            yield it


def ends_soon(number: int) -> bool:
    """Whether it is dark when that connection begins, and light within two seconds."""
    return SECOND < path_of(DARK_AND_LIGHT, number).blackouts[0][1] < 2 * SECOND


def test_a_connection_over_each_path_stands_and_carries(stage: Stage) -> None:
    numbers = {row: number for number, row in enumerate(ROWS)}
    numbers[DARK_AND_LIGHT] = next(filter(ends_soon, count()))

    async def main() -> None:
        async with listening(stage) as node:
            carrying = [
                carry(stage, node, row, number, LASTS if moves(row) else SIZE)
                for row, number in numbers.items()
            ]
            for row, each in zip(numbers, await asyncio.gather(*carrying), strict=True):
                assert not each.why_not, f"{row}: {each.why_not}"
                assert each.counts.total() or row == "750 ms one way", row
            assert node.core.counters()["migrations"] >= 2

    asyncio.run(main())
