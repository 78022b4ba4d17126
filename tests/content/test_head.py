"""Heads: what goes in comes out, and nothing that a hostile writer puts in gets past."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repram.content import head as heads
from repram.content import refs
from repram.content.chunker import CHUNK_SIZE, lengths
from repram.content.head import Head, Kind
from repram.content.names import portable_name
from repram.content.refs import Ref
from repram.crypto import locks, passwords
from repram.crypto.identity import public_key
from repram.crypto.people import Person
from repram.crypto.statements import Signer
from repram.errors import IntegrityFailure, LocalError

SIGNER = Signer(bytes(range(32)))


def head(of: int = 3 * CHUNK_SIZE, **changed: object) -> Head:
    """The head of a file of `of` bytes; what is changed afterwards may no longer fit together."""
    listed = [Ref(bytes([n]) * 32, bytes([n + 1]) * 32, each) for n, each in enumerate(lengths(of))]
    made = Head(
        kind=Kind.FILE,
        name="report.pdf",
        size=of,
        modified=1_700_000_000_123_456_789,
        mode=0o644,
        expires=1_700_000_060_000,
        depth=0,
        refs=refs.encode(listed),
        end_pk=SIGNER.key,
    )
    return msgspec.structs.replace(made, **changed)


def signed(content: object, signer: Signer = SIGNER) -> bytes:
    """As a hostile writer would: anything, signed."""
    encoded = msgspec.msgpack.encode(content)
    return signer.sign(heads._statement(encoded)) + encoded


@given(
    st.integers(0, 20 * CHUNK_SIZE),
    st.text(min_size=1, max_size=60),
    st.integers(-(1 << 63), (1 << 63) - 1),
)
def test_a_head_comes_back(size: int, name: str, modified: int) -> None:
    made = head(size, name=portable_name(name), modified=modified)
    assert heads.decode(heads.encode(made, SIGNER)) == made
    tree = head(size + 9, kind=Kind.TREE, entries=9, roots=2)
    assert heads.decode(heads.encode(tree, SIGNER)) == tree


def test_another_key_or_a_changed_byte_is_noticed() -> None:
    whole = heads.encode(head(), SIGNER)
    for at in (0, 63, 70, len(whole) - 1):
        bent = bytearray(whole)
        bent[at] ^= 1
        with pytest.raises(IntegrityFailure):
            heads.decode(bent)
    with pytest.raises(IntegrityFailure, match="signature"):
        heads.decode(signed(head(), Signer(bytes(32))))


@pytest.mark.parametrize("name", ["../up", "/etc/passwd", "a/b", "..", "a\0"])
def test_a_name_that_is_a_path_is_refused(name: str) -> None:
    with pytest.raises(IntegrityFailure, match="path"):
        heads.decode(signed(head(name=name)))
    with pytest.raises(LocalError):
        heads.encode(head(name=name), SIGNER)


@pytest.mark.parametrize(
    "changed",
    [
        {"version": 1},
        {"version": 3},
        {"kind": "device"},
        {"size": -1},
        {"size": 1 << 62},
        {"size": 2 * CHUNK_SIZE},
        {"entries": 1},
        {"roots": 1},
        {"kind": Kind.TREE},
        {"kind": Kind.TREE, "entries": 1, "roots": 2},
        {"kind": Kind.TREE, "entries": 1 << 40, "roots": 1},
        {"mode": 0o4755},
        {"modified": 1 << 63},
        {"expires": 1 << 60},
        {"expires": -1},
        {"name": ""},
        {"name": "x" * 256},
        {"name": "ü" * 128},
        {"number": 0},
        {"number": 2},
        {"previous": b"p" * 32},
        {"previous": bytes(31)},
        {"hosts": ("repram://no",)},
        {"hosts": ("x" * 321,)},
        {"hosts": ("",) * 9},
        {"depth": 1},
        {"depth": 4},
        {"refs": b""},
        {"refs": bytes(68) * 3},
        {"refs": bytes(203)},
        {"refs": bytes(68) * 33},
        {"end_pk": bytes(31)},
    ],
    ids=str,
)
def test_what_is_out_of_bounds_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(IntegrityFailure):
        heads.decode(signed(head(**changed)))


def test_the_widest_head_fits_behind_all_locks() -> None:
    host = f"repram+node://{'_' * 42}8@{'.'.join([*['a' * 63] * 3, 'b' * 61])}:65535"
    size = 32 << 20
    everything = {"entries": size, "roots": size, "number": 1 << 53, "previous": b"p" * 32}
    widest = head(size, kind=Kind.TREE, name="x" * 255, mode=0o777, expires=1 << 53, **everything)
    widest = msgspec.structs.replace(widest, modified=-(1 << 63), hosts=(host,) * 8)
    everyone = tuple(Person(public_key(bytes([n]) * 32)) for n in range(locks.MAX_PEOPLE))
    with passwords.cheap_for_tests():
        sealed = locks.lock(bytes(32), heads.encode(widest, SIGNER), locks.Locks(b"p", everyone))
    assert len(sealed) == locks.ITEM_SIZE


@given(st.binary(max_size=300))
def test_arbitrary_bytes_raise_nothing_else(garbage: bytes) -> None:
    with pytest.raises(IntegrityFailure):
        heads.decode(garbage)


def test_no_repr_tells_names_or_keys() -> None:
    assert repr(head()) == f"Head(file, {3 * CHUNK_SIZE} bytes)"


def test_a_head_that_is_deeper_than_anyone_reads_is_refused() -> None:
    """As deep as fits in a page, in a field that a newer writer might have added."""
    encoded = b"\x81\xa1x" + b"\x91" * 8000 + b"\xc0"
    with pytest.raises(IntegrityFailure):
        heads.decode(SIGNER.sign(heads._statement(encoded)) + encoded)
