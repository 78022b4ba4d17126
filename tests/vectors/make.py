"""Writes content.json and accounts.json again, always alike: `python -m tests.vectors.make`.

A third hand beside repram and tests/content/reader.py: written out from docs/keys.md, but for the
two-key text.
"""

from __future__ import annotations

import base64
import json
import struct
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import nacl.bindings as sodium
from argon2.low_level import Type, hash_secret_raw
from blake3 import blake3

from tests.salamander import two_keys
from tests.vectors import accounts

FILE = Path(__file__).with_name("content.json")
SECRET, SEED, END = (blake3(word).digest() for word in (b"link", b"person", b"end"))
RIGHT = b"p\xc3\xa4ss"
SALT, FLOOR = bytes(range(16)), (3, 65_536, 1)
CHUNK = 1 << 20


def some(word: str, size: int = 32) -> bytes:
    """Bytes that look random and are not."""
    return blake3(word.encode()).digest(size)


def text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def derive(label: str, material: bytes) -> bytes:
    return blake3(material, derive_key_context=label).digest()


def aead(key: bytes, nonce: bytes, plain: bytes, about: bytes) -> bytes:
    return sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(plain, about, nonce, key)


def committed(key: bytes, plain: bytes, about: bytes) -> bytes:
    nonce = some("nonce" + about.hex()[:64], 24)
    commitment = derive("repram v1 key commitment", key + nonce + about)
    return commitment + nonce + aead(derive("repram v1 committed key", key), nonce, plain, about)


# ---- chunks and bodies ----


def chunk(word: str, plain: bytes) -> tuple[bytes, bytes]:
    """Its ref and its sealed bytes."""
    key = some("key of " + word)
    sealed = aead(key, bytes(24), plain, b"repram v1 sealed chunk")
    return blake3(sealed).digest() + key + struct.pack(">I", len(plain)), sealed


def chunks() -> list[dict[str, Any]]:
    ref, sealed = chunk("a", b"content of a chunk")
    item, key = ref[:32], ref[32:64]
    other = chunk("b", b"content of another")[1]
    flipped = bytes([sealed[0] ^ 1]) + sealed[1:]
    rows = [
        ("whole", item, key, sealed, "ok"),
        ("flipped", item, key, flipped, "refused"),
        ("truncated", item, key, sealed[:-1], "refused"),
        ("extended", item, key, sealed + b"\0", "refused"),
        ("swapped for another", item, key, other, "refused"),
        ("flipped, under its own id", blake3(flipped).digest(), key, flipped, "refused"),
        ("shorter than a tag, under its own id", blake3(b"x").digest(), key, b"x", "refused"),
        ("another key", item, some("no key"), sealed, "refused"),
    ]
    names = ("about", "id", "key", "sealed", "expect")
    return [dict(zip(names, [a, *map(text, raw), e], strict=True)) for a, *raw, e in rows]


def bodies() -> list[dict[str, Any]]:
    """Refs of 33 chunks, which take a page; the chunks themselves are not there."""
    size = 33 * CHUNK
    refs = [some(f"id {n}") + some(f"key {n}") + struct.pack(">I", CHUNK) for n in range(34)]
    page = b"".join(refs[:33])
    short = page[:-4] + struct.pack(">I", 5)
    rows = [
        ("one page", 1, page, len(page), "ok"),
        ("reordered: nothing tells, as the page is sealed", 1, b"".join(refs[32::-1]), 2_244, "ok"),
        ("truncated", 1, page[:-68], 2_244, "refused"),
        ("truncated, and the head agrees", 1, page[:-68], 2_176, "refused"),
        ("cut within a ref", 1, page[:-1], 2_244, "refused"),
        ("extended", 1, b"".join(refs), 2_312, "refused"),
        ("a chunk of another length", 1, short, 2_244, "refused"),
        ("too deep", 2, page, 2_244, "refused"),
        ("too flat", 0, page, 2_244, "refused"),
    ]
    made = []
    for about, depth, plain, length, expect in rows:
        ref, sealed = chunk("page", plain)
        ref = ref[:64] + struct.pack(">I", length)
        made.append({"about": about, "size": size, "depth": depth, "refs": text(ref)})
        made[-1] |= {"page": text(sealed), "expect": expect}
    return made


# ---- heads and locks ----


