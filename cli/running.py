"""Runs a command's coroutine on the fastest loop there is."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from repram.errors import Cancelled

try:
    from uvloop import new_event_loop
except ImportError:  # not on every platform
    new_event_loop = asyncio.new_event_loop

T = TypeVar("T")


def run(command: Coroutine[Any, Any, T]) -> T:
    """Run to the end; Ctrl-C cancels it, lets it clean up, and is told as Cancelled."""
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            return runner.run(command)
    except KeyboardInterrupt:
        raise Cancelled("interrupted") from None
