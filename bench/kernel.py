"""Settings of the whole machine, widened while benchmarks run and put back by the last of them to end.

The first run writes down what it found; whoever finds nobody else left restores it. So runs beside each
other do not undo one another, and what a killed run left behind is put right by the next.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

SHARED: Final = Path("/run/repram-bench")
FOUND: Final = SHARED / "found.json"
SYSCTL: Final = Path("/proc/sys")

LARGE: Final = 32 << 20
STOCK: Final = 212_992  # what Linux lets a program ask for unless told otherwise
ALLOWED_CONGESTION: Final = "net/ipv4/tcp_allowed_congestion_control"


def _socket_buffers(size: int) -> dict[str, str]:
    return {"net/core/rmem_max": str(size), "net/core/wmem_max": str(size)}


def _wide() -> dict[str, str]:
    """Buffers for any peer's own tuning, room for bursts, and every congestion control for namespaces."""
    available = (SYSCTL / "net/ipv4/tcp_available_congestion_control").read_text().strip()
    return {
        **_socket_buffers(LARGE),
        "net/core/netdev_max_backlog": "10000",
        ALLOWED_CONGESTION: available,
    }


@contextmanager
def widened() -> Iterator[None]:
    """The machine with wide settings."""
    SHARED.mkdir(exist_ok=True)
    with (SHARED / "users").open("w") as users:
        with _one_at_a_time():
            fcntl.flock(users, fcntl.LOCK_SH)
            wide = _wide()
            if not FOUND.exists():
                FOUND.write_text(json.dumps({name: _read(name) for name in wide}))
            _write(wide)
        try:
            yield
        finally:
            with _one_at_a_time():
                _restore_unless_shared(users.fileno())


@contextmanager
def stock_buffers() -> Iterator[None]:
    """Inside `widened`: socket buffers as a machine that nobody tuned has them."""
    _write(_socket_buffers(STOCK))
    try:
        yield
    finally:
        _write(_socket_buffers(LARGE))


def _restore_unless_shared(users: int) -> None:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    _write(json.loads(FOUND.read_text()))
    FOUND.unlink()


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    with (SHARED / "turn").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        yield


def _read(name: str) -> str:
    return (SYSCTL / name).read_text().strip()


def _write(settings: Mapping[str, str]) -> None:
    for name, value in settings.items():
        (SYSCTL / name).write_text(value)
