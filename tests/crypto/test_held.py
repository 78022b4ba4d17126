"""An identity in locked memory."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repram.crypto import identity
from repram.crypto.held import HeldIdentity
from repram.crypto.people import Person, box_to
from repram.errors import IntegrityFailure, LocalError

SEED = bytes(range(32))


def held(seed: bytes) -> HeldIdentity:
    reading, writing = os.pipe()
    try:
        os.write(writing, seed)
        os.close(writing)
        return HeldIdentity(reading)
    finally:
        os.close(reading)


@pytest.fixture
def one() -> Iterator[HeldIdentity]:
    made = held(SEED)
    yield made
    made.wipe()


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=100))
def test_it_signs_and_opens_as_the_seed_itself_does(seed: bytes, message: bytes) -> None:
    made = held(seed)
    assert made.public == identity.public_key(seed)
    assert made.sign(message) == identity.sign(seed, message)
    assert made.unbox(box_to(Person(made.public), b"s" * 32)) == b"s" * 32
    made.wipe()


def test_a_box_to_somebody_else_or_of_another_size_is_refused(one: HeldIdentity) -> None:
    for box in (
        box_to(Person(identity.public_key(bytes(32))), bytes(32)),
        bytes(80),
        b"",
        bytes(81),
    ):
        with pytest.raises(IntegrityFailure):
            one.unbox(box)


def test_what_was_wiped_is_zeros_and_does_nothing_more(one: HeldIdentity) -> None:
    seen = memoryview(one._page)
    assert SEED in bytes(seen)
    with pytest.raises(BufferError):  # the page stays as long as it is looked at
        one.wipe()
    assert not any(seen)
    for use in (one.sign, one.unbox):
        with pytest.raises(LocalError):
            use(bytes(80))


def test_its_memory_is_locked_and_left_out_of_core_dumps(one: HeldIdentity) -> None:
    address = ctypes.addressof(ctypes.c_char.from_buffer(one._page))
    _, _, rest = Path("/proc/self/smaps").read_text().partition(f"{address:x}-")
    flags = rest.partition("VmFlags:")[2].partition("\n")[0].split()
    assert {"lo", "dd"} <= set(flags)


@pytest.mark.parametrize("seed", [b"", bytes(31)])
def test_a_seed_that_ends_too_early_is_none(seed: bytes) -> None:
    with pytest.raises(LocalError):
        held(seed)
