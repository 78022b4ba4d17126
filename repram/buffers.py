"""Memory for what is large and soon gone: chunks on their way, many times a second."""

from __future__ import annotations

import ctypes
import os
from typing import Final

# glibc's numbers of what mallopt(3) sets, and what they are set to.
_MALLOC: Final = {
    -1: 32 << 20,  # M_TRIM_THRESHOLD: more than there is of chunks on their way
    -2: 8 << 20,  # M_TOP_PAD: the heap grows by some at once
    -3: 4 << 20,  # M_MMAP_THRESHOLD: larger ones are mapped each by itself
    -8: 2,  # M_ARENA_MAX: what is kept is kept in each
}

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_LARGE: Final = 1 << 18
_POPULATE_WRITE: Final = 23  # since Linux 5.14
_madvise = getattr(ctypes.CDLL(None), "madvise", None)

_new = ctypes.pythonapi.PyByteArray_FromStringAndSize
_new.argtypes = [ctypes.c_char_p, ctypes.c_ssize_t]
_new.restype = ctypes.py_object


def unset(size: int, *, kept: bool = False) -> bytearray:
    """So many bytes that may hold anything; whoever takes them writes all before reading any. To clear them
    first would take as long again. What is not `kept` gets memory that was in use before, mostly."""
    made: bytearray = _new(None, size)
    if kept and size >= _LARGE:
        _populate(made)
    return made


def _populate(made: bytearray) -> None:
    """Have the kernel give all the pages within it at once: one by one, as each is written to first, takes
    a third longer. A kernel that can't just goes on giving them one by one."""
    if _madvise is not None:
        start = ctypes.addressof(ctypes.c_char.from_buffer(made))
        first, end = -(-start // _PAGE) * _PAGE, (start + len(made)) // _PAGE * _PAGE
        _madvise(ctypes.c_void_p(first), ctypes.c_size_t(end - first), _POPULATE_WRITE)


def keep_freed() -> None:
    """For a program of ours, once: glibc keeps some of what is freed. Otherwise it gives the memory of each
    chunk back to the kernel, which clears it for the next. Other allocators are left alone."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in _MALLOC.items():
            mallopt(option, value)
