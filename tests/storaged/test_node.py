"""A whole node inside the test's process: its gate, its clock and its owner, over real sockets."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from repram.crypto.links import Invite
from repram.errors import ClockRefused, IntegrityFailure, NotAllowed, RateLimited, WrongSecret
from repram.proto.connection import Secret
from repram.proto.endpoint import Endpoint
from repram.proto.messages import STORAGE, About, Has, Here, Put, Reply, Request
from repram.proto.messages import Node as Described
from repram.proto.rpc import Caller
from repram.storaged import clock, control
from repram.storaged.clock import Mark
from repram.storaged.folder import Folder, Setup
from repram.storaged.marks import MarkFile
from repram.storaged.node import Node
from repram.storaged.owner import Owner
from tests.conftest import Run
from tests.leases import ALICE

SEED = bytes(range(32))


@asynccontextmanager
async def running(folder: Path, setup: Setup) -> AsyncIterator[tuple[Node, Owner]]:
    stop = asyncio.Event()
    at = Folder(folder)
    at.make()
    node = await Node.open(at, setup, ("127.0.0.1", 0), identity=SEED)
    serving = asyncio.create_task(node.serve(stop))
    try:
        yield node, Owner(node, stop)
    finally:
        stop.set()
        await serving


@asynccontextmanager
async def asking(node: Node, secret: Secret | None = None) -> AsyncIterator[Caller[Request, Reply]]:
    at = node.front.address.at
    async with await Endpoint.open() as endpoint:
        session = await endpoint.connect((at.host, at.port), node.address.key, secret=secret)
        yield Caller(session, STORAGE)


async def about(caller: Caller[Request, Reply]) -> Described:
    reply = await caller.ask(About())
    assert isinstance(reply, Described)
    return reply


async def store(caller: Caller[Request, Reply], node: Node, body: bytes = b"sealed") -> Put:
    put = ALICE.put(body, node.clock.now())
    await caller.call(put, body=body)
    return put


def secret_of(line: str) -> Secret:
    invite = Invite.parse(line)
    return Secret(invite.id, invite.secret)


def test_an_invite_lets_in_until_it_is_revoked(run: Run[Any], tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path, Setup()) as (node, owner):
            line = (await owner.answer(control.Invite("laptop", quota=1 << 20)))["invite"]
            async with asking(node) as stranger, asking(node, secret_of(line)) as friend:
                assert not (await about(stranger)).may_store
                with pytest.raises(NotAllowed):
                    await store(stranger, node)
                assert (await about(friend)).may_store
                await store(friend, node)
                described = await about(friend)
                assert described.quota == 1 << 20
                assert 0 < described.quota_used < 1 << 20
                await owner.answer(control.Revoke("laptop"))
                with pytest.raises(NotAllowed, match="revoked"):
                    await store(friend, node)

    run(main())


def test_a_revoked_invite_opens_no_session(tmp_path: Path) -> None:
    """On one loop only: a caller is slow to believe that it was refused, for anyone could say so."""

    async def main() -> None:
        async with running(tmp_path, Setup()) as (node, owner):
            line = (await owner.answer(control.Invite("laptop")))["invite"]
            await owner.answer(control.Revoke("laptop"))
            with pytest.raises(WrongSecret):
                async with asking(node, secret_of(line)):
                    pass

    asyncio.run(main())


def test_a_restart_knows_its_invites(run: Run[Any], tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path, Setup()) as (_, owner):
            line = (await owner.answer(control.Invite("laptop")))["invite"]
        async with running(tmp_path, Setup()) as (node, _), asking(node, secret_of(line)) as friend:
            assert (await about(friend)).may_store

    run(main())


def test_a_policy_is_asked_before_anything_is_taken(run: Run[Any], tmp_path: Path) -> None:
    answer = json.dumps({"allow": False, "reason": "never"})
    command = (sys.executable, "-c", f"while input(): print({answer!r}, flush=True)")

    async def main() -> None:
        setup = Setup(public=True, policy=command)
        async with running(tmp_path, setup) as (node, _), asking(node) as anyone:
            with pytest.raises(NotAllowed, match="never"):
                await store(anyone, node)

    run(main())


def test_who_asks_too_often_is_told_so(run: Run[Any], tmp_path: Path) -> None:
    async def main() -> None:
        setup = Setup(rate=1, burst=3)
        async with running(tmp_path, setup) as (node, _), asking(node) as anyone:
            asked = [anyone.ask(Has(())) for _ in range(30)]
            outcomes = await asyncio.gather(*asked, return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} == {Here, RateLimited}

    run(main())


def test_false_bodies_cost_who_brings_them_more_than_others(run: Run[Any], tmp_path: Path) -> None:
    async def main() -> None:
        setup = Setup(public=True, rate=1, burst=100)
        async with running(tmp_path, setup) as (node, _), asking(node) as anyone:
            put = ALICE.put(b"what it is", node.clock.now())
            for _ in range(9):
                with pytest.raises(IntegrityFailure):
                    await anyone.call(put, body=b"what isn't")
            true = [anyone.call(put, body=b"what it is") for _ in range(9)]
            outcomes = await asyncio.gather(*true, return_exceptions=True)
            assert RateLimited in {type(outcome) for outcome in outcomes}

    run(main())


def test_a_node_that_does_not_know_the_time_holds_everything(run: Run[Any], tmp_path: Path) -> None:
    """After a boot, with the clock a day behind the mark; until its owner says otherwise."""

    async def main() -> None:
        setup = Setup(public=True, disk="store")
        async with running(tmp_path, setup) as (node, _), asking(node) as anyone:
            put = await store(anyone, node)
        behind = MarkFile.open(tmp_path / "clock")
        behind.write(Mark(node.clock.now() + 10_000, 0, b"another boot"))
        behind.close()
        async with running(tmp_path, setup) as (node, owner):
            assert not (await owner.answer(control.Clock()))["settled"]
            async with asking(node) as anyone:
                for request in (Has((put.id,)), About()):
                    with pytest.raises(ClockRefused):
                        await anyone.ask(request)
            assert (await owner.answer(control.Clock(accept=True)))["settled"]
            async with asking(node) as anyone:
                here = await anyone.ask(Has((put.id,)))
                assert isinstance(here, Here)
                assert 0 < here.remaining[0] <= 50_000

    run(main())


def test_a_restart_goes_by_its_mark_and_not_by_the_wall_clock(
    run: Run[Any], tmp_path: Path
) -> None:
    async def main() -> None:
        setup = Setup(public=True, disk="store")
        async with running(tmp_path, setup) as (node, _):
            pass
        now = clock.read()
        ahead = MarkFile.open(tmp_path / "clock")
        ahead.write(Mark(now.wall + 86_400_000, now.boot, now.boot_id))
        ahead.close()
        async with running(tmp_path, setup) as (node, _), asking(node) as anyone:
            assert node.clock.now() >= now.wall + 86_400_000
            described = await about(anyone)
            assert described.time >= now.wall + 86_400_000
            with pytest.raises(ClockRefused, match="apart"):
                await store(anyone, node)

    run(main())


def test_callers_are_told_the_nodes_time(run: Run[Any], tmp_path: Path) -> None:
    async def main() -> None:
        setup = Setup(public=True)
        async with running(tmp_path, setup) as (node, _), await Endpoint.open() as endpoint:
            at = node.address.at
            session = await endpoint.connect((at.host, at.port), node.address.key)
            assert abs(session.peer_time - node.clock.now()) < 1_000

    run(main())
