"""A node that callers made by hand talk to."""

from __future__ import annotations

from repram.proto.connection import Core, Event, EventKind, Settings
from tests.proto.by_hand import SESSION, Talk

NOW = 1_000_000


def node(**settings: object) -> Core:
    """One that listens."""
    return Core(
        now=NOW,
        seed=b"n" * 32,
        identity=b"i" * 32,
        listen=True,
        settings=Settings(**settings),  # type: ignore[arg-type]
    )


def talk(
    core: Core | None = None, session: int = SESSION, *, rtt: float = 0, **limits: int
) -> Talk:
    """A caller by hand that the node has accepted."""
    begun = Talk(core or node(), NOW, session=session)
    begun.begin(rtt, **limits)
    return begun


def ending(begun: Talk) -> Event:
    """How the node says that its session ended."""
    (closed,) = (event for event in begun.node.events() if event.kind is EventKind.CLOSED)
    assert closed.connection is begun.connection
    return closed
