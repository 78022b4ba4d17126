"""Keys that a test can compute."""

from __future__ import annotations

from nacl._sodium import ffi, lib


class Drawn:
    """Keys that follow from their number; none of them ever stands in a `bytes` of this process."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, into: memoryview) -> None:
        self.count += 1
        seed = self.count.to_bytes(32, "big")
        lib.randombytes_buf_deterministic(ffi.from_buffer(into), len(into), seed)
