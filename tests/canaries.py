"""Looks for secrets where none may be, however they are written: spelled, decoded, decompressed."""

from __future__ import annotations

import base64
import bz2
import lzma
import re
import socket
import string
import threading
import urllib.parse
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from secrets import token_bytes
from types import TracebackType
from typing import Final, Self

DEPTH: Final = 3  # what is inside of what is inside
_PACKED_MAX: Final = 1 << 17
_UNPACKED_MAX: Final = 1 << 20
_BLOCK: Final = 1 << 16
_ZEROS: Final = bytes(_BLOCK)
_DISCARD: Final = 9
_ENDS: Final = b"the capture ends here"

_PACKED: Final[
    dict[bytes, Callable[[], zlib._Decompress | lzma.LZMADecompressor | bz2.BZ2Decompressor]]
] = {
    rb"\x1f\x8b\x08": lambda: zlib.decompressobj(31),
    rb"\x78[\x01\x5e\x9c\xda]": zlib.decompressobj,
    rb"\xfd7zXZ\x00": lzma.LZMADecompressor,
    rb"BZh[1-9]1AY&SY": bz2.BZ2Decompressor,
}
_PRINTABLE: Final = frozenset(range(32, 127))
_BASE64: Final = frozenset((string.ascii_letters + string.digits + "+/-_").encode())
_HEX: Final = frozenset(string.hexdigits.encode())
_ENCODED_MIN: Final = 24  # characters
_URLSAFE: Final = bytes.maketrans(b"-_", b"+/")


def spellings(secret: bytes) -> dict[str, bytes]:
    """What to look for, by what it is."""
    try:
        text = secret.decode()
    except UnicodeDecodeError:
        text = secret.decode("latin-1")
    found = {
        "raw": secret,
        "UTF-16": text.encode("utf-16-le"),
        "UTF-16 BE": text.encode("utf-16-be"),
        "hex": secret.hex().encode(),
        "HEX": secret.hex().upper().encode(),
        "quoted": urllib.parse.quote_from_bytes(secret, safe="").encode(),
        "percent": "".join(f"%{each:02x}" for each in secret).encode(),
        "PERCENT": "".join(f"%{each:02X}" for each in secret).encode(),
        "escaped": repr(secret)[2:-1].encode(),
        "escaped text": text.encode("unicode_escape"),
    }
    for shift in range(3):
        encoded = base64.b64encode(bytes(shift) + secret)
        # only characters that no byte before or behind the secret has a part in
        inside = slice(-(-shift * 8 // 6), (shift + len(secret)) * 8 // 6)
        found[f"base64+{shift}"] = encoded[inside]
        found[f"base64url+{shift}"] = encoded.translate(bytes.maketrans(b"+/", b"-_"))[inside]
    return found


def found_in(data: bytes, secrets: Mapping[str, bytes], depth: int = DEPTH) -> set[str]:
    """The names of those that are in it, or in what is packed or encoded in it."""
    written = b"\0".join(_runs(data, _PRINTABLE))  # most spellings can stand nowhere else
    found = {
        name
        for name, secret in secrets.items()
        if any(
            each in (written if _PRINTABLE.issuperset(each) else data)
            for each in set(spellings(secret).values())
        )
    }
    inside = b"\0".join(_inside(data)) if depth else b""
    return found | found_in(inside, secrets, depth - 1) if inside else found


def _inside(data: bytes) -> Iterator[bytes]:
    view = memoryview(data)
    for magic, unpacker in _PACKED.items():
        for found in re.finditer(magic, data, re.DOTALL):
            with suppress(zlib.error, lzma.LZMAError, OSError, EOFError):
                yield unpacker().decompress(view[found.start() :][:_PACKED_MAX], _UNPACKED_MAX)
    for run in _runs(data, _BASE64):
        for begin in range(4):  # what stands before it may look like a part of it
            whole = run[begin:]
            yield base64.b64decode(whole[: len(whole) // 4 * 4].translate(_URLSAFE))
    for run in _runs(data, _HEX):
        for begin in range(2):
            whole = run[begin:]
            yield bytes.fromhex(whole[: len(whole) // 2 * 2].decode())


def _runs(data: bytes, alphabet: frozenset[int]) -> Iterator[bytes]:
    """Wherever enough characters of an alphabet stand side by side."""
    marks = data.translate(bytes(each in alphabet for each in range(256)))
    enough = b"\1" * _ENCODED_MIN
    at = marks.find(enough)
    while at >= 0:
        end = marks.find(b"\0", at) % (len(data) + 1)
        yield data[at:end]
        at = marks.find(enough, end)


def memory_of(process: int) -> bytes:
    """All that it can write to, but for zeros."""
    parts = []
    with Path(f"/proc/{process}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{process}/maps").read_text().splitlines():
            span, rights, *_ = line.split()
            at, end = (int(each, 16) for each in span.split("-"))
            if not rights.startswith("rw"):
                continue
            with suppress(OSError):  # the kernel's own
                memory.seek(at)
                while at < end and (part := memory.read(min(_BLOCK, end - at))):
                    parts.append(part if part != _ZEROS else b"")
                    at += len(part)
    return b"".join(parts)


def begun_with(process: int) -> bytes:
    """Arguments and environment of it and of all that it has started."""
    seen = b""
    with suppress(OSError):  # it has ended
        for name in ("cmdline", "environ"):
            seen += Path(f"/proc/{process}/{name}").read_bytes() + b"\0"
        for each in Path(f"/proc/{process}/task").glob("*/children"):
            seen += b"".join(begun_with(int(child)) for child in each.read_text().split())
    return seen


def files_in(folder: Path) -> bytes:
    """Names and content of all of them, but for zeros."""
    paths = sorted(folder.rglob("*"))
    contents = (path.read_bytes().replace(_ZEROS, b"") for path in paths if path.is_file())
    return b"\0".join([*(bytes(path.relative_to(folder)) for path in paths), *contents])


class Capture:
    """The packets that these processes' ports see while it stands open, and those to the discard port.

    PermissionError unless root.
    """

    def __init__(self, ports: Iterable[int]) -> None:
        self.frames: list[bytes] = []
        self._end = _ENDS + token_bytes(16)  # another's may be seen here, too
        self._ports = {port.to_bytes(2, "big") for port in (*ports, _DISCARD)}
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
        self._socket.setsockopt(socket.SOL_SOCKET, 33, 1 << 27)  # SO_RCVBUFFORCE
        self._socket.bind(("lo", 0))
        self._thread = threading.Thread(target=self._read)

    def _read(self) -> None:
        while not self.frames or self._end not in self.frames[-1]:
            frame = self._socket.recv(1 << 17)
            if {frame[34:36], frame[36:38]} & self._ports:  # behind Ethernet's and IPv4's headers
                self.frames.append(frame)

    @property
    def seen(self) -> bytes:
        """All of it, once it is closed."""
        return b"\0".join(self.frames)

    def payloads(self) -> Iterator[bytes]:
        """What UDP carried; several datagrams at once where the kernel took them so."""
        return (frame[42:] for frame in self.frames if _ENDS not in frame)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            while self._thread.is_alive():
                last.sendto(self._end, ("127.0.0.1", _DISCARD))
                self._thread.join(0.1)
        self._socket.close()
