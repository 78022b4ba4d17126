"""The common ground of the programs: their arguments, what they move, and what they tell at the end."""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from typing import Final

PIECE: Final = memoryview(bytes(1 << 18))  # zeros: all peers seal what they send, so none gains


def arguments(*more: str) -> argparse.Namespace:
    """`serve HOST PORT` or `fetch HOST PORT --seconds S | --size N`, and flags of the program's own."""
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=("serve", "fetch"))
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--size", type=int, default=1 << 62)
    parser.add_argument("--state", help="folder that holds the certificate")
    for name in more:
        parser.add_argument(name)
    return parser.parse_args()


class Count:
    """Bytes that came since the session stood, and what that took."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.bytes = 0
        self.over = asyncio.Event()
        self._cpu, self._started = time.process_time(), time.monotonic()

    def add(self, length: int) -> bool:
        """Whether more is wanted."""
        self.bytes += length
        if self.bytes >= self.size:
            self.over.set()
        return self.bytes < self.size

    def tell(self) -> None:
        """Prints the line that the benchmark reads."""
        result = {
            "bytes": self.bytes,
            "seconds": time.monotonic() - self._started,
            "cpu_s": time.process_time() - self._cpu,
        }
        print(json.dumps(result), flush=True)


def ready() -> None:
    """Says that the server can be reached."""
    print("ready", flush=True)
