"""What `repram doctor` thinks of a machine: readings in, findings out; nothing is looked up here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from repram.ids import format_size

# What a node does by itself at these offsets: it warns, and it takes no new items.
OFFSET_WARN: Final = 0.5
OFFSET_BAD: Final = 2.0
SOCKET_BUFFER: Final = 8 << 20  # what the transport asks for
_SOCKET_BUFFER_LEAST: Final = 1 << 20
_FREE_WARN: Final = 1 << 30
_FREE_BAD: Final = 64 << 20
_FSYNC_WARN: Final = 0.02
_FSYNC_BAD: Final = 0.25
_DESCRIPTORS_LEAST: Final = 256
_COPY_ON_WRITE: Final = frozenset({"btrfs", "zfs", "bcachefs", "nilfs2", "f2fs"})
_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})
_FOREIGN: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph", "glusterfs"}
)


class Level(Enum):
    """How much a finding matters."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence of what is so, and one of what to do, unless all is well."""

    topic: str
    level: Level
    says: str
    advice: str = ""


def _ok(topic: str, says: str) -> Finding:
    return Finding(topic, Level.OK, says)


def _warn(topic: str, says: str, advice: str) -> Finding:
    return Finding(topic, Level.WARN, says, advice)


def _bad(topic: str, says: str, advice: str) -> Finding:
    return Finding(topic, Level.BAD, says, advice)


def clock(synchronised: bool | None) -> Finding:
    """Whether the kernel holds its clock to be right; None: it does not tell."""
    if synchronised:
        return _ok("clock", "The kernel says that its clock is synchronised.")
    says = "The kernel does not say that its clock is synchronised."
    if synchronised is None:
        says = "Nobody here can tell whether the clock is synchronised."
    return _warn(
        "clock",
        says,
        "Run chrony or systemd-timesyncd; a node on disk serves nothing before it can trust its clock.",
    )


def clock_offset(seconds: float, round_trip: float) -> Finding:
    """This machine against a node; half of a round trip stays unknown."""
    side = "ahead of" if seconds < 0 else "behind"
    says = f"The clock is {abs(seconds):.2f} s {side} the node's (± {round_trip / 2:.2f} s)."
    advice = "Synchronise both machines with NTP; past 2 s a node takes no new items."
    if abs(seconds) >= OFFSET_BAD:
        return _bad("clock offset", says, advice)
    if abs(seconds) >= OFFSET_WARN:
        return _warn("clock offset", says, advice)
    return _ok("clock offset", says)


def node_unreachable(address: str, why: str) -> Finding:
    """A node whose address was given does not answer."""
    return _bad(
        "reachable",
        f"The node at {address} was not reached: {why}.",
        "Check that it runs, that its address is current, and that UDP passes every firewall on the way.",
    )


def port(where: str, refusal: str | None, in_use: bool) -> Finding:
    """Whether the node's UDP port may be had."""
    if refusal is None:
        return _ok("port", f"UDP {where} is free.")
    if in_use:
        return _warn(
            "port",
            f"UDP {where} is in use.",
            "If a node runs here, all is well; if not, find the program (`ss -ulpn`) or use --listen.",
        )
    return _bad("port", f"UDP {where} cannot be had: {refusal}.", "Choose another with --listen.")


def loopback(refusal: str | None, seconds: float) -> Finding:
    """Whether two endpoints on this machine can talk."""
    if refusal is None:
        return _ok(
            "transport", f"Two endpoints on this machine shook hands in {seconds * 1e3:.1f} ms."
        )
    return _bad(
        "transport",
        f"Two endpoints on this machine cannot talk: {refusal}.",
        "Let UDP on 127.0.0.1 pass in the firewall or sandbox; then reinstall repram if that was not it.",
    )


def socket_buffers(receive: int, send: int) -> Finding:
    """What a socket gets when it asks as the transport does."""
    got = min(receive, send)
    says = f"A socket gets {format_size(receive)} to receive and {format_size(send)} to send."
    if got >= SOCKET_BUFFER:
        return _ok("socket buffers", says)
    advice = (
        f"Run `sysctl -w net.core.rmem_max={SOCKET_BUFFER} net.core.wmem_max={SOCKET_BUFFER}` "
        "and keep it in /etc/sysctl.d; small buffers lose packets at speed."
    )
    if got < _SOCKET_BUFFER_LEAST:
        return _bad("socket buffers", says, advice)
    return _warn("socket buffers", says, advice)