def head(**changed: object) -> bytes:
    public, secret = sodium.crypto_sign_seed_keypair(END)
    ref = chunk("a", b"content of a chunk")[0]
    fields = {"version": 2, "kind": "file", "name": "näme.txt", "size": 18}
    fields |= {"entries": 0, "roots": 0, "modified": -1, "mode": 0o640, "expires": 1 << 40}
    fields |= {"number": 1, "previous": bytes(32), "depth": 0, "refs": ref, "end_pk": public}
    fields |= {"hosts": [f"repram+node://{'A' * 42}E@node.example:7433"]} | changed
    encoded = msgspec.msgpack.encode(fields)
    return sodium.crypto_sign(b"repram v1 head" + blake3(encoded).digest(), secret)[:64] + encoded


def heads() -> list[dict[str, Any]]:
    good = head()
    tree: dict[str, Any] = {"kind": "tree", "entries": 2, "roots": 1}
    flipped = good[:-1] + bytes([good[-1] ^ 1])
    hostile: dict[str, dict[str, Any]] = {
        "an older version": {"version": 1},
        "a newer version": {"version": 3},
        "a name that leads up": {"name": ".."},
        "a name that is a path": {"name": "/etc/passwd"},
        "a name with NUL": {"name": "a\0b"},
        "a name of 256 bytes": {"name": "ü" * 128},
        "another kind": {"kind": "device"},
        "a file with entries": {"entries": 1},
        "a tree without roots": {"kind": "tree", "entries": 1},
        "more roots than entries": tree | {"roots": 3},
        "setuid": {"mode": 0o4755},
        "a size that the refs do not have": {"size": 16},
        "no refs": {"refs": b""},
        "a ref too many": {"refs": chunk("a", b"content of a chunk")[0] * 2},
        "a depth too many": {"depth": 1},
        "a first version with one before": {"previous": some("before")},
        "a second version with none before": {"number": 2},
        "nine hosts": {"hosts": [f"repram+node://{'A' * 42}E@node.example:7433"] * 9},
        "a host that is a link": {"hosts": ["repram://x"]},
        "signed by another": {"end_pk": sodium.crypto_sign_seed_keypair(SEED)[0]},
    }
    rows = [("a file", good, "ok"), ("a tree", head(**tree), "ok")]
    rows += [("an unknown field", head(colour="red"), "ok"), ("flipped", flipped, "refused")]
    rows += [("truncated", good[:-1], "refused"), ("extended", good + b"\0", "refused")]
    rows += [(about, head(**change), "refused") for about, change in hostile.items()]
    return [{"about": a, "head": text(raw), "expect": expect} for a, raw, expect in rows]


@cache
def stretched(password: bytes) -> bytes:
    return hash_secret_raw(password, SALT, *FLOOR, 32, Type.ID)


def password_layer(inner: list[Any], cost: tuple[int, int, int] = FLOOR) -> list[Any]:
    about = b"repram v1 password lock" + SALT + struct.pack(">III", *cost)
    return [
        "password",
        SALT,
        *cost,
        committed(stretched(RIGHT), msgspec.msgpack.encode(inner), about),
    ]


def people_layer(inner: list[Any], boxed: bytes = some("in the box")) -> list[Any]:
    theirs = sodium.crypto_sign_ed25519_pk_to_curve25519(sodium.crypto_sign_seed_keypair(SEED)[0])
    boxes = []
    for number, public in enumerate([sodium.crypto_scalarmult_base(some("stranger")), theirs]):
        once = some(f"ephemeral {number}")
        shown = sodium.crypto_scalarmult_base(once)
        nonce = sodium.crypto_generichash_blake2b_salt_personal(shown + public, digest_size=24)
        boxes.append(shown + sodium.crypto_box(boxed, nonce, public, once))
    about = b"repram v1 people lock" + b"".join(boxes)
    return ["people", boxes, committed(some("in the box"), msgspec.msgpack.encode(inner), about)]


def two_key_layer() -> list[Any]:
    about = b"repram v1 password lock" + SALT + struct.pack(">III", *FLOOR)
    first = stretched(b"other")
    one, other = (derive("repram v1 committed key", key) for key in (first, stretched(RIGHT)))
    commitment = derive("repram v1 key commitment", first + bytes(24) + about)
    return [
        "password",
        SALT,
        *FLOOR,
        commitment + bytes(24) + two_keys(one, other, bytes(24), about),
    ]


def item(layer: list[Any], size: int = 8_192) -> bytes:
    encoded = msgspec.msgpack.encode(layer)
    page = (struct.pack(">I", len(encoded)) + encoded).ljust(size, b"\0")
    return committed(derive("repram v1 link head key", SECRET), page, b"repram v1 sealed head")


