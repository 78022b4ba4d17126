"""Hosts of our own on one machine: network namespaces with a router between them. Needs root."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)
FORWARDING = {
    4: Path("/proc/sys/net/ipv4/ip_forward"),
    6: Path("/proc/sys/net/ipv6/conf/all/forwarding"),
}
CHECKING = Path("/proc/sys/net/ipv6/conf/default/accept_dad")  # takes a second an address
FAMILIES = [family for family, path in FORWARDING.items() if path.exists()]
PREFIX = {4: 24, 6: 64}


def why_not() -> str:
    """Why this machine allows no namespaces; empty when it does."""
    if missing := [each for each in ("ip", "unshare") if not shutil.which(each)]:
        return f"{' and '.join(missing)} not found"
    tried = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False)
    return (
        "" if tried.returncode == 0 else f"no network namespaces: {tried.stderr.decode().strip()}"
    )


needs_namespaces = pytest.mark.skipif(bool(why_not()), reason=why_not())


@dataclass(frozen=True, slots=True)
class Host:
    """One namespace."""

    name: str

    def ip(self, *words: str) -> None:
        """Runs ip(8) in it."""
        subprocess.run(["ip", "-netns", self.name, *words], check=True)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """What this thread opens in the meantime belongs to this host."""
        with Path("/proc/thread-self/ns/net").open() as home:
            with Path("/run/netns", self.name).open() as there:
                _enter(there.fileno())
            try:
                yield
            finally:
                _enter(home.fileno())


def _enter(namespace: int) -> None:
    if LIBC.setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Network:
    """A client and a server, each on one side of a router. An interface is named after its neighbour."""

    def __init__(self, stack: ExitStack) -> None:
        self.router, self.client, self.server = (
            _host(stack, name) for name in ("router", "client", "server")
        )
        self._join("client", self.client)
        self._join("server", self.server)
        with self.router.entered():
            for family in FAMILIES:
                FORWARDING[family].write_text("1")

    def _join(self, name: str, host: Host) -> None:
        self.router.ip("link", "add", name, "type", "veth", "peer", "router", "netns", host.name)
        self.router.ip("link", "set", name, "up")
        host.ip("link", "set", "router", "up")
        for family in FAMILIES:
            gateway = self.address(f"{name}'s router", family)
            own = self.address(name, family)
            self.router.ip("address", "add", f"{gateway}/{PREFIX[family]}", "dev", name)
            host.ip("address", "add", f"{own}/{PREFIX[family]}", "dev", "router")
            host.ip(f"-{family}", "route", "add", "default", "via", gateway)

    def address(self, name: str, family: int) -> str:
        """Of the client, the server, or the router on the side of either."""
        side, host = (2 if "server" in name else 1), (1 if "router" in name else 2)
        return f"10.77.{side}.{host}" if family == 4 else f"fd77:{side}::{host}"


def _host(stack: ExitStack, name: str) -> Host:
    unique = f"repram-{os.getpid()}-{name}"
    subprocess.run(["ip", "netns", "add", unique], check=True)
    stack.callback(subprocess.run, ["ip", "netns", "delete", unique], check=True)
    host = Host(unique)
    if CHECKING.exists():
        with host.entered():
            CHECKING.write_text("0")
    return host


@contextmanager
def network() -> Iterator[Network]:
    """A network that is gone afterwards."""
    with ExitStack() as stack:
        yield Network(stack)
