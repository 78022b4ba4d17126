"""Writes the seeds that each fuzz target starts from: python -m tests.fuzz.seeds."""

from pathlib import Path
from typing import Final

CORPUS: Final = Path(__file__).parent / "corpus"
RATCHET: Final = "0f0000000001" + 32 * "09"
FRAMES: Final = {
    "ping-and-padding": "01000000",
    "ack": "0205000105000100",
    "ack-ecn": "0305000003410201",
    "streams": "200000000568656c6c6f2104410000026869",
    "reset-stop-credit": "04000705050006068010000007004123084123",
    "close": "0e50000362796500",
    "path": "0a01020304050607080b0102030405060708",
    "observed-datagram": "0c00000000000000000000ffff7f0000011d090d00026869",
    "ratchet": RATCHET,
    "gap-then-whole": "2000050003646566200000000548656c6c6f",
}
LIMITS: Final = "809c4000800800008004000040408000ffe3"


def main() -> None:
    """Replaces the whole corpus."""
    for target, seeds in (
        ("fuzz_header", headers()),
        ("fuzz_frames", {name: bytes.fromhex(text) for name, text in FRAMES.items()}),
        ("fuzz_packet", packets()),
        ("fuzz_handshake", handshakes()),
        ("fuzz_ranges", ranges()),
        ("fuzz_reassembly", pieces()),
        ("fuzz_connection", connections()),
    ):
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        for name, seed in seeds.items():
            (folder / name).write_bytes(seed)


def headers() -> dict[str, bytes]:
    data = bytes.fromhex("0401000501020304fffffff0000000010000000068656c6c6f")
    refused = bytes.fromhex("0700000901020304000000000000000000000000") + 8 * b"n" + b"\x03"
    return {"data": data, "refused": refused, "long": data + 180 * b"x", "short": data[:12]}


def packets() -> dict[str, bytes]:
    """Whom they go to, then for each packet how it is received, its size and its frames."""

    def packet(manner: int, text: str) -> bytes:
        frames = bytes.fromhex(text)
        return bytes([manner]) + len(frames).to_bytes(2, "big") + frames

    single = {name: b"\1" + packet(7, text) for name, text in FRAMES.items()}
    both = b"\1" + packet(1, FRAMES["gap-then-whole"]) + packet(7, FRAMES["reset-stop-credit"])
    return {**single, "two-packets": both, "to-the-caller": b"\0" + packet(3, "2001000002686900")}


def handshakes() -> dict[str, bytes]:
    """What the run is, then what it bends or says."""
    token = 16 * "77"
    hello = bytes.fromhex("00" + token + LIMITS)
    welcome = bytes.fromhex("55667788010000000000499602d2" + token + LIMITS)
    bends = {f"init-pattern-{pattern}": bytes([5, pattern, 0, 60, 1]) for pattern in range(4)}
    answers = {f"answer-pattern-{pattern}": bytes([6, pattern]) for pattern in range(4)}
    return {
        **bends,
        **answers,
        "anything": b"\2" + bytes(60),
        "hello": b"\7" + hello,
        "welcome": b"\x08" + welcome,
        "refused": bytes([9, 0, 5, 9, 3, 0]),
        "retry": bytes([9, 0, 0, 56, 0, 0]),
    }


def ranges() -> dict[str, bytes]:
    """What may be borrowed, then operations: what, a number in two bytes, a length."""
    adds = b"".join(bytes([0, 0, 10 * i, 5]) for i in range(12))
    return {
        "adds": b"\3" + adds,
        "splits": b"\3" + adds + bytes([2, 0, 12, 60, 5, 0, 0, 0]),
        "comb": b"\3\6\0\0\xff\4\1\0\0",
    }


def pieces() -> dict[str, bytes]:
    """What may be borrowed, then operations: what, an offset in three bytes, a size in two."""
    in_order = b"".join(bytes([0x4F, 0, 0, 0, 4, 0, 3, 0, 0, 0, 1, 0]) for _ in range(6))
    early = bytes([15, 0, 80, 0, 2, 0, 15, 1, 0, 0, 2, 0, 2, 2, 0, 0, 0, 9])
    return {
        "in-order": b"\x12" + in_order,
        "early-then-end": b"\x12" + early + in_order,
        "stopped": b"\x12" + early + b"\1\0\0\0\0\0",
    }


def connections() -> dict[str, bytes]:
    """The kind of pair, then operations of four bytes: what and by whom, which, a number."""
    opened, delivered = bytes([36, 0, 0, 0]), bytes([22, 0, 0, 0])
    written, ended = bytes([0, 0, 12, 0]), bytes([0, 0, 0x90, 0])
    read, later = bytes([5, 0, 255, 255]), bytes([38, 0, 16, 0])
    lost, again, bent = bytes([15, 0, 0, 0]), bytes([17, 0, 0, 0]), bytes([19, 0, 1, 5])
    transfer = opened + written + delivered + read + later + ended + delivered + read
    rough = opened + written + lost + bent + later + delivered + again + ended + lost + later + read
    return {
        **{f"transfer-{kind}": bytes([kind]) + transfer for kind in range(4)},
        **{f"rough-{kind}": bytes([0x40 | kind]) + rough for kind in range(4)},
        "called": b"\x83" + later + delivered + later + delivered + transfer,
    }


if __name__ == "__main__":
    main()
