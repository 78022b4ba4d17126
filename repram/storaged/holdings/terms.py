"""The one rule about signed times: a deadline in the node's time, and never more than the TTL to come."""

from __future__ import annotations

from typing import Final

from repram.errors import ClockRefused, UsageError
from repram.ids import format_duration
from repram.proto.messages import TTL_MAX

SKEW: Final = 2_000  # milliseconds by which a signer's clock may be ahead of the node's


def check_terms(what: str, deadline: int, ttl: int, shortest: int, now: int) -> int:
    """By how much the signer's clock is ahead: for so long before the deadline it is over already.

    Raises UsageError for what is out of bounds or over, and ClockRefused for a clock too far ahead.
    """
    if not shortest <= ttl <= TTL_MAX:
        raise UsageError(
            f"{what} lives {format_duration(shortest)} to {format_duration(TTL_MAX)}, "
            f"not {ttl / 1000:g} s"
        )
    ahead = max(0, deadline - ttl - now)
    if ahead > SKEW:
        raise ClockRefused(
            f"{what} was signed {ahead} ms ahead of this node's clock, and {SKEW} ms are allowed"
        )
    if deadline - ahead <= now:
        raise UsageError(f"{what} was over {now - deadline} ms ago by this node's clock")
    return ahead
