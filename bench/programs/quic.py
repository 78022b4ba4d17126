"""QUIC by aioquic, with windows and packets as large as they may usefully be."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from aioquic.asyncio import connect, serve
from aioquic.quic.configuration import QuicConfiguration

from bench.certificate import CERTIFICATE, KEY
from bench.programs.count import PIECE, Count, arguments, ready

WINDOW: Final = 32 << 20
DATAGRAM: Final = 1440  # bytes of UDP payload
STEP: Final = 1 << 18  # bytes that the client has asked for with each byte that it sends
AHEAD: Final = 4 << 20  # bytes written and not asked for yet: aioquic's drain() holds nobody back


def configuration(folder: str, *, is_client: bool) -> QuicConfiguration:
    """The same on both sides."""
    made = QuicConfiguration(
        is_client=is_client,
        alpn_protocols=["bench"],
        congestion_control_algorithm="cubic",
        max_data=WINDOW,
        max_stream_data=WINDOW,
        max_datagram_size=DATAGRAM,
    )
    if is_client:
        made.load_verify_locations(str(Path(folder, CERTIFICATE)))
    else:
        made.load_cert_chain(str(Path(folder, CERTIFICATE)), str(Path(folder, KEY)))
    return made


async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Stays a little ahead of what the client has seen, until it goes."""
    ahead = 0
    while asked := await reader.read(1024):
        ahead -= STEP * len(asked)
        while ahead < AHEAD:
            writer.write(PIECE)
            ahead += len(PIECE)
            await asyncio.sleep(0)  # the endpoint sends and hears between two pieces


async def fetch(host: str, port: int, folder: str, seconds: float, size: int) -> None:
    """Receives until the time is up or all has come."""
    settings = configuration(folder, is_client=True)
    async with connect(host, port, configuration=settings) as client:
        await client.wait_connected()
        reader, writer = await client.create_stream()
        count = Count(size)
        writer.write(b"\0")
        seen = 0
        try:
            async with asyncio.timeout(seconds):
                while count.add(len(await reader.read(STEP))):
                    while seen + STEP <= count.bytes:
                        writer.write(b"\0")
                        seen += STEP
        except TimeoutError:
            pass
        count.tell()


async def serve_all(host: str, port: int, folder: str) -> None:
    """Sends to whoever connects."""
    tasks: set[asyncio.Task[None]] = set()

    def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(pour(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    settings = configuration(folder, is_client=False)
    await serve(host, port, configuration=settings, stream_handler=handle)
    ready()
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    args = arguments()
    if args.role == "serve":
        asyncio.run(serve_all(args.host, args.port, args.state))
    else:
        asyncio.run(fetch(args.host, args.port, args.state, args.seconds, args.size))
