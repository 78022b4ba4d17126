"""What running a command takes: the fastest loop there is, and where to listen."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, TypeVar

from repram.errors import Cancelled
from repram.ids import DEFAULT_PORT, HostPort
from repram_cli.start import keep_tidy

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")

GO_ON: Final = "Run the same command again: it goes on where this one stopped."


def run(command: Coroutine[Any, Any, T], *, plain: bool = False, hint: str = "") -> T:
    """Run to the end; Ctrl-C cancels it, lets it clean up, and is told as Cancelled, with the hint."""
    import asyncio  # half of what it takes to start, which `--help` and others do without

    keep_tidy()
    factory = asyncio.new_event_loop if plain else _loop_factory()
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(command)
    except KeyboardInterrupt:
        raise Cancelled("interrupted", hint=hint) from None


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:  # not on every platform
        import asyncio

        return asyncio.new_event_loop
    return uvloop.new_event_loop


def listen_address(text: str) -> tuple[str, int]:
    """Like a node's host and port, but port 0 may stand here too."""
    host, colon, port = text.rpartition(":")
    if colon and port == "0":
        return HostPort.parse(f"{host}:{DEFAULT_PORT}").host, 0
    at = HostPort.parse(text)
    return at.host, at.port
