"""The pages that a prober reads, over real sockets; whatever else comes is refused and harms nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from prometheus_client.parser import text_string_to_metric_families

from repram.errors import RepramError
from repram.storaged.health import Health, Watched
from repram.storaged.metrics import Metrics, Standing
from tests.conftest import Run

At = tuple[str, int]


@dataclass
class State:
    """What the node would say of itself."""

    unhealthy: str = ""
    unready: str = ""


@asynccontextmanager
async def shown(state: State | None = None, *, patience: float = 5.0) -> AsyncIterator[At]:
    """Where the pages of a node in this state are."""
    now, metrics = state or State(), Metrics(started=0)
    watched = Watched(
        lambda: metrics.page(Standing(tier="memory", capacity=1, used=0, items={})),
        lambda: now.unhealthy,
        lambda: now.unready,
    )
    health = Health(watched, patience=patience)
    at = await health.start(("127.0.0.1", 0))
    try:
        yield at
    finally:
        await health.close()


async def sent(at: At, request: bytes, *, eof: bool = False) -> bytes:
    """All that comes back."""
    reader, writer = await asyncio.open_connection(*at)
    try:
        writer.write(request)
        if eof:
            writer.write_eof()
        return await reader.read()
    finally:
        writer.close()


async def got(at: At, path: str, method: str = "GET") -> tuple[int, dict[str, str], str]:
    """Status, header fields, text."""
    head, _, text = (
        await sent(at, f"{method} {path} HTTP/1.1\r\nHost: node\r\n\r\n".encode())
    ).partition(b"\r\n\r\n")
    first, *fields = head.decode().split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in fields), text.decode()


def test_metrics_are_what_prometheus_reads(run: Run[None]) -> None:
    async def main() -> None:
        async with shown() as at:
            status, fields, text = await got(at, "/metrics")
        assert status == 200
        assert fields["Content-Type"].startswith("text/plain; version=0.0.4")
        assert int(fields["Content-Length"]) == len(text.encode())
        assert "repram_storaged_items" in {f.name for f in text_string_to_metric_families(text)}

    run(main())


def test_health_and_readiness_say_why_not(run: Run[None]) -> None:
    async def main() -> None:
        state = State()
        async with shown(state) as at:
            assert await got(at, "/healthz") == (200, *(await got(at, "/readyz"))[1:])
            state.unready = "the clock is not settled"
            assert (await got(at, "/readyz"))[::2] == (503, "the clock is not settled\n")
            assert (await got(at, "/healthz"))[::2] == (200, "ok\n")
            state.unhealthy = "the disk refuses writes"
            assert (await got(at, "/healthz"))[::2] == (503, "the disk refuses writes\n")

    run(main())


def test_a_head_has_no_text(run: Run[None]) -> None:
    async def main() -> None:
        async with shown() as at:
            status, fields, text = await got(at, "/healthz?verbose=1", "HEAD")
        assert (status, fields["Content-Length"], text) == (200, "3", "")

    run(main())


async def answered(at: At) -> bool:
    """Whether the node takes one connection more."""
    try:
        return (await got(at, "/healthz"))[0] == 200
    except (OSError, IndexError):  # it hung up
        return False


REFUSED = {
    "another page": (b"GET /secrets HTTP/1.1\r\n\r\n", 404),
    "a page that climbs": (b"GET /metrics/../../etc/passwd HTTP/1.1\r\n\r\n", 404),
    "the root": (b"GET / HTTP/1.1\r\n\r\n", 404),
    "a POST": (b"POST /metrics HTTP/1.1\r\nContent-Length: 1\r\n\r\nx", 405),
    "a method in lower case": (b"get /metrics HTTP/1.1\r\n\r\n", 405),
    "another protocol": (b"GET /metrics SPDY/3\r\n\r\n", 400),
    "another host's page": (b"GET http://elsewhere/metrics HTTP/1.1\r\n\r\n", 400),
    "three spaces": (b"GET  /metrics HTTP/1.1\r\n\r\n", 400),
    "no request": (b"\x16\x03\x01\x02\x00\r\n\r\n", 400),
    "a line that is too long": (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n", 431),
    "fields without an end": (b"GET /metrics HTTP/1.1\r\n" + b"a: b\r\n" * 4_000, 431),
}


@pytest.mark.parametrize("what", REFUSED)
def test_anything_else_is_refused(run: Run[None], what: str) -> None:
    async def main() -> None:
        request, status = REFUSED[what]
        async with shown() as at:
            answer = await sent(at, request)
            assert answer.startswith(b"HTTP/1.1 %d " % status)
            assert (b"Allow: GET, HEAD\r\n" in answer) == (status == 405)
            assert (await got(at, "/healthz"))[0] == 200

    run(main())


def test_a_request_that_ends_early_or_never_comes_is_closed(run: Run[None]) -> None:
    async def main() -> None:
        async with shown(patience=0.1) as at:
            assert b" 400 " in await sent(at, b"GET /metr", eof=True)
            assert b" 408 " in await sent(at, b"GET /metr")

    run(main())


def test_only_so_many_are_attended_at_once(run: Run[None]) -> None:
    async def main() -> None:
        async with shown() as at:
            waiting = [await asyncio.open_connection(*at) for _ in range(32)]
            assert not await answered(at)
            for _, writer in waiting:
                writer.close()
            async with asyncio.timeout(10):
                while not await answered(at):
                    pass

    run(main())


def test_a_page_that_fails_is_logged_and_takes_no_other_away(
    run: Run[None], caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> str:
        raise ZeroDivisionError

    async def main() -> None:
        health = Health(Watched(broken, str, str))
        at = await health.start(("127.0.0.1", 0))
        assert (await got(at, "/metrics"))[0] == 500
        assert (await got(at, "/healthz"))[0] == 200
        await health.close()

    with caplog.at_level(logging.ERROR):
        run(main())
    assert "a page of health or metrics failed" in caplog.text


def test_a_port_that_is_taken_is_named_with_what_to_do(run: Run[None]) -> None:
    async def main() -> None:
        async with shown() as at:
            with pytest.raises(RepramError, match=f"port {at[1]}") as refused:
                await Health(Watched(str, str, str)).start(at)
            assert "--metrics" in refused.value.hint

    run(main())
