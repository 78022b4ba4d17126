"""Padmé: the padded size tells O(log log) bits of the true one, at a cost of at most 12 %."""

from __future__ import annotations


def padme(size: int) -> int:
    """The smallest padded size for `size` (PURBs, PETS 2019, algorithm 1)."""
    if size < 2:
        return size
    exponent = size.bit_length() - 1
    mantissa_bits = exponent.bit_length()
    mask = (1 << (exponent - mantissa_bits)) - 1
    return (size + mask) & ~mask
