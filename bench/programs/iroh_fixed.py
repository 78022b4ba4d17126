"""QUIC by iroh, in Rust behind a Python binding: one stream, by address, without a relay.

The binding of this version copies what is written byte by byte in Python, at some 11 MB/s. That says nothing
about iroh, so one method of it is replaced here; hence the name of this peer.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
from contextlib import suppress
from typing import Any, Final

from iroh import iroh_ffi as iroh

from bench.programs.count import PIECE, Count, arguments, ready

PROTOCOL: Final = b"repram-bench"
SERVER: Final = bytes(
    [1] * 32
)  # a secret key that both know, so that the client knows the public one
CLIENT: Final = bytes([2] * 32)
READ: Final = 1 << 20


def _write_at_once(self: Any, value: bytes) -> None:  # noqa: ANN401 -- the binding has no types
    with self._reserve(len(value)):
        start = ctypes.addressof(self.rbuf.data.contents) + self.rbuf.len
        ctypes.memmove(start, value, len(value))


iroh._UniffiRustBufferBuilder.write = _write_at_once  # noqa: SLF001 -- see above


async def bind(address: str, key: bytes) -> Any:  # noqa: ANN401 -- the binding has no types
    """An endpoint that tells nobody of itself."""
    return await iroh.Endpoint.bind(
        iroh.EndpointOptions(
            preset=iroh.preset_minimal(),
            bind_addr=address,
            secret_key=key,
            alpns=[PROTOCOL],
            relay_mode=iroh.RelayMode.disabled(),
        )
    )


async def serve(host: str, port: int) -> None:
    """Sends to one client after the other."""
    endpoint = await bind(f"{host}:{port}", SERVER)
    piece = bytes(PIECE)
    ready()
    while True:
        accepting = await (await endpoint.accept_next()).accept()
        connection = await accepting.connect()
        streams = await connection.accept_bi()
        sending = streams.send()
        with suppress(iroh.IrohError):
            while True:
                await sending.write_all(piece)


async def fetch(host: str, port: int, seconds: float, size: int) -> None:
    """Receives until the time is up or all has come."""
    endpoint = await bind("0.0.0.0:0", CLIENT)
    where = iroh.EndpointAddr(iroh.SecretKey.from_bytes(SERVER).public(), None, [f"{host}:{port}"])
    connection = await endpoint.connect(where, PROTOCOL)
    streams = await connection.open_bi()
    count = Count(size)
    await streams.send().write_all(b"\0")  # a stream that nobody wrote to is not seen
    receiving = streams.recv()
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while count.add(len(await receiving.read(READ))):
                pass
    count.tell()
    connection.close(0, b"")
    os._exit(0)  # the binding's threads would wait for a read that was given up


if __name__ == "__main__":
    args = arguments()
    if args.role == "serve":
        asyncio.run(serve(args.host, args.port))
    else:
        asyncio.run(fetch(args.host, args.port, args.seconds, args.size))
