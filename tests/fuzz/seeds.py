"""Writes the seeds that each fuzz target starts from: python -m tests.fuzz.seeds."""

from pathlib import Path
from typing import Annotated, Final, get_args, get_origin, get_type_hints

import msgspec

from repram.proto.messages import Pushed, Reply, Request
from repram.proto.rpc import Failure
from tests.fuzz import fuzz_log, fuzz_rpc
from tests.fuzz.fuzz_rpc import Hint, Value

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
    "early-everywhere": "".join(f"20{stream:02x}01000178" for stream in range(0, 32, 2)),
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
        ("fuzz_rpc", calls()),
        ("fuzz_log", folders()),
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
    """Which functions, then steps: what, to whom and how in one byte (see `step`), and what that takes."""

    def step(what: int, to: int = 0, how: int = 0, rest: bytes = b"") -> bytes:
        return bytes([how << 5 | what << 1 | to]) + rest

    def sized(data: bytes) -> bytes:
        return len(data).to_bytes(2, "big") + data

    client, server, straw = 0, 1, b"\0"
    call = [step(0, how=pattern) for pattern in range(4)]
    there, back = step(2, server), step(2, client)
    elsewhere, copy, talk = step(2, server, how=1), step(4, server), step(8)
    quarter, minutes = step(11, rest=bytes([64])), step(9, rest=bytes([130]))
    bends = bytes([2, 0, 60, 1, 4, 0, 7])
    token = 16 * "77"
    hello = bytes.fromhex("00" + token + LIMITS)
    named = bytes.fromhex("02" + b"invite 1".hex() + token + LIMITS)
    welcome = bytes.fromhex("55667788010000000000499602d2" + token + LIMITS)
    whole = {f"pattern-{pattern}": straw + call[pattern] + talk + quarter for pattern in range(4)}
    real = {f"real-{pattern}": b"R" + call[pattern] + talk for pattern in range(4)}
    bent = {
        f"{name}-{pattern}": straw + call[pattern] + steps
        for pattern in range(4)
        for name, steps in {
            "bent-init": step(6, server, how=1, rest=bends) + talk,
            "bent-answer": there + step(6, client, rest=bends) + talk,
            "bent-confirm": there + back + step(6, server, rest=bends) + there + quarter + talk,
        }.items()
    }
    return {
        **whole,
        **real,
        **bent,
        "cookie": straw + call[0] + there + call[1] + there + call[2] + there + talk + quarter,
        "cookie-grown-old": straw + call[0] + minutes + call[1] + there + back + minutes + talk,
        "too-many": straw + 4 * (step(12, rest=sized(hello)) + quarter),
        "two-at-once": straw + call[0] + call[2] + 2 * there + 2 * back + talk + minutes,
        "from-two-sources": straw + call[0] + copy + elsewhere + back + there + quarter + talk,
        "confirmed-twice": straw + call[2] + there + back + copy + elsewhere + there + talk,
        "anything": straw
        + step(10, server, rest=sized(bytes(60)))
        + step(10, client, how=1, rest=sized(bytes(60))),
        "hello": straw + step(12, rest=sized(hello)) + talk,
        "hello-with-secret": straw + step(12, how=1, rest=sized(named)) + talk,
        "confirm": straw + step(13, rest=sized(hello)) + talk,
        "confirm-with-secret": straw + step(13, how=1, rest=sized(hello)) + talk,
        "welcome": straw + call[0] + step(14, rest=sized(welcome)) + talk,
        "welcome-in-xx": straw + call[2] + step(14, rest=sized(welcome)) + talk,
        "refused": straw + call[0] + step(15, rest=bytes([5, 9, 3, 0])) + quarter,
        "version": straw + call[0] + step(15, rest=bytes([4, 9, 3, 0])) + quarter,
        "retry": straw + call[0] + step(15, rest=bytes([0, 56, 0, 0])),
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

    def do(what: int, by: int = 0, which: int = 0, number: int = 0) -> bytes:
        return bytes([what << 1 | by, which]) + number.to_bytes(2, "big")

    client, server, everything, end = 0, 1, 0xFFFF, 0x8000
    opened, delivered, later = do(18), do(11), do(19, number=0x1000)
    written, ended, read = do(0, number=0x0C00), do(0, number=end), do(2, server, number=everything)
    lost, again, bent = do(7, server), do(8, server), do(9, server, number=0x0105)
    transfer = opened + written + delivered + read + later + ended + delivered + read
    rough = opened + written + lost + bent + later + delivered + again + ended + lost + later + read
    short = do(16, number=300) + delivered + do(17, server, number=3000) + do(16, server, number=9)
    one_after_another = b"".join(
        opened
        + do(0, client, which, end)
        + delivered
        + do(2, server, which, everything)
        + do(0, server, which, end)
        + delivered
        + do(2, client, which, everything)
        + delivered
        for which in range(6)
    )
    close, call = do(15, which=77), do(15, which=78)
    twice = delivered + close + call + 2 * (delivered + later) + again + transfer
    exchanged = delivered + do(20)
    page = 4 * (do(0, number=0x1FFF) + 2 * exchanged)
    page_of_another = 2 * (do(0, which=1, number=0x1FFF) + exchanged)
    pile = 7 * (4 * do(12, number=1199) + exchanged)
    many = do(12, number=10, which=15) + do(20)
    return {
        **{f"transfer-{kind}": bytes([kind]) + transfer for kind in range(4)},
        **{f"rough-{kind}": bytes([0x40 | kind]) + rough for kind in range(4)},
        **{f"short-{kind}": bytes([kind]) + 3 * short for kind in range(4)},
        **{
            f"called-{kind}": bytes([0x80 | kind]) + 2 * (later + delivered) + transfer
            for kind in range(4)
        },
        **{
            f"many-in-flight-{kind}": bytes([kind]) + 8 * many + delivered + later
            for kind in range(4)
        },
        "streams-come-and-go": b"\0" + one_after_another,
        **{f"once-more-{kind}": bytes([kind]) + opened + written + twice for kind in range(4)},
        "credit-spent": b"\1"
        + 2 * opened
        + page
        + page_of_another
        + later
        + read
        + later
        + delivered,
        "datagrams-pile-up": b"\0" + pile,
        "traced": b"\1" + do(13) + transfer + do(13),
        "moved": b"\0"
        + opened
        + written
        + do(14, which=2)
        + written
        + delivered
        + later
        + delivered,
    }


def calls() -> dict[str, bytes]:
    """Of each message the least and one with something in every field; and what is none."""
    kinds = [(fuzz_rpc.CALL, kind) for kind in get_args(Request)]
    kinds += [(fuzz_rpc.ANSWER, kind) for kind in (*get_args(Reply), Failure)]
    kinds += zip((fuzz_rpc.CHANGED, fuzz_rpc.ENTRY), get_args(Pushed), strict=True)
    made = {
        f"{kind.__name__.lower()}-{'full' if full else 'least'}": fuzz_rpc.framed(
            which, msgspec.msgpack.encode(sample(kind, full=full))
        )
        for which, kind in kinds
        for full in (False, True)
    }
    unprintable = msgspec.msgpack.encode(["\x1b[2J"])
    return {
        **made,
        **{f"deep-{which}": fuzz_rpc.framed(which, b"\x91" * 2000) for which in range(4)},
        **{f"unprintable-{which}": fuzz_rpc.framed(which, unprintable) for which in range(4)},
        **{f"no-text-{which}": fuzz_rpc.framed(which, b"\x91\xa2\xed\xa0") for which in range(4)},
        "unknown": fuzz_rpc.framed(fuzz_rpc.CALL, msgspec.msgpack.encode(["shout", 7])),
        "another-version": fuzz_rpc.framed(fuzz_rpc.CALL, b"\x91\xa5about", version=2),
        "cut": fuzz_rpc.framed(fuzz_rpc.CALL, b"\x91\xa5about", wrong=1),
        "nothing": b"",
    }


def folders() -> dict[str, bytes]:
    """Which store, then operations of eight bytes: what, on which file, where, a number."""

    def do(name: str, which: int = 1, at: int = 0, number: int = 0) -> bytes:
        return fuzz_log.OPERATION.pack(fuzz_log.NAMES[name], which, at, number)

    return {
        **{f"untouched-{number}": bytes([number]) for number in range(len(fuzz_log.stores()))},
        **{
            f"{name.replace('_', '-')}-in-{file}": b"\0" + do(name, which, 1000, 0x400_0230)
            for name in fuzz_log.NAMES
            for which, file in enumerate(("ring", "log", "store"))
        },
        **{
            f"forged-{fuzz_log.FIELDS[field]}-{choice}": b"\1"
            + do("forge_entry", 1, choice, field + choice * len(fuzz_log.FIELDS))
            for field in range(len(fuzz_log.FIELDS))
            for choice in (2, 5, 17)
        },
        **{
            f"later-{time}": bytes([time % 8]) + do("wait", number=time * 50_000)
            for time in range(12)
        },
        "old-entries-come-again": b"\3" + b"".join(do("copy_entry", 1, each) for each in range(8)),
        "damage-that-later-entries-fill-up": b"\4" + do("take_out", 1, 2528, 2052),
        "segments-change-places": b"\2"
        + do("rename", 1, 3)
        + do("rename", 2, 1)
        + do("rename", 3, 5),
    }


def sample(kind: Hint, *, full: bool, meta: msgspec.Meta | None = None) -> Value:
    """A value of a type: the least that it allows, or nearly the most."""
    origin: object = get_origin(kind)
    if origin is Annotated:
        inner, bounds = get_args(kind)
        return sample(inner, full=full, meta=bounds)
    fewest = (meta.min_length if meta else 0) or 0
    count = max(fewest, min((meta.max_length if meta else 2) or 2, 2 if full else 0))
    if origin is tuple:
        return tuple(sample(get_args(kind)[0], full=full) for _ in range(count))
    if kind is bytes:
        return b"\x07" * count
    if kind is int:
        return int((meta.le if full else meta.ge) or 0) if meta else 7
    if kind is str or kind is bool:
        return kind("ab" if full else "")
    hints = get_type_hints(kind, include_extras=True)
    return kind(*(sample(hints[name], full=full) for name in kind.__struct_fields__))


if __name__ == "__main__":
    main()
