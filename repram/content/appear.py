"""How something that is whole gets its name: in one step, and never over what is there unless asked to."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast

from repram.content.folders import remove
from repram.content.names import shown
from repram.errors import Conflict

_AT_FDCWD: Final = -100
_NOREPLACE: Final = 1
_ASIDE: Final = b"replaced"
# What a kernel, C library or file system answers that has no such rename.
_UNABLE: Final = {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP}
_IN_THE_WAY: Final = {errno.ENOTEMPTY, errno.EEXIST, errno.EISDIR, errno.ENOTDIR}


def check_free(target: Path) -> None:
    """Raise Conflict when something has this name."""
    if os.path.lexists(target):
        raise Conflict(
            f"{shown(str(target))} is already there",
            hint="Choose another name with -o, or let it be replaced with --yes.",
        )


def appear(name: bytes, where: int, target: Path, *, overwrite: bool) -> None:
    """Give what is called `name`, seen from the hidden folder `where`, the name that it is to have."""
    if overwrite:
        _replace(name, where, target)
        return
    try:
        _rename_to_new(name, where, target)
    except FileExistsError:
        check_free(target)
        raise


def sync_all(folder: int) -> None:
    """Make everything durable that the folder's file system holds: one call for any number of files."""
    if _syncfs is None:
        os.sync()
    elif _syncfs(folder):
        raise _last_error()


def _replace(name: bytes, where: int, target: Path) -> None:
    """In one step where a rename can; else what was there steps aside first."""
    try:
        os.rename(name, target, src_dir_fd=where)
    except OSError as error:
        if error.errno not in _IN_THE_WAY:
            raise
        os.rename(target, _ASIDE, dst_dir_fd=where)
        try:
            os.rename(name, target, src_dir_fd=where)
        except OSError:
            os.rename(_ASIDE, target, src_dir_fd=where)
            raise
        remove(_ASIDE, where)


def _rename_to_new(name: bytes, where: int, target: Path) -> None:
    if _renameat2 is not None:
        if not _renameat2(where, name, _AT_FDCWD, os.fsencode(target), _NOREPLACE):
            return
        if ctypes.get_errno() not in _UNABLE:
            raise _last_error()
    check_free(target)
    os.rename(name, target, src_dir_fd=where)


def _last_error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))


def _from_libc(name: str, *arguments: object) -> Callable[..., int] | None:
    function = getattr(ctypes.CDLL(None, use_errno=True), name, None)
    if function is None:
        return None
    function.argtypes = arguments
    function.restype = ctypes.c_int
    return cast("Callable[..., int]", function)


_syncfs = _from_libc("syncfs", ctypes.c_int)
_renameat2 = _from_libc(
    "renameat2", ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint
)
