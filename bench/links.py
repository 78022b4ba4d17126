"""Links to measure on: side A sends, side B receives, each in a network namespace of its own."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Final, Literal, TypeAlias

from bench import kernel
from bench.processes import ROOT, STATE, Failed, Process, run

Kind: TypeAlias = Literal["loopback", "veth", "emulated"]
Side: TypeAlias = Literal["a", "b"]

DEVICE: Final = "wire"
EMULATOR: Final = ROOT / "bench" / "link.c"
CONTROL: Final = "net/ipv4/tcp_congestion_control"
NAMESPACES: Final = Path("/run/netns")
LOOPBACK: Final = "127.0.0.1"
ADDRESSES: Final[dict[Side, str]] = {"a": "192.0.2.1", "b": "192.0.2.2"}
ETHERNET: Final[dict[Side, str]] = {"a": "02:00:00:00:00:01", "b": "02:00:00:00:00:02"}
COMPILE: Final = (
    *("cc", "-O2", "-std=c11", "-D_GNU_SOURCE"),
    *("-Wall", "-Wextra", "-Wconversion", "-Werror"),
)
# Bound by the kernel's limits as a user is, and gone when the benchmark is, however that ended.
AS_A_USER: Final = ("setpriv", "--bounding-set=-net_admin", "--pdeathsig=KILL")

_numbers = itertools.count()


class Unavailable(Exception):
    """Why this machine or this user cannot have such a link."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What a link is like. Zero means: none, or without a limit."""

    name: str
    kind: Kind = "emulated"
    offloads: bool = True
    rtt: float = 0.0  # ms
    rate: float = 0.0  # Mbit/s each way
    loss: float = 0.0  # per cent of the frames from A to B
    back: float | None = None  # per cent of those from B to A; None: the same
    burst: float = 1.0  # mean number of frames lost in a row
    queue: float = 1.0  # bytes that wait for the line at most, in rate times RTT
    mtu: int = 1500

    def __str__(self) -> str:
        if self.kind == "loopback":
            return "loopback"
        mtu = f"MTU {self.mtu}"
        if self.kind == "veth":
            return f"veth, {mtu}, offloads {'on' if self.offloads else 'off'}"
        parts = [f"{self.rtt:g} ms"]
        parts += [_rate(self.rate)] if self.rate else []
        parts += [f"{self.loss:g} % loss" + ("" if self.back is None else " there")] * (
            self.loss > 0
        )
        parts += [f"{self.back:g} % loss back"] if self.back is not None else []
        parts += [f"in bursts of {self.burst:g}"] if self.burst > 1 else []
        parts += [f"queue {self.queue:g} BDP"] if self.queue != 1 else []
        parts += [mtu] if self.mtu != 1500 else []
        return ", ".join(parts)


PROFILES: Final = {
    each.name: each
    for each in (
        Profile("L0", "loopback"),
        Profile("L1", "veth"),
        Profile("L2", "veth", offloads=False),
        Profile("L3", rtt=20, rate=1000),
        Profile("L4", rtt=50, rate=200, loss=1),
        Profile("L5", rtt=100, rate=50, loss=5),
    )
}
SETTABLE: Final = frozenset(
    field.name for field in fields(Profile) if field.name not in ("name", "kind", "offloads")
)


def parse_profile(text: str) -> Profile:
    """`L4`, `L4:loss=0:queue=4` or `rtt=50:rate=200:loss=1:burst=4`."""
    first, *rest = text.split(":")
    known = PROFILES.get(first)
    changes: dict[str, float] = {}
    for part in rest if known else [first, *rest]:
        name, _, value = part.partition("=")
        number = r"\d+" if name == "mtu" else r"\d+(\.\d+)?"
        if name not in SETTABLE or not re.fullmatch(number, value):
            known_names = ", ".join([*PROFILES, *(f"{each}=N" for each in sorted(SETTABLE))])
            raise ValueError(f"a link is made of {known_names}, joined by colons; not {part!r}")
        changes[name] = int(value) if name == "mtu" else float(value)
    return replace(known or Profile(text), **changes, name=text)  # type: ignore[arg-type]


class Link:
    """Two sides that are joined."""

    def __init__(
        self, profile: Profile, namespaces: dict[Side, str], emulator: Process | None
    ) -> None:
        self.profile = profile
        self.namespaces = namespaces
        self._emulator = emulator
        self._default_control = _get(namespaces["a"], CONTROL)

    def address(self, side: Side) -> str:
        """Where a side is reached."""
        return LOOPBACK if self.profile.kind == "loopback" else ADDRESSES[side]

    def command(self, side: Side, command: Sequence[str]) -> list[str]:
        """A command as it is run on one side, with a user's rights to the network."""
        return ["ip", "netns", "exec", self.namespaces[side], *AS_A_USER, *command]

    def use_congestion_control(self, name: str | None) -> None:
        """What TCP uses on both sides from now on; None: what the machine does."""
        for namespace in {*self.namespaces.values()}:
            _set(namespace, CONTROL, name or self._default_control)

    def counters(self) -> dict[str, object]:
        """What the emulator saw, and what it cost, since it was last asked; nothing without one."""
        if self._emulator is None:
            return {}
        self._emulator.stdin.write("\n")
        self._emulator.stdin.flush()
        told: dict[str, object] = json.loads(self._emulator.line())
        return told


