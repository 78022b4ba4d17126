"""One transfer in a process of its own, which tells on stdout how it goes: for tests that kill it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from repram.sdk import Began, Client, Moved, Transfer


def peak_memory() -> int:
    """Of this program alone: what getrusage tells begins with what its parent had when it was started."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


async def told(transfer: Transfer[object]) -> None:
    """One line an event."""
    async for event in transfer:
        if isinstance(event, Began):
            print("began", event.total, event.resumed, flush=True)
        elif isinstance(event, Moved):
            print("moved", event.done, flush=True)
    print("done", await transfer, flush=True)


async def main(verb: str, host: str, state: str, what: str, output: str) -> None:
    """`upload` a path, or `download` a link to an output."""
    async with Client(host, timeout=1, state=Path(state)) as client:
        if verb == "upload":
            await told(client.upload(what, ttl="10m"))
        else:
            await told(client.download(what, Path(output)))
    print("peak", peak_memory(), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
