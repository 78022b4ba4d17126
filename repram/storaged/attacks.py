"""What the transport fends off, told in one log line a minute for each kind; the metrics have every count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple


class Kind(NamedTuple):
    """A kind of attack: the counters that show it, and from how many a minute on it is worth a line."""

    name: str
    counters: tuple[str, ...]
    noise: int
    what: str


_KINDS: Final = (
    Kind("flood", ("retries_out", "dropped_callers"), 100,
         "callers were asked to prove their address first, or not heard"),
    Kind("calls", ("handshakes_limited",), 10, "calls came too fast from one source"),
    Kind("strangers", ("dropped_mac",), 100, "callers meant another node, or nobody"),
    Kind("handshakes", ("dropped_handshake",), 100, "handshakes came to nothing"),
    Kind("forgeries", ("dropped_auth",), 100, "packets under the wrong keys were dropped"),
    Kind("replays", ("dropped_replay",), 1_000, "packets that had come before were dropped"),
    Kind("noise", ("dropped_crc", "dropped_short", "dropped_length", "dropped_type", "dropped_flags"),
         100, "datagrams that are no packets were dropped"),
    Kind("unknown", ("dropped_session",), 1_000, "packets came for sessions that are not there"),
    Kind("memory", ("dropped_memory",), 10, "packets were dropped for want of memory"),
    Kind("slow", ("slow_closes",), 1, "peers moved nothing of what they held up: they were cut off"),
    Kind("breaches", ("protocol_errors",), 1, "peers broke the protocol: their sessions are closed"),
)  # fmt: skip


class Attacks:
    """Compares the transport's counters with those of a minute before."""

    def __init__(self) -> None:
        self._before: Mapping[str, int] = {}

    def noticed(self, counters: Mapping[str, int]) -> Iterator[tuple[Kind, int]]:
        """What came about more often than noise does, and how often."""
        before, self._before = self._before, dict(counters)
        for kind in _KINDS:
            since = [counters.get(name, 0) - before.get(name, 0) for name in kind.counters]
            count = sum(max(0, each) for each in since)  # another endpoint starts at nothing
            if count >= kind.noise:
                yield kind, count
