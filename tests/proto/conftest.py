"""What tests over real sockets need."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.proto.live import ipv6


@pytest.fixture
def nothing_is_left() -> Iterator[None]:
    """Every socket and timer that a test opened is closed when it ends."""
    before = descriptors()
    yield
    gc.collect()
    assert descriptors() <= before


def descriptors() -> set[str]:
    """What is open of the kinds that an endpoint opens; a loop keeps others of its own."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # that of the listing itself
            found.add(str(link.readlink()))
    return {name for name in found if name.startswith(("socket:", "anon_inode:[timerfd]"))}


@pytest.fixture(params=["127.0.0.1", pytest.param("::1", marks=ipv6)])
def host(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found
