"""Makes accounts.json: passwords, commitments, people, boxes, recovery words and keystores, good and bad.

Everything is drawn from a counter, so that the same file comes out each time. Bad ones say how they fail:
`password` and `recovery` (the wrong one), `key` (another than was committed to), `damaged`, `cost`, `text`,
`newer`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nacl.bindings as sodium

from repram.crypto import account, committed, identity, passwords
from repram.crypto.account import Keystore
from repram.crypto.passwords import Cost, cheap_for_tests
from repram.crypto.people import Person
from repram.crypto.recovery import RecoveryKey
from tests import salamander

FILE = Path(__file__).with_name("accounts.json")
CHEAP = Cost(1, 128, 1)
SEED, OTHER = bytes(range(32)), bytes(range(32, 64))
RECOVERY = RecoveryKey(bytes(range(64, 96)))


def counting(start: int) -> Callable[[int], bytes]:
    """Not random: what is drawn is start, start + 1 and so on, each byte of it."""
    drawn = iter(range(start, 256))
    return lambda size: bytes([next(drawn)]) * size


def made() -> dict[str, Any]:
    """The whole file."""
    return {
        "source": "repram, docs/keys.md; python -m tests.vectors.make",
        "passwords": stretched(),
        "committed": sealed(),
        "people": people(),
        "boxes": boxes(),
        "recovery": recovery_words(),
        "keystores": keystores(),
    }


def write() -> None:
    """Write it again, always alike."""
    FILE.write_text(json.dumps(made(), indent=2) + "\n")


def stretched() -> list[dict[str, Any]]:
    """Cheap ones, one at the cost of links, and costs that are refused."""

    def row(about: str, text: str, cost: Cost, expect: str = "ok") -> dict[str, Any]:
        facts = {"about": about, "expect": expect, "password": text, "salt": bytes(range(16)).hex()}
        facts |= cost._asdict()
        if expect != "ok":
            return facts
        with cheap_for_tests():
            root = passwords.stretch(passwords.password_bytes(text), bytes(range(16)), cost)
        keys = {"root": root, "kek": account.kek_of(root), "login_seed": account.login_seed(root)}
        return facts | {name: key.hex() for name, key in keys.items()}

    return [
        row("cheap", "password", CHEAP),
        row("composed", "caf\u00e9", CHEAP),
        row("decomposed, the same password", "cafe\u0301", CHEAP),
        row("blanks count", " password ", CHEAP),
        row("what links cost", "password", passwords.LINK_COST),
        row("too few passes", "password", Cost(2, 65_536, 1), "cost"),
        row("too little memory", "password", Cost(3, 65_535, 1), "cost"),
        row("no lane", "password", Cost(3, 65_536, 0), "cost"),
        row("too many passes", "password", Cost(17, 65_536, 1), "cost"),
        row("too much memory", "password", Cost(3, 1_048_577, 1), "cost"),
        row("too many lanes", "password", Cost(3, 65_536, 17), "cost"),
    ]


def sealed() -> list[dict[str, Any]]:
    """Under a committed key; one that was made to open under two."""
    whole = committed.seal(SEED, b"plaintext", b"here", counting(1))
    nothing = committed.seal(SEED, b"", b"", counting(2))
    two = salamander.committed_to(SEED, OTHER, bytes(24), b"here")

    def row(about: str, key: bytes, data: bytes, associated: bytes, expect: str) -> dict[str, Any]:
        facts = {"about": about, "expect": expect, "key": key.hex(), "sealed": data.hex()}
        facts["associated"] = associated.hex()
        if expect == "ok":
            facts["plaintext"] = committed.open_sealed(key, data, associated).hex()
        return facts

    return [
        row("a text", SEED, whole, b"here", "ok"),
        row("nothing", SEED, nothing, b"", "ok"),
        row("made to open under two keys: the one", SEED, two, b"here", "ok"),
        row("made to open under two keys: the other", OTHER, two, b"here", "key"),
        row("another key", OTHER, whole, b"here", "key"),
        row("another context", SEED, whole, b"there", "key"),
        row("commitment changed", SEED, flipped(whole, 0), b"here", "key"),
        row("nonce changed", SEED, flipped(whole, 32), b"here", "key"),
        row("text changed", SEED, flipped(whole, 56), b"here", "damaged"),
        row("tag changed", SEED, flipped(whole, -1), b"here", "damaged"),
        row("cut", SEED, whole[:71], b"here", "damaged"),
    ]


def people() -> list[dict[str, Any]]:
    """As `repram id` prints them."""
    key = identity.public_key(SEED)
    text = str(Person(key))
    bad = {
        "a changed character": text[:20] + ("B" if text[20] == "A" else "A") + text[21:],
        "cut": text[:-1],
        "stray bits": text[:-1] + "_",
        "a node's address": f"repram+node://{text[12:55]}@host:7433",
        "no key of Ed25519": str(Person(bytes(32))),
    }
    good = {"about": "a person", "expect": "ok", "text": text, "key": key.hex()}
    return [
        good,
        *({"about": about, "expect": "text", "text": each} for about, each in bad.items()),
    ]


def boxes() -> list[dict[str, Any]]:
    """To the person whose seed it is."""
    whole = box(Person(identity.public_key(SEED)), b"s" * 32, 3)
    rows = [
        ("a box", SEED, whole, "ok"),
        ("to somebody else", OTHER, whole, "damaged"),
        ("changed", SEED, flipped(whole, 40), "damaged"),
        ("another ephemeral key", SEED, flipped(whole, 0), "damaged"),
        ("cut", SEED, whole[:-1], "damaged"),
    ]
    return [
        {"about": about, "expect": expect, "seed": seed.hex(), "box": data.hex()}
        | ({"secret": (b"s" * 32).hex()} if expect == "ok" else {})
        for about, seed, data, expect in rows
    ]


def box(to: Person, secret: bytes, number: int) -> bytes:
    """libsodium's sealed box with an ephemeral key that is not random."""
    hidden = bytes([number]) * 32
    shown = sodium.crypto_scalarmult_base(hidden)
    image = identity.x25519_image(to.key)
    nonce = hashlib.blake2b(shown + image, digest_size=24).digest()
    return shown + sodium.crypto_box(secret, nonce, image, hidden)


