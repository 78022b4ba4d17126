"""A million sessions that begin, ask once and end leave nothing behind.

    python -m tests.proto.churn --sessions 1000000

Both ends are cores in this process, in virtual time: real handshakes and keys, no socket between them. Its
sibling over sockets is `python -m tests.storaged.crowd --churn`.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

from repram.proto.connection import Connection, Core, EventKind, Settings
from tests.processes import resident
from tests.proto.duo import CLIENT, SERVER

AT_ONCE = 50
QUESTION, ANSWER = b"what?", bytes(100)
LASTING = 5_000_000  # microseconds that a round takes: an ended session is remembered for less


class Churn:
    """A client that calls a server again and again."""

    def __init__(self) -> None:
        settings = Settings(max_sessions=4 * AT_ONCE, handshake_rate=0, memory=1 << 22)
        self.now = 1_000_000
        self.client = Core(now=self.now, seed=b"c" * 32, identity=None, settings=settings)
        self.server = Core(
            now=self.now, seed=b"s" * 32, identity=b"i" * 32, listen=True, settings=settings
        )
        self.answered = self.closed = 0

    def round(self) -> None:
        """So many sessions, from their first packet until nothing is left of them."""
        for _ in range(AT_ONCE):
            self.client.connect(SERVER, self.server.key, self.now)
        answered, end = self.answered + AT_ONCE, self.now + LASTING
        while self.answered < answered:
            self.exchange()
            self.tick(end)
        while self.now < end:
            self.exchange()
            self.tick(end)
        for core in (self.client, self.server):
            while core.events():
                pass
            left = core.counters()
            if left["sessions"] or left["streams"] or left["arena_used"]:
                raise AssertionError(f"left behind: {left}")

    def exchange(self) -> None:
        """What both have to say, until neither has more."""
        moved = True
        while moved:
            moved = False
            for core, other, source in (
                (self.client, self.server, CLIENT),
                (self.server, self.client, SERVER),
            ):
                self.serve(core)
                while out := core.transmit(self.now):
                    other.receive([(data, source) for data, _ in out], self.now)
                    moved = True

    def tick(self, end: int) -> None:
        """Time passes until one of them has something to do."""
        due = [each for core in (self.client, self.server) if (each := core.deadline()) is not None]
        self.now = min(end, max(self.now + 1, min(due, default=end)))
        for core in (self.client, self.server):
            core.handle_timeout(self.now)

    def serve(self, core: Core) -> None:
        """Asks, answers, and hangs up."""
        for event in core.events():
            if event.kind is EventKind.CONNECTED:
                event.connection.send(QUESTION)
            elif event.kind is EventKind.READABLE:
                self.read(core, event.connection, event.stream)
            elif event.kind is EventKind.CLOSED:
                self.closed += 1

    def read(self, core: Core, connection: Connection, stream: int) -> None:
        data, ended = connection.read(stream)
        if core is self.server and ended:
            connection.write(stream, ANSWER, fin=True)
        elif ended:
            assert data == ANSWER
            self.answered += 1
            connection.close(now=self.now)


def main() -> int:
    """Runs what is asked for; 1 when memory has grown."""
    parser = argparse.ArgumentParser(prog="python -m tests.proto.churn", description=__doc__)
    parser.add_argument("--sessions", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=1800, help="and for no longer than this")
    parser.add_argument("--growth", type=float, default=1.0, help="MiB that memory may grow by")
    arguments = parser.parse_args()
    churn, began, done = Churn(), time.perf_counter(), 0
    seen: list[tuple[int, int]] = []
    while done < arguments.sessions and time.perf_counter() - began < arguments.seconds:
        churn.round()
        done += AT_ONCE
        if done % 10_000 == 0:
            seen.append((done, resident(os.getpid())))
            spent = time.perf_counter() - began
            print(f"{done} sessions in {spent:.0f} s: {seen[-1][1] / 2**20:.2f} MiB", flush=True)
    if not seen:
        return 0
    first = seen[max(0, len(seen) // 10 - 1)][1]
    grown = (seen[-1][1] - first) / 2**20
    print(f"grown by {grown:.2f} MiB from the first tenth to the end, after {done} sessions")
    return int(grown > arguments.growth)


if __name__ == "__main__":
    sys.exit(main())
