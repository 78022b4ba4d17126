"""TLS 1.3 over TCP on uvloop, by protocols: the least that asyncio puts between a program and its bytes."""

from __future__ import annotations

import asyncio
import ssl
from typing import cast

import uvloop

from bench.certificate import client_context, server_context
from bench.programs.count import PIECE, Count, arguments, ready


class Source(asyncio.Protocol):
    """Writes whenever the transport has room."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._room = True
        self._pour()

    def pause_writing(self) -> None:
        self._room = False

    def resume_writing(self) -> None:
        self._room = True
        self._pour()

    def _pour(self) -> None:
        while self._room and not self._transport.is_closing():
            self._transport.write(PIECE)


class Sink(asyncio.BufferedProtocol):
    """Counts what comes, in one buffer."""

    def __init__(self, size: int) -> None:
        self._buffer = memoryview(bytearray(len(PIECE)))
        self._size = size
        self.count: Count

    def connection_made(self, _transport: asyncio.BaseTransport) -> None:
        self.count = Count(self._size)

    def get_buffer(self, _hint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, length: int) -> None:
        self.count.add(length)


async def serve(host: str, port: int, context: ssl.SSLContext) -> None:
    """Sends to whoever connects."""
    server = await asyncio.get_running_loop().create_server(Source, host, port, ssl=context)
    ready()
    await server.serve_forever()


async def fetch(host: str, port: int, context: ssl.SSLContext, seconds: float, size: int) -> None:
    """Receives until the time is up or all has come."""
    loop = asyncio.get_running_loop()
    transport, sink = await loop.create_connection(lambda: Sink(size), host, port, ssl=context)
    loop.call_later(seconds, sink.count.over.set)
    await sink.count.over.wait()
    sink.count.tell()
    transport.abort()


if __name__ == "__main__":
    args = arguments()
    if args.role == "serve":
        uvloop.run(serve(args.host, args.port, server_context(args.state)))
    else:
        context = client_context(args.state)
        uvloop.run(fetch(args.host, args.port, context, args.seconds, args.size))