def recovery_words() -> list[dict[str, Any]]:
    """24 words."""
    words = RECOVERY.words()
    listed = words.split()
    good = {"expect": "ok", "secret": RECOVERY.secret.hex(), "seed": RECOVERY.seed().hex()}
    bad = {
        "a word too few": " ".join(listed[:-1]),
        "two words swapped": " ".join([listed[1], listed[0], *listed[2:]]),
        "no such word": " ".join(["xyzzy", *listed[1:]]),
    }
    return [
        {"about": "as printed", "words": words} | good,
        {"about": "capitals and lines", "words": words.upper().replace(" ", "\n")} | good,
        *({"about": about, "expect": "text", "words": each} for about, each in bad.items()),
    ]


def keystores() -> list[dict[str, Any]]:
    """Whole ones, parts of two in one, and every part changed."""
    one, other = keystore("password", 10), keystore("second", 20)
    whole = bytes(one)
    words = RECOVERY.words()

    def changed(**parts: Any) -> bytes:  # noqa: ANN401  # any of a keystore's
        return bytes(replace(one, **parts))

    rows: list[tuple[str, bytes, str, str, str]] = [
        ("opened", whole, "password", words, "ok"),
        ("after a change of password", bytes(other), "second", words, "ok"),
        ("another password", whole, "second", "", "password"),
        ("another recovery key", whole, "", RecoveryKey(OTHER).words(), "recovery"),
        ("salt changed", flipped(whole, 65), "password", "", "password"),
        ("cost above the ceiling", changed(cost=Cost(17, 65_536, 1)), "password", "", "cost"),
        ("wrap of another's MK", changed(by_password=other.by_password), "password", "", "password"),
        ("box of another's MK", changed(by_recovery=other.by_recovery), "", words, "damaged"),
        ("identity of another", changed(identity=other.identity), "password", "", "damaged"),
        ("box changed", flipped(whole, 230), "", words, "damaged"),
        ("identity changed", flipped(whole, -1), "password", "", "damaged"),
        ("cut", whole[:-1], "password", "", "damaged"),
        ("a newer version", b"\2" + whole[1:], "password", "", "newer"),
    ]  # fmt: skip
    return [
        {"about": about, "expect": expect, "keystore": raw.hex()}
        | ({"password": password} if password else {})
        | ({"words": typed} if typed else {})
        | ({"seed": SEED.hex()} if expect == "ok" else {})
        for about, raw, password, typed, expect in rows
    ]


def keystore(password: str, number: int) -> Keystore:
    """SEED under a password that costs nothing: salt, MK and nonces come from a counter."""
    to = Person(identity.public_key(RECOVERY.seed()))
    with cheap_for_tests():
        sealed_ = account.sealed(SEED, password.encode(), to, counting(number))
    master = bytes([number + 1]) * 32  # what was drawn behind the salt
    return replace(sealed_, by_recovery=box(to, master, number))


def flipped(data: bytes, at: int) -> bytes:
    """One bit of it."""
    bent = bytearray(data)
    bent[at] ^= 1
    return bytes(bent)
