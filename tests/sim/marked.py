"""A core together with the ECN bits of its datagrams, which a `Core` alone does not hand out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from repram._core import ffi, lib
from repram.proto.connection import unpack_address

if TYPE_CHECKING:
    from repram.proto.connection import Address, Connection, Core, Event, Whole

NOT_ECT, ECT1, ECT0, CE = range(4)

#: A datagram, its address (where it goes, or where it came from) and its two ECN bits.
Marked = tuple[bytes, "Address", int]


class Nobody:
    """What answers on a machine that has gone: nothing."""

    def receive(self, datagrams: Iterable[Marked], now: int) -> None:
        """Nobody hears them."""

    def transmit(self, now: int) -> list[Marked]:
        return []

    def deadline(self) -> int | None:
        return None

    def handle_timeout(self, now: int) -> None:
        """Nobody waits."""

    def events(self) -> list[Event]:
        return []

    def wholes(self) -> list[tuple[Connection, Whole]]:
        return []


class MarkedCore:
    """Passes everything on to a core, marks included."""

    def __init__(self, core: Core, *, takes_wholes: bool = False) -> None:
        """One that `takes_wholes` is given short streams in one piece."""
        self.core = core
        self._takes_wholes = takes_wholes
        self.deadline = core.deadline
        self.handle_timeout = core.handle_timeout

    def receive(self, datagrams: Iterable[Marked], now: int) -> None:
        """As Core.receive."""
        core, batch, kept = self.core, list(datagrams), []
        core.now = now
        runs = ffi.new("rp_datagram[]", len(batch))
        for run, (data, address, ecn) in zip(runs, batch, strict=True):
            mutable = bytearray(data)  # the core opens packets in place
            view = ffi.from_buffer("uint8_t[]", mutable)
            kept.append((mutable, view))
            run.data, run.size, run.ecn = view, len(mutable), ecn
            run.peer = core._pack(address)[0]
        lib.rp_core_receive(core.pointer, runs, len(batch), now)

    def transmit(self, now: int) -> list[Marked]:
        """As Core.transmit."""
        core, most = self.core, len(self.core._runs)
        core.now = now
        size = len(core._buffer)
        lib.rp_core_answer(core.pointer, most, now)
        count = lib.rp_core_transmit(core.pointer, core._runs, most, core._buffer, size, now)
        out: list[Marked] = []
        for run in core._runs[0:count]:
            data, address = bytes(ffi.buffer(run.data, run.size)), unpack_address(run.peer)
            step = run.segment
            out.extend((data[at : at + step], address, run.ecn) for at in range(0, len(data), step))
        return out

    def wholes(self) -> list[tuple[Connection, Whole]]:
        """As Core.take_whole, with the connection that each belongs to."""
        if not self._takes_wholes:
            return []
        known = self.core._connections
        return [(known[whole.handle], whole) for whole in self.core.take_whole()]

    def events(self) -> list[Event]:
        """As Core.events."""
        return self.core.events()
