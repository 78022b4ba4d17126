"""The policy command: a real process that is asked, and every way in which it may fail to answer."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

from repram.errors import NotAllowed
from repram.ids import ItemId
from repram.storaged.access.policy import Policy
from tests.conftest import Run

ITEM, OWNER = bytes(32), bytes(range(32))
START = "import json, sys, time\nfor line in sys.stdin:\n    asked = json.loads(line)\n    "
SMALL_ONLY = "print(json.dumps({'allow': asked['size'] < 10, 'reason': 'too large'}), flush=True)"


def policy(answers: str, *, patience: float = 30) -> Policy:
    return Policy([sys.executable, "-c", START + answers], patience=patience)


def test_it_allows_and_refuses_with_its_reason(run: Run[Any]) -> None:
    async def main() -> None:
        async with policy(SMALL_ONLY) as asked:
            await asked.ask("put", ITEM, 9, OWNER)
            with pytest.raises(NotAllowed, match="too large"):
                await asked.ask("put", ITEM, 10, b"")

    run(main())


def test_answers_reach_those_who_asked(run: Run[Any]) -> None:
    async def main() -> None:
        async with policy(SMALL_ONLY) as asked:
            sizes = [5, 50] * 50
            outcomes = await asyncio.gather(
                *(asked.ask("put", ITEM, size, OWNER) for size in sizes), return_exceptions=True
            )
        assert [isinstance(outcome, NotAllowed) for outcome in outcomes] == [
            size == 50 for size in sizes
        ]

    run(main())


def test_it_is_told_what_is_to_be_stored(run: Run[Any]) -> None:
    async def main() -> None:
        told = "print(json.dumps({'allow': False, 'reason': ' '.join(map(str, asked.values()))}), flush=True)"
        async with policy(told) as asked:
            with pytest.raises(NotAllowed, match=f"put {ItemId(ITEM)} 7 {ItemId(OWNER)}"):
                await asked.ask("put", ITEM, 7, OWNER)

    run(main())


@pytest.mark.parametrize(
    "answers",
    [
        "sys.exit()",
        "print('nonsense', flush=True)",
        "print('{}', flush=True)",
        "print('x' * 100_000, flush=True)",
        'print(\'{"allow":"yes"}\', flush=True)',
    ],
)
def test_a_command_that_dies_or_babbles_refuses(run: Run[Any], answers: str) -> None:
    async def main() -> None:
        async with policy(answers) as asked:
            for _ in range(2):
                with pytest.raises(NotAllowed):
                    await asked.ask("put", ITEM, 1, OWNER)

    run(main())


def test_a_command_that_is_silent_refuses_in_time(run: Run[Any]) -> None:
    async def main() -> None:
        async with policy("pass", patience=0.05) as asked:
            with pytest.raises(NotAllowed, match="in time"):
                await asked.ask("put", ITEM, 1, OWNER)

    run(main())


def test_a_command_that_is_not_there_refuses(run: Run[Any]) -> None:
    async def main() -> None:
        async with Policy(["/nowhere/to/be/found"]) as asked:
            with pytest.raises(NotAllowed, match="does not answer"):
                await asked.ask("put", ITEM, 1, OWNER)

    run(main())