def disk_space(folder: str, free: int, total: int) -> Finding:
    """Room where a node on disk would keep its data."""
    says = f"{folder} has {format_size(free)} free of {format_size(total)}."
    advice = (
        "Free some, or choose another folder with --data; a node that is full refuses (code 14)."
    )
    if free < _FREE_BAD:
        return _bad("disk space", says, advice)
    if free < _FREE_WARN:
        return _warn("disk space", says, advice)
    return _ok("disk space", says)


def filesystem(folder: str, kind: str) -> Finding:
    """Whether keys that are overwritten in place are gone, and what is written stays."""
    says = f"{folder} is on {kind}."
    if kind in _COPY_ON_WRITE:
        return _warn(
            "filesystem",
            f"{folder} is on {kind}, which writes nothing in place: destroyed keys may stay readable.",
            "Keep the keys on ext4, XFS or a tmpfs (--keys DIR), and take no snapshots of the folder.",
        )
    if kind in _IN_MEMORY:
        return _warn(
            "filesystem",
            f"{folder} is on {kind}: all of it is gone after a restart of the machine.",
            "Choose a folder on a disk with --data, unless that is what you want.",
        )
    if kind == "overlay":
        return _warn(
            "filesystem",
            f"{folder} is inside a container's own layer: it goes with the container, and copies itself.",
            "Mount a volume there.",
        )
    if kind in _FOREIGN or kind.startswith("fuse"):
        return _warn(
            "filesystem",
            f"{folder} is on {kind}: nobody here knows what is overwritten or synced over there.",
            "Choose a folder on a local disk.",
        )
    return _ok("filesystem", says)


def fsync(folder: str, seconds: float | None) -> Finding:
    """How long a put on disk has to wait; None: it could not be tried."""
    if seconds is None:
        return _bad(
            "fsync",
            f"Nothing can be written and synced in {folder}.",
            "Give the folder to the user that runs the node, or choose another with --data.",
        )
    says = f"An fsync in {folder} takes {seconds * 1e3:.1f} ms."
    advice = (
        "Use a faster disk, or keep values in memory: each acknowledged put waits for an fsync."
    )
    if seconds >= _FSYNC_BAD:
        return _bad("fsync", says, advice)
    if seconds >= _FSYNC_WARN:
        return _warn("fsync", says, advice)
    return _ok("fsync", says)


def swap(devices: Sequence[str]) -> Finding:
    """Whether what is in memory may get to a disk."""
    on_disk = [name for name in devices if not name.startswith("/dev/zram")]
    if not on_disk:
        return _ok("swap", "Memory is not swapped to a disk.")
    return _warn(
        "swap",
        f"Memory may be swapped to {', '.join(on_disk)}, and keys and sealed bytes with it.",
        "Turn it off (`swapoff -a`), encrypt it, or run the node with MemorySwapMax=0, as its unit does.",
    )


def core_dumps(limit: int, pattern: str) -> Finding:
    """Whether a crash would leave memory in a file; `limit` is -1 when there is none."""
    if limit == 0 and not pattern.startswith("|"):
        return _ok("core dumps", "A crash leaves no copy of memory.")
    where = "is handed to a program" if pattern.startswith("|") else "is written to a file"
    return _warn(
        "core dumps",
        f"After a crash a copy of memory {where}, keys included.",
        "Run the node with LimitCORE=0, as its unit does, and set Storage=none in coredump.conf.",
    )


def descriptors(limit: int) -> Finding:
    """How many files and sockets a process may have; -1: no limit."""
    says = f"A process may have {'any number of' if limit < 0 else limit} open files."
    if 0 <= limit < _DESCRIPTORS_LEAST:
        return _bad("open files", says, "Raise it: `ulimit -n 1024`, or LimitNOFILE= in the unit.")
    return _ok("open files", says)


def suites(names: Sequence[str]) -> Finding:
    """Which way packets are sealed on this CPU."""
    if "AEGIS256" in names:
        return _ok("cipher", "This CPU has AES instructions: packets are sealed with AEGIS-256.")
    return _ok(
        "cipher",
        "Packets are sealed with XChaCha20-Poly1305, which is the slower of two and no less safe.",
    )
