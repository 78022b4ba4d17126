"""The links that were made here: looked up, extended, revoked, and forgotten when they are over."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from repram.errors import Conflict, NotAllowed, NotFound, Unreachable, UsageError
from repram.sdk import Client
from repram.sdk import links as links_module
from tests.conftest import Run
from tests.sdk.storing import storing

CONTENT = bytes(40 << 20)  # more than a batch


def test_a_link_is_looked_up_by_its_text_or_the_beginning_of_its_id(run: Run[None]) -> None:
    async def main() -> None:
        async with storing() as (_, address), Client(address) as client:
            link = await client.upload(io.BytesIO(b"x"), name="one", ttl="1h")
            other = await client.upload(io.BytesIO(b"yy"), name="two", downloads=3)
            newest, oldest = await client.links.ls()
            assert (newest.link, newest.name, newest.size, newest.downloads) == (other, "two", 2, 3)
            assert oldest.expires - oldest.made == 3_600_000
            for which in (str(link), link, str(link.item)[:8]):
                made, (standing,) = await client.links.info(which)
                assert made == oldest
                assert 3_500_000 < standing.remaining <= 3_600_000
                assert standing.left is None
            _, (standing,) = await client.links.info(other)
            assert (standing.left, standing.under_way) == (3, 0)
            with pytest.raises(NotFound, match="no link that lives"):
                await client.links.info("AAAAAAAA")
            with pytest.raises(UsageError, match="first 4 characters"):
                await client.links.info("A")

    run(main())


def test_a_revoked_link_is_gone_from_every_host_and_so_are_its_keys_from_here(
    run: Run[None], tmp_path: Path
) -> None:
    async def main() -> None:
        async with storing() as (one, first), storing() as (other, second):  # noqa: SIM117
            async with Client(hosts=(first, second), state=tmp_path) as client:
                link = await client.upload(io.BytesIO(CONTENT), name="file")
                (path,) = (tmp_path / "links").iterdir()
                assert link.secret in path.read_bytes()
                revoked = await client.links.revoke(link)
                assert (revoked.state, revoked.link, revoked.name) == ("revoked", None, "file")
                assert not list(one.service.chunks._batches)
                assert not list(other.service.chunks._batches)
                assert link.secret not in path.read_bytes()
                assert path.stat().st_size < 1_000
                what = [each.what for each in await client.links.history(link)]
                assert what == ["made", "revoked"]
                with pytest.raises(NotAllowed, match="was revoked"):
                    await client.links.extend(link, "2d")
                with pytest.raises(NotFound):
                    await client.download_into(link, io.BytesIO())

    run(main())


def test_a_link_that_could_not_be_revoked_everywhere_can_be_revoked_again(run: Run[None]) -> None:
    async def main() -> None:
        async with Client(timeout=0.3, patience=0) as client:
            async with storing() as (_, first), storing() as (_, second):  # noqa: SIM117
                async with Client(hosts=(first, second)) as sender:
                    link = await sender.upload(io.BytesIO(b"x"))
            with pytest.raises(Unreachable, match="could not be told to forget it"):
                await client.links.revoke(link)
            (made,) = await client.links.ls()
            assert made.state == "live"

    run(main())


def test_an_extended_link_lives_longer_with_every_part_of_it(run: Run[None]) -> None:
    async def main() -> None:
        async with storing() as (node, address), Client(address) as client:
            for downloads in (None, 5):
                link = await client.upload(io.BytesIO(CONTENT), ttl="60s", downloads=downloads)
                made = await client.links.extend(link, "2h")
                again = await client.links.extend(link, "3h")
                assert again.expires > made.expires > made.made + 7_000_000
                with pytest.raises(UsageError, match="already"):
                    await client.links.extend(link, "60s")
                what = [each.what for each in await client.links.history(link)]
                assert what == ["made", "extended", "extended"]
                _, (standing,) = await client.links.info(link)
                assert standing.remaining > 10_000_000
            now = node.service._now()
            assert all(entry.until - now > 10_000_000 for entry in node.book.entries())

    run(main())


def test_a_link_whose_time_is_over_is_forgotten_here_too(
    run: Run[None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with storing() as (_, address), Client(address, state=tmp_path) as client:
            await client.upload(io.BytesIO(b"x"), ttl="60s")
            (made,) = await client.links.ls()
            monkeypatch.setattr(links_module, "_now", lambda: made.expires)
            assert await client.links.ls() == ()
            assert list((tmp_path / "links").iterdir()) == []

    run(main())


def test_what_a_killed_program_left_half_written_is_no_link_and_goes(
    run: Run[None], tmp_path: Path
) -> None:
    async def main() -> None:
        async with storing() as (_, address), Client(address, state=tmp_path) as client:
            link = await client.upload(io.BytesIO(b"x"))
            whole = tmp_path / "links" / str(link.item)
            old, new = whole.with_suffix(".old"), whole.with_suffix(".new")
            for path in (old, new):
                path.write_bytes(whole.read_bytes())
                path.chmod(0o600)
            os.utime(old, (0, 0))
            assert [made.id for made in await client.links.ls()] == [link.item]
            assert {path.name for path in (tmp_path / "links").iterdir()} == {whole.name, new.name}

    run(main())


def test_two_programs_do_not_change_one_link_at_once(run: Run[None], tmp_path: Path) -> None:
    async def main() -> None:
        async with storing() as (_, address), Client(address, state=tmp_path) as client:
            link = await client.upload(io.BytesIO(b"x"))
            made, _ = await client.links.info(link)
            with (
                client.links._journal(made),
                pytest.raises(Conflict, match="another program"),
            ):
                client.links._journal(made)

    run(main())
