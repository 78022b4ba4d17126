"""Token buckets: so many requests a second, and so many at once, for each of those who ask."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from repram.errors import RateLimited

RATE: Final = 20_000
BURST: Final = 40_000
KNOWN_MAX: Final = 65_536  # who has not asked for the longest time is forgotten first


class Buckets:
    """A rate of 0 limits nothing. The time is a monotonic one, in seconds."""

    def __init__(
        self, rate: float, burst: float, time: Callable[[], float], *, known_max: int = KNOWN_MAX
    ) -> None:
        self._rate, self._burst, self._time = rate, burst, time
        self._known_max = known_max
        self._known: OrderedDict[bytes | str, list[float]] = OrderedDict()  # tokens, as of when

    def take(self, who: bytes | str) -> None:
        """One request more; raises RateLimited when the bucket is empty."""
        if not self._rate:
            return
        now = self._time()
        bucket = self._known.get(who)
        if bucket is None:
            bucket = self._known[who] = [self._burst, now]
            if len(self._known) > self._known_max:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(who)
            bucket[0] = min(self._burst, bucket[0] + (now - bucket[1]) * self._rate)
            bucket[1] = now
        if bucket[0] < 1:
            raise RateLimited(f"more than {self._rate:g} requests a second came from you")
        bucket[0] -= 1

    def forfeit(self, who: bytes | str, share: float) -> None:
        """So much of a full bucket is gone; what there was not is owed, up to a full bucket."""
        if who in self._known:
            bucket = self._known[who]
            bucket[0] = max(-self._burst, bucket[0] - share * self._burst)

    def __len__(self) -> int:
        return len(self._known)


@lru_cache(4096)
def network_of(host: str) -> str:
    """Whom an address stands for: itself, or for IPv6 its /64, which one machine may have all of."""
    return _network_of(host) if ":" in host else host


@lru_cache(maxsize=1024)
def _network_of(host: str) -> str:
    address = ipaddress.IPv6Address(host.partition("%")[0])
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))
