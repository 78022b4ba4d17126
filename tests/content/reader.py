"""A second reader of what links lead to, written from docs/keys.md: it shares no line with repram."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import nacl.bindings as sodium
from argon2.low_level import Type, hash_secret_raw
from blake3 import blake3
from nacl.exceptions import CryptoError

CHUNK, PAGE, HEAD, REF = 1 << 20, 8_192, 32, 68
MAX = 1 << 53


class Refused(Exception):
    """Bytes that no reader may take: str() is the word that the vectors use."""


def need(condition: object, word: str = "refused") -> None:
    if not condition:
        raise Refused(word)


# ---- primitives ----


def derive(label: str, material: bytes) -> bytes:
    return blake3(material, derive_key_context=label).digest()


def aead_open(key: bytes, nonce: bytes, sealed: bytes, about: bytes) -> bytes:
    try:
        return sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, about, nonce, key)
    except (CryptoError, ValueError):
        raise Refused("refused") from None


def committed_open(key: bytes, sealed: bytes, about: bytes, word: str = "refused") -> bytes:
    need(len(sealed) >= 72)
    commitment, nonce, body = sealed[:32], sealed[32:56], sealed[56:]
    need(commitment == derive("repram v1 key commitment", key + nonce + about), word)
    return aead_open(derive("repram v1 committed key", key), nonce, body, about)


def chunk_open(item: bytes, key: bytes, sealed: bytes) -> bytes:
    need(blake3(sealed).digest() == item)
    return aead_open(key, bytes(24), sealed, b"repram v1 sealed chunk")


# ---- msgpack ----


class Msgpack:
    """As much of it as stands in heads, locks and entries."""

    def __init__(self, raw: bytes) -> None:
        self.raw, self.at = raw, 0

    def take(self, size: int) -> bytes:
        need(0 <= size <= len(self.raw) - self.at)
        self.at += size
        return self.raw[self.at - size : self.at]

    def number(self, form: str) -> int:
        return int(struct.unpack(">" + form, self.take(struct.calcsize(form)))[0])

    def value(self) -> Any:  # noqa: ANN401  # whatever stands there
        first = self.number("B")
        if first < 0x80 or first >= 0xE0:
            return first if first < 0x80 else first - 0x100
        if first < 0x90:
            return self.map(first & 0x0F)
        if first < 0xA0:
            return [self.value() for _ in range(first & 0x0F)]
        if first < 0xC0:
            return self.text(first & 0x1F)
        if first in {0xC4, 0xC5, 0xC6}:
            return self.take(self.number("BHI"[first - 0xC4]))
        if 0xCC <= first <= 0xD3:
            return self.number("BHIQbhiq"[first - 0xCC])
        if first in {0xD9, 0xDA, 0xDB}:
            return self.text(self.number("BHI"[first - 0xD9]))
        if first in {0xDC, 0xDD}:
            return [self.value() for _ in range(self.number("HI"[first - 0xDC]))]
        if first in {0xDE, 0xDF}:
            return self.map(self.number("HI"[first - 0xDE]))
        raise Refused("refused")

    def map(self, size: int) -> dict[str, Any]:
        return {self.value(): self.value() for _ in range(size)}

    def text(self, size: int) -> str:
        try:
            return self.take(size).decode()
        except UnicodeDecodeError:
            raise Refused("refused") from None


def whole(raw: bytes) -> Any:  # noqa: ANN401  # the same
    reader = Msgpack(raw)
    value = reader.value()
    need(reader.at == len(raw))
    return value


# ---- locks ----


def unlock(
    item: bytes, sealed: bytes, secret: bytes, password: bytes = b"", seed: bytes = b""
) -> bytes:
    """The head, for who has the link and whatever else it takes."""
    need(blake3(sealed).digest() == item and len(sealed) == 8_264)
    key = derive("repram v1 link head key", secret)
    page = committed_open(key, sealed, b"repram v1 sealed head")
    layer = whole(page[4 : 4 + int.from_bytes(page[:4], "big")])
    need(isinstance(layer, list) and layer)
    if layer[0] == "people":
        need(len(layer) == 3 and 1 <= len(layer[1]) <= 32)
        need(all(isinstance(box, bytes) and len(box) == 80 for box in layer[1]))
        about = b"repram v1 people lock" + b"".join(layer[1])
        layer = whole(committed_open(unboxed(layer[1], seed), layer[2], about))
        need(layer[0] != "people")
    if layer[0] == "password":
        need(len(layer) == 6 and len(layer[1]) == 16)
        _, salt, t, m, p, inner = layer
        need(3 <= t <= 16 and 65_536 <= m <= 1 << 20 and 1 <= p <= 16)
        about = b"repram v1 password lock" + salt + struct.pack(">III", t, m, p)
        stretched = hash_secret_raw(password, salt, t, m, p, 32, Type.ID)
        layer = whole(committed_open(stretched, inner, about, "wrong password"))
    need(layer[0] == "plain" and len(layer) == 2 and isinstance(layer[1], bytes))
    return bytes(layer[1])


def unboxed(boxes: list[bytes], seed: bytes) -> bytes:
    public, secret = sodium.crypto_sign_seed_keypair(seed)
    pair = (
        sodium.crypto_sign_ed25519_pk_to_curve25519(public),
        sodium.crypto_sign_ed25519_sk_to_curve25519(secret),
    )
    for box in boxes:
        try:
            return sodium.crypto_box_seal_open(box, *pair)
        except CryptoError:
            continue
    raise Refused("other people")


# ---- heads and bodies ----


def read_head(raw: bytes) -> dict[str, Any]:
    need(len(raw) > 64)
    head = whole(raw[64:])
    need(isinstance(head, dict))
    need(head.get("version") == 2)
    need(isinstance(head["end_pk"], bytes) and len(head["end_pk"]) == 32)
    statement = b"repram v1 head" + blake3(raw[64:]).digest()
    try:
        sodium.crypto_sign_open(raw[:64] + statement, head["end_pk"])
    except CryptoError:
        raise Refused("refused") from None
    name, size, kind = head["name"].encode(), head["size"], head["kind"]
    need(1 <= len(name) <= 255 and name not in {b".", b".."} and not set(name) & set(b"/\\\0"))
    need(0 <= size <= MAX and 0 <= head["mode"] <= 0o777 and 0 <= head["expires"] <= MAX)
    need(-(1 << 63) <= head["modified"] < 1 << 63 and 1 <= head["number"] <= MAX)
    need(len(head["previous"]) == 32 and (head["number"] == 1) == (head["previous"] == bytes(32)))
    need(len(head["hosts"]) <= 8 and all(h.startswith("repram+node://") for h in head["hosts"]))
    if kind == "tree":
        need(1 <= head["roots"] <= head["entries"] <= size)
    else:
        need(kind == "file" and head["roots"] == head["entries"] == 0)
    chunks, depth = -(-padme(size) // CHUNK), 0
    while -(-chunks // PAGE**depth) > HEAD:
        depth += 1
    need(head["depth"] == depth and len(head["refs"]) == REF * -(-chunks // PAGE**depth))
    check_lengths(head["refs"], depth, 0, size)
    return dict(head)


def padme(size: int) -> int:
    if size < 2:
        return size
    exponent = size.bit_length() - 1
    step = 1 << (exponent - exponent.bit_length())
    return -(-size // step) * step


def check_lengths(refs: bytes, depth: int, start: int, size: int) -> None:
    total = -(-padme(size) // CHUNK)
    for place in range(len(refs) // REF):
        begins = start + place * PAGE**depth
        wanted = min(CHUNK, padme(size) - begins * CHUNK)
        if depth:
            wanted = REF * min(PAGE, -(-(total - begins) // PAGE ** (depth - 1)))
        need(int.from_bytes(refs[place * REF + 64 :][:4], "big") == wanted)


def content(head: dict[str, Any], fetch: Callable[[bytes], bytes]) -> bytes:
    """All of it; `fetch` gives the sealed bytes of an id."""

    def below(refs: bytes, depth: int, start: int) -> bytes:
        check_lengths(refs, depth, start, head["size"])
        parts = []
        for place in range(len(refs) // REF):
            item, key, length = struct.unpack(">32s32sI", refs[place * REF : (place + 1) * REF])
            plain = chunk_open(item, key, fetch(item))
            need(len(plain) == length)
            begins = start + place * PAGE**depth
            parts.append(below(plain, depth - 1, begins) if depth else plain)
        return b"".join(parts)

    return below(head["refs"], head["depth"], 0)[: head["size"]]


# ---- trees ----


def read_tree(stream: bytes) -> tuple[dict[bytes, tuple[str, int, int, bytes]], list[bytes]]:
    """What is made: kind, mode, time, and content or target, by path; and what is refused."""
    made: dict[bytes, tuple[str, int, int, bytes]] = {}
    refused: list[bytes] = []
    at, last = 0, list[bytes]()
    while at < len(stream):
        need(at + 2 <= len(stream))
        after = at + 2 + int.from_bytes(stream[at : at + 2], "big")
        entry = whole(stream[at + 2 : after])
        need(isinstance(entry, list) and len(entry) == 6)
        kind, path, mode, modified, size, target = entry
        at = after + size
        need(at <= len(stream))
        parts = path.split(b"/")
        if (
            is_taken(kind, parts, mode, modified, size, target)
            and parts > last
            and (len(parts) == 1 or made.get(b"/".join(parts[:-1]), "?")[0] == "d")
        ):
            made[path] = (kind, mode, modified, stream[after:at] or target)
            last = parts
        else:
            refused.append(path)
    return made, refused


def is_taken(
    kind: str, parts: list[bytes], mode: int, modified: int, size: int, target: bytes
) -> bool:
    names = all(0 < len(p) < 256 and p not in {b".", b".."} and 0 not in p for p in parts)
    fits = len(parts) <= 256 and len(b"/".join(parts)) < 4_096
    facts = 0 <= mode <= 0o777 and -(1 << 63) <= modified < 1 << 63
    if kind == "l":
        steps = [step for step in target.split(b"/") if step not in {b"", b"."}]
        while steps and steps[0] == b".." and len(parts) > 2:
            steps, parts = steps[1:], parts[1:]
        inside = b".." not in steps and len(parts) > 1 and not target.startswith(b"/")
        facts = facts and inside and 0 not in target and 0 < len(target) < 4_096
    else:
        facts = facts and not target and kind in {"d", "f"} and (kind == "f" or not size)
    return names and fits and facts