@contextmanager
def up(profile: Profile) -> Iterator[Link]:
    """A link for as long as it is needed."""
    if why := unavailable(profile):
        raise Unavailable(why)
    with ExitStack() as stack:
        stack.enter_context(kernel.widened())
        a = stack.enter_context(_namespace("a"))
        if profile.kind == "loopback":
            yield Link(profile, {"a": a, "b": a}, None)
            return
        b = stack.enter_context(_namespace("b"))
        emulator = None
        if profile.kind == "veth":
            _join(a, b, offloads=profile.offloads)
        else:
            emulator = stack.enter_context(_emulated(profile, a, b))
        _address(a, "a", "b", profile.mtu)
        _address(b, "b", "a", profile.mtu)
        yield Link(profile, {"a": a, "b": b}, emulator)


def unavailable(profile: Profile) -> str | None:
    """Why this machine cannot have such a link, if it cannot."""
    needed = ["ip", "setpriv"]
    needed += ["cc"] if profile.kind == "emulated" else []
    needed += ["ethtool"] if not profile.offloads else []
    if os.geteuid() != 0:
        return "network namespaces need root"
    for command in needed:
        if shutil.which(command) is None:
            return f"`{command}` is missing"
    if not os.access("/proc/sys/net/core/rmem_max", os.W_OK):
        return "the kernel's settings under /proc/sys cannot be written"
    if profile.kind == "emulated" and not Path("/dev/net/tun").exists():
        return "/dev/net/tun is missing"
    try:
        with _namespace("a"):
            pass
    except Failed as failed:
        return str(failed)
    return None


def clear_leftovers() -> None:
    """Remove the namespaces of runs that were killed."""
    for path in NAMESPACES.glob("repram-*"):
        owner = path.name.split("-")[1]
        if not Path("/proc", owner).exists():
            run("ip", "netns", "del", path.name)


@contextmanager
def _namespace(side: Side) -> Iterator[str]:
    name = f"repram-{os.getpid()}-{next(_numbers)}{side}"
    run("ip", "netns", "add", name)
    try:
        run("ip", "-n", name, "link", "set", "lo", "up")
        _set(name, "net/ipv6/conf/all/disable_ipv6", "1")  # its own frames would be counted
        _set(name, "net/ipv4/tcp_no_metrics_save", "1")  # a run learns nothing from the last
        _set(name, "net/ipv4/tcp_rmem", f"4096 131072 {kernel.LARGE}")
        _set(name, "net/ipv4/tcp_wmem", f"4096 65536 {kernel.LARGE}")
        yield name
    finally:
        run("ip", "netns", "del", name)


def _set(namespace: str, name: str, value: str) -> None:
    run("ip", "netns", "exec", namespace, "tee", f"/proc/sys/{name}", stdin=value)


def _get(namespace: str, name: str) -> str:
    return run("ip", "netns", "exec", namespace, "cat", f"/proc/sys/{name}").strip()


def _join(a: str, b: str, *, offloads: bool) -> None:
    pair = ("type", "veth", "peer", "name", DEVICE, "netns", b)
    run("ip", "link", "add", "name", DEVICE, "netns", a, *pair)
    if not offloads:
        off = [
            word for each in ("tso", "gso", "gro", "tx-udp-segmentation") for word in (each, "off")
        ]
        for namespace in (a, b):
            run("ip", "netns", "exec", namespace, "ethtool", "-K", DEVICE, *off)


def _address(namespace: str, own: Side, other: Side, mtu: int) -> None:
    """Addresses on both layers, so that no ARP can be lost; room so that bursts reach the emulator."""
    ip = ("ip", "-n", namespace)
    run(*ip, "link", "set", DEVICE, "address", ETHERNET[own], "mtu", str(mtu))
    run(*ip, "link", "set", DEVICE, "txqueuelen", "10000", "up")
    run(*ip, "addr", "add", f"{ADDRESSES[own]}/24", "dev", DEVICE)
    run(*ip, "neigh", "add", ADDRESSES[other], "lladdr", ETHERNET[other], "dev", DEVICE)


@contextmanager
def _emulated(profile: Profile, a: str, b: str) -> Iterator[Process]:
    rtt_us = profile.rtt * 1000
    options = {
        "mtu": profile.mtu,
        "rate": profile.rate * 1e6,
        "delay_us": rtt_us / 2,
        "queue_us": profile.queue * rtt_us,
        "loss": profile.loss / 100,
        "loss_back": (profile.loss if profile.back is None else profile.back) / 100,
        "burst": profile.burst,
    }
    words = [f"{name}={value:.12g}" for name, value in options.items()]
    command = [_emulator(), str(NAMESPACES / a), str(NAMESPACES / b), *words]
    with Process(command) as emulator:
        emulator.line()
        yield emulator


def _emulator() -> str:
    """The compiled emulator, made when its source is newer."""
    program = STATE / "link"
    if not program.exists() or program.stat().st_mtime < EMULATOR.stat().st_mtime:
        STATE.mkdir(parents=True, exist_ok=True)
        fresh = program.with_suffix(f".{os.getpid()}")  # two runs may start at once
        run(*COMPILE, "-o", str(fresh), str(EMULATOR))
        fresh.replace(program)
    return str(program)


def _rate(mbit: float) -> str:
    return f"{mbit / 1000:g} Gbit/s" if mbit >= 1000 else f"{mbit:g} Mbit/s"
