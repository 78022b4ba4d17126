"""Memory that is about to be written over: to clear it first would take as long again."""

from __future__ import annotations

import ctypes

_new = ctypes.pythonapi.PyByteArray_FromStringAndSize
_new.argtypes = [ctypes.c_char_p, ctypes.c_ssize_t]
_new.restype = ctypes.py_object


def unset(size: int) -> bytearray:
    """So many bytes that may hold anything; whoever takes them writes all before reading any."""
    made: bytearray = _new(None, size)
    return made
