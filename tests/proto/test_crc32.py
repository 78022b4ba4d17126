"""CRC-32: every implementation gives what zlib gives, whatever the length and wherever the bytes stand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repram._core import ffi, lib

LONGEST = 4096
DATAGRAM = 65_507
RANDOM = Random(32).randbytes(DATAGRAM + 64)

METHODS = range(lib.rp_crc32_method() + 1)

each = pytest.mark.parametrize(
    "compute", [lib.rp_crc32, *(partial(lib.rp_crc32_by, method) for method in METHODS)]
)


@each
def test_the_check_value_of_the_catalogue(compute: Callable[[bytes, int], int]) -> None:
    assert compute(b"123456789", 9) == 0xCBF43926


@each
@pytest.mark.parametrize("misaligned", [0, 1, 3, 8, 15])
def test_every_length_gives_what_zlib_gives(
    compute: Callable[[object, int], int], misaligned: int
) -> None:
    start = ffi.addressof(ffi.from_buffer("uint8_t[]", RANDOM), misaligned)
    data = RANDOM[misaligned:]
    expected = [crc32(data[:length]) for length in range(LONGEST + 1)]
    assert [compute(start, length) for length in range(LONGEST + 1)] == expected


@each
@pytest.mark.parametrize("misaligned", range(64))
def test_no_alignment_matters(compute: Callable[[object, int], int], misaligned: int) -> None:
    start = ffi.addressof(ffi.from_buffer("uint8_t[]", RANDOM), misaligned)
    for length in (63, 64, 65, 255, 256, 257, 1_200, 1_400, DATAGRAM):
        assert compute(start, length) == crc32(RANDOM[misaligned : misaligned + length])


@given(st.binary(max_size=2_000))
def test_they_agree_on_anything(data: bytes) -> None:
    assert {lib.rp_crc32_by(method, data, len(data)) for method in METHODS} == {crc32(data)}
