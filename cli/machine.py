"""What `repram doctor` reads of this machine; `checks` says what to think of it."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import resource
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from repram.errors import RepramError
from repram_cli import checks
from repram_cli.checks import Finding

if TYPE_CHECKING:
    from repram.ids import NodeAddress

_HANDSHAKE_SECONDS: Final = 3.0
_FSYNC_TRIES: Final = 5
_STA_UNSYNC: Final = 0x40
_TIMEX_SIZE: Final = 256  # more than the kernel's struct has
_TIMEX_STATUS: Final = 40  # where its status stands: behind an int, padding, and four longs


def findings(listen: tuple[str, int], folder: Path, host: NodeAddress | None) -> Iterator[Finding]:
    """Everything, one after the other."""
    yield checks.clock(clock_synchronised())
    if host is not None:
        yield asyncio.run(_against(host))
    yield _port(*listen)
    yield asyncio.run(_loopback())
    yield checks.socket_buffers(*socket_buffers())
    yield from _disk(existing(folder))
    yield checks.swap(swap_devices(_text("/proc/swaps")))
    core, _ = resource.getrlimit(resource.RLIMIT_CORE)
    yield checks.core_dumps(core, _text("/proc/sys/kernel/core_pattern"))
    yield checks.descriptors(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    yield checks.suites(_suites())


def clock_synchronised() -> bool | None:
    """What the kernel holds of its own clock; None where it cannot be asked."""
    timex = ctypes.create_string_buffer(_TIMEX_SIZE)  # all zero: only asks
    try:
        state = ctypes.CDLL(None).adjtimex(timex)
    except (OSError, AttributeError):
        return None
    if state < 0 or ctypes.sizeof(ctypes.c_long) != 8:
        return None
    return not ctypes.c_int.from_buffer(timex, _TIMEX_STATUS).value & _STA_UNSYNC


async def _against(host: NodeAddress) -> Finding:
    """Call the node: its clock comes with its answer."""
    from repram.proto.connection import Settings
    from repram.proto.endpoint import ANY, Endpoint

    listen = ("::", 0) if host.at.is_ipv6 else ANY
    settings = Settings(handshake_timeout=_HANDSHAKE_SECONDS)
    try:
        async with await Endpoint.open(listen, settings=settings) as endpoint:
            session = await endpoint.connect((host.at.host, host.at.port), host.key)
            stats = session.stats()
            ours = time.time_ns() // 1000 - time.monotonic_ns() // 1000
    except RepramError as error:
        return checks.node_unreachable(str(host), str(error))
    return checks.clock_offset((stats.clock_offset - ours) / 1e6, stats.rtt / 1e6)


def _port(host: str, number: int) -> Finding:
    where = f"{host} port {number}"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as udp:
            udp.bind((host, number))
    except OSError as error:
        return checks.port(where, error.strerror or str(error), error.errno == errno.EADDRINUSE)
    return checks.port(where, None, in_use=False)


async def _loopback() -> Finding:
    """A node and a caller in this process, over real sockets."""
    from repram.proto.connection import Settings
    from repram.proto.endpoint import Endpoint

    began = time.perf_counter()
    settings = Settings(handshake_timeout=_HANDSHAKE_SECONDS)
    try:
        opened = await Endpoint.open(
            ("127.0.0.1", 0), identity=secrets.token_bytes(32), listen=True, settings=settings
        )
        async with opened as node, await Endpoint.open(settings=settings) as caller:
            await caller.connect(node.address, node.key)
    except RepramError as error:
        return checks.loopback(str(error), 0)
    return checks.loopback(None, time.perf_counter() - began)


def socket_buffers() -> tuple[int, int]:
    """What a socket gets to receive and to send; the kernel tells twice that, for its own book-keeping."""
    got = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            udp.setsockopt(socket.SOL_SOCKET, option, checks.SOCKET_BUFFER)
            got.append(udp.getsockopt(socket.SOL_SOCKET, option) // 2)
    return got[0], got[1]


def existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    folder = folder.absolute()
    return next(path for path in (folder, *folder.parents) if path.is_dir())


def _disk(folder: Path) -> Iterator[Finding]:
    usage = shutil.disk_usage(folder)
    yield checks.disk_space(str(folder), usage.free, usage.total)
    yield checks.filesystem(str(folder), filesystem_of(folder, _text("/proc/self/mountinfo")))
    yield checks.fsync(str(folder), fsync_seconds(folder))


def filesystem_of(folder: Path, mountinfo: str) -> str:
    """The kind of filesystem that a folder is on, from the kernel's list of mounts."""
    best, kind = -1, "unknown"
    for line in mountinfo.splitlines():
        before, _, behind = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) < 5 or not behind:
            continue
        # The kernel writes what would break its columns as octal.
        mounted = Path(fields[4].encode().decode("unicode_escape"))
        if folder.is_relative_to(mounted) and len(mounted.parts) >= best:  # later ones lie on top
            best, kind = len(mounted.parts), behind.split(" ")[0]
    return kind


def fsync_seconds(folder: Path) -> float | None:
    """The median of a few; None when nothing can be written there."""
    times = []
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".repram-doctor-") as file:
            for _ in range(_FSYNC_TRIES):
                file.write(secrets.token_bytes(4096))
                file.flush()
                began = time.perf_counter()
                os.fsync(file.fileno())
                times.append(time.perf_counter() - began)
    except OSError:
        return None
    return sorted(times)[_FSYNC_TRIES // 2]


def swap_devices(swaps: str) -> list[str]:
    """The first column of the kernel's table."""
    return [line.split()[0] for line in swaps.splitlines()[1:] if line.strip()]


def _suites() -> list[str]:
    from repram.proto.primitives import default_suites

    return [suite.name for suite in default_suites()]


def _text(path: str) -> str:
    """A file of the kernel's; nothing where there is none."""
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""