def locks() -> list[dict[str, Any]]:
    plain, right = ["plain", b"the head"], RIGHT
    whole, nested = item(plain), item(people_layer(password_layer(plain)))
    flipped = whole[:100] + bytes([whole[100] ^ 1]) + whole[101:]
    rows = [
        ("a link alone", whole, SECRET, b"", b"", "ok"),
        ("another link's secret", whole, some("no"), b"", b"", "refused"),
        ("flipped, under its own id", flipped, SECRET, b"", b"", "refused"),
        ("a smaller page", item(plain, 4_096), SECRET, b"", b"", "refused"),
        ("an unknown layer", item(["ring", b""]), SECRET, b"", b"", "refused"),
        ("a person, then a password", nested, SECRET, right, SEED, "ok"),
        ("the wrong password", nested, SECRET, b"pass", SEED, "wrong password"),
        ("somebody else", nested, SECRET, right, some("nobody"), "other people"),
        ("a box with another key", item(people_layer(plain, some("no"))), SECRET, b"", SEED, "refused"),
        ("people in people", item(people_layer(people_layer(plain))), SECRET, b"", SEED, "refused"),
        ("two keys for one text", item(two_key_layer()), SECRET, right, b"", "wrong password"),
    ]  # fmt: skip
    for about, cost in {
        "less memory than the floor": (3, 65_535, 1),
        "less time than the floor": (2, 65_536, 1),
        "more memory than the ceiling": (3, (1 << 20) + 1, 1),
        "more time than the ceiling": (17, 65_536, 1),
        "more lanes than the ceiling": (3, 65_536, 17),
    }.items():
        rows.append((about, item(password_layer(plain, cost)), SECRET, right, b"", "refused"))
    names = ("about", "item", "secret", "password", "seed", "expect")
    return [dict(zip(names, [a, *map(text, raw), e], strict=True)) for a, *raw, e in rows]


# ---- trees ----


def entry(
    kind: str, path: bytes, content: bytes = b"", target: bytes = b"", mode: int = 420
) -> bytes:
    encoded = msgspec.msgpack.encode([kind, path, mode, 10**18, len(content), target])
    return struct.pack(">H", len(encoded)) + encoded + content


def trees() -> list[dict[str, Any]]:
    start = entry("d", b"r", mode=0o755) + entry("f", b"r/a", b"first")
    end = entry("f", b"r/z", b"last")
    made = ["r", "r/a", "r/z"]
    good = entry("d", b"r/d") + entry("f", b"r/d/\xff\n", b"odd") + entry("l", b"r/l", b"", b"d/x")
    rows = [
        ("files, folders and links", good, [*made, "r/d", "r/d/\udcff\n", "r/l"], []),
        ("absolute", entry("f", b"/etc/x", b"no"), made, ["/etc/x"]),
        ("up", entry("f", b"r/../x", b"no"), made, ["r/../x"]),
        ("twice", entry("f", b"r/a", b"no"), made, ["r/a"]),
        ("reordered", entry("f", b"r/A", b"no"), made, ["r/A"]),
        ("in no folder", entry("f", b"r/d/x", b"no"), made, ["r/d/x"]),
        ("a link out", entry("l", b"r/l", b"", b"../x"), made, ["r/l"]),
        ("an absolute link", entry("l", b"r/l", b"", b"/etc/x"), made, ["r/l"]),
        ("down and up", entry("l", b"r/l", b"", b"d/../../x"), made, ["r/l"]),
        ("through a link", entry("l", b"r/l", b"", b"d") + entry("f", b"r/l/x", b"no"),
         [*made, "r/l"], ["r/l/x"]),
        ("a device", entry("b", b"r/m", b"no"), made, ["r/m"]),
        ("setuid", entry("f", b"r/m", b"no", mode=0o4755), made, ["r/m"]),
    ]  # fmt: skip
    listed: list[dict[str, Any]] = [
        {"about": a, "stream": text(start + middle + end), "expect": "ok"}
        | {"made": sorted(names), "refused": refused}
        for a, middle, names, refused in rows
    ]
    broken = {"truncated": end[:-1], "a header cut off": end[:9], "no header": b"\0\0"}
    broken |= {"another array": b"\0\2\x91\1", "no array": b"\0\1\xc0"}
    return listed + [
        {"about": a, "stream": text(start + rest), "expect": "refused"}
        for a, rest in broken.items()
    ]


def main() -> None:
    vectors = {
        "source": "docs/keys.md; computed with blake3, PyNaCl, argon2-cffi and msgspec alone",
        "chunks": chunks(),
        "bodies": bodies(),
        "heads": heads(),
        "locks": locks(),
        "trees": trees(),
    }
    FILE.write_text(json.dumps(vectors, indent=1) + "\n")
    accounts.write()


if __name__ == "__main__":
    main()
