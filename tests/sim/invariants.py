"""What must hold of every datagram that a host emits, whatever the network does to it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    from repram.proto.connection import Address

HEADER = 20
TYPES = range(1, 8)
INIT = 1
DATA = 4
SMALLEST_INIT = 1200
AMPLIFICATION = 3
NO_CRC = bytes(4)
FIRST_NUMBER = bytes(4)


#: Why a datagram is dropped for its header alone, in the order in which that is checked.
FAULTS = ("short", "crc", "length", "type", "flags")


def crc_of(datagram: bytes) -> int:
    """What stands in the header of a whole datagram."""
    return crc32(datagram[HEADER:], crc32(NO_CRC, crc32(datagram[:16])))


def fault_of(datagram: bytes) -> str:
    """The first fault of a datagram's header, or nothing."""
    if len(datagram) < HEADER:
        return "short"
    if int.from_bytes(datagram[16:20], "big") != crc_of(datagram):
        return "crc"
    if int.from_bytes(datagram[2:4], "big") != len(datagram) - HEADER:
        return "length"
    if datagram[0] not in TYPES:
        return "type"
    return "flags" if datagram[1] & ~(datagram[0] == DATA) else ""


class InvariantError(AssertionError):
    """A host emitted what no correct core emits."""


class WireChecker:
    """Watches all that is emitted, and what the emitter had been sent before."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, int, bytes], dict[bytes, int]] = {}
        self._owed: dict[tuple[int, Address], int] = {}
        self._proven: set[tuple[int, Address]] = set()
        self._arrived: dict[tuple[int, bytes], int] = {}
        self._probing: set[tuple[int, bytes]] = set()
        self.emitted_count = 0
        self.wrapped_count = 0

    def emitted(self, host: int, peer: int, datagram: bytes, limit: int) -> None:
        """Check a datagram that `host` sends to `peer`, whose size may be `limit` at most."""
        size = len(datagram)
        self.emitted_count += 1
        if not HEADER <= size <= limit:
            raise InvariantError(f"host {host} emitted {size} bytes, allowed are 20 to {limit}")
        if int.from_bytes(datagram[2:4], "big") != size - HEADER:
            raise InvariantError(f"host {host} emitted a wrong len: {datagram[:HEADER].hex()}")
        if int.from_bytes(datagram[16:20], "big") != crc_of(datagram):
            raise InvariantError(f"host {host} emitted a wrong CRC: {datagram[:HEADER].hex()}")
        kind = datagram[0]
        if kind == DATA:
            self._number_is_new(host, peer, datagram)
            self._size_is_known_to_pass(host, peer, datagram)
        elif kind not in TYPES:
            raise InvariantError(f"host {host} emitted type {kind}, which v1 does not know")
        elif kind == INIT and size < SMALLEST_INIT:
            raise InvariantError(f"host {host} emitted an INIT of {size} bytes without padding")

    def _number_is_new(self, host: int, peer: int, datagram: bytes) -> None:
        # The peer chose the session id, so it tells sessions apart only together with the peer.
        numbers = self._numbers.setdefault((host, peer, datagram[4:8]), {})
        number, digest = datagram[8:12], hash(datagram)
        if numbers and number == FIRST_NUMBER:
            self.wrapped_count += 1
        if numbers.setdefault(number, digest) != digest:
            raise InvariantError(
                f"host {host} used packet number {int.from_bytes(datagram[8:12], 'big')} "
                f"of session {datagram[4:8].hex()} twice, with other bytes"
            )

    def let_go(self, host: int, peer: int, session: int) -> None:
        """That session is over: what its numbers were need not be known any more."""
        self._numbers.pop((host, peer, session.to_bytes(4, "big")), None)

    def _size_is_known_to_pass(self, host: int, peer: int, datagram: bytes) -> None:
        """What is larger than all that has arrived of its session is a probe, and probes travel alone."""
        session, size = (peer, datagram[4:8]), len(datagram)
        if size <= self._arrived.get(session, SMALLEST_INIT):
            self._probing.discard(session)
        elif session in self._probing:
            raise InvariantError(
                f"host {host} emitted {size} bytes, and again more than ever arrived at host {peer}"
            )
        else:
            self._probing.add(session)

    def arrived(self, host: int, datagram: bytes) -> None:
        """Note what came to a host: the path carries as much."""
        session = (host, datagram[4:8])  # chosen by the receiver
        self._arrived[session] = max(self._arrived.get(session, SMALLEST_INIT), len(datagram))

    def largest_arrived(self, host: int) -> int:
        """How large the packets were that came to a host."""
        return max(size for (receiver, _), size in self._arrived.items() if receiver == host)

    def heard(self, host: int, source: Address, datagram: bytes, genuine: bool) -> None:
        """Note what arrived at a listening host: it may answer a stranger threefold, no more."""
        if genuine and datagram[0] == DATA:
            self._proven.add((host, source))
        else:
            owed = (host, source)
            self._owed[owed] = self._owed.get(owed, 0) + AMPLIFICATION * len(datagram)

    def answered(self, host: int, target: Address, size: int) -> None:
        """Check that a listening host does not amplify what a stranger sends it."""
        owed = (host, target)
        if owed in self._proven:
            return
        left = self._owed.get(owed, 0) - size
        if left < 0:
            raise InvariantError(f"host {host} amplifies towards {target}: {-left} bytes too many")
        self._owed[owed] = left
