"""Three pages over HTTP for whoever watches the node: /metrics, /healthz, /readyz.

They need no secret and show none. It is as much of HTTP/1.1 as a prober needs: one GET or HEAD a connection,
small, soon, and few at a time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple

from repram.errors import RepramError
from repram.storaged.exposition import CONTENT_TYPE

DEFAULT_AT: Final = ("127.0.0.1", 7481)
_HEAD_MAX: Final = 8192
_LEFTOVERS_MAX: Final = 1 << 17
_PATIENCE: Final = 5.0  # seconds for a request to come, and for its answer to go
_AT_ONCE: Final = 32
_PLAIN: Final = "text/plain; charset=utf-8"
_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}

_log = logging.getLogger(__name__)


class Watched(NamedTuple):
    """What the pages show, asked each time; `unhealthy` and `unready` say why, or nothing."""

    metrics: Callable[[], str]
    unhealthy: Callable[[], str]  # it should be restarted, or its disk looked after
    unready: Callable[[], str]  # it should be sent no requests just now


class _Page(NamedTuple):
    status: int
    text: str
    kind: str = _PLAIN


class Health:
    """The server behind the pages."""

    def __init__(self, watched: Watched, *, patience: float = _PATIENCE) -> None:
        self._watched = watched
        self._patience = patience
        self._open = 0
        self._server: asyncio.Server | None = None

    async def start(self, at: tuple[str, int] = DEFAULT_AT) -> tuple[str, int]:
        """Answers from now on; where."""
        try:
            self._server = await asyncio.start_server(self._attend, *at, limit=_HEAD_MAX)
        except OSError as error:
            raise RepramError(
                f"cannot show metrics at {at[0]} port {at[1]}: {error.strerror or error}",
                hint="Choose another place with --metrics HOST:PORT, or turn them off with --metrics ''.",
            ) from error
        host, port = self._server.sockets[0].getsockname()[:2]
        return str(host), int(port)

    async def close(self) -> None:
        """Answers no more; connections that are open end by themselves within seconds."""
        if self._server is not None:
            self._server.close()

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._open >= _AT_ONCE:
            writer.transport.abort()
            return
        self._open += 1
        try:
            # Whoever asked has gone (a RuntimeError under uvloop), or does not read.
            with suppress(OSError, RuntimeError, TimeoutError):
                page, head_only = await self._ask(reader)
                async with asyncio.timeout(self._patience):
                    await _answer(reader, writer, _response(page, head_only=head_only))
        finally:
            self._open -= 1
            writer.close()

    async def _ask(self, reader: asyncio.StreamReader) -> tuple[_Page, bool]:
        """The page that is asked for, and whether without its text."""
        try:
            async with asyncio.timeout(self._patience):
                head = await reader.readuntil(b"\r\n\r\n")
        except TimeoutError:
            return _Page(408, "the request did not come in time\n"), False
        except asyncio.LimitOverrunError:
            return _Page(431, f"a request of more than {_HEAD_MAX} bytes\n"), False
        except asyncio.IncompleteReadError:
            return _Page(400, "the request ended too early\n"), False
        return self._page(head)

    def _page(self, head: bytes) -> tuple[_Page, bool]:
        match head.split(b"\r\n", 1)[0].split(b" "):
            case [method, path, version] if version.startswith(b"HTTP/1.") and path[:1] == b"/":
                pass
            case _:
                return _Page(400, "this is not an HTTP/1.1 request\n"), False
        if method not in (b"GET", b"HEAD"):
            return _Page(405, "only GET and HEAD are answered\n"), False
        try:
            return self._shown(path.split(b"?", 1)[0]), method == b"HEAD"
        except Exception:  # noqa: BLE001  # a bug behind one page must not take the others away
            _log.exception("a page of health or metrics failed")
            return _Page(500, "something went wrong inside the node\n"), False

    def _shown(self, path: bytes) -> _Page:
        if path == b"/metrics":
            return _Page(200, self._watched.metrics(), CONTENT_TYPE)
        if path == b"/healthz":
            return _verdict(self._watched.unhealthy())
        if path == b"/readyz":
            return _verdict(self._watched.unready())
        return _Page(404, "there are /metrics, /healthz and /readyz\n")


async def _answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, response: bytes
) -> None:
    """Send it; a close over bytes unread would take the answer from the other side, so some are read."""
    writer.write(response)
    writer.write_eof()
    for _ in range(_LEFTOVERS_MAX // _HEAD_MAX):
        if not await reader.read(_HEAD_MAX):
            return


def _verdict(reason: str) -> _Page:
    return _Page(503, f"{reason}\n") if reason else _Page(200, "ok\n")


def _response(page: _Page, *, head_only: bool) -> bytes:
    text = page.text.encode()
    lines = [
        f"HTTP/1.1 {page.status} {_REASONS[page.status]}",
        f"Content-Type: {page.kind}",
        f"Content-Length: {len(text)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
        *(["Allow: GET, HEAD"] if page.status == 405 else []),
    ]
    head = "\r\n".join([*lines, "", ""]).encode()
    return head if head_only else head + text
