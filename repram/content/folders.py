"""Folders by their descriptors: one name at a time, never through a link."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import Final

FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
OURS: Final = 0o700  # what an owner does with a folder while it is being filled


class Folders:
    """The open folders from the top down to the one where something is being done."""

    def __init__(self, top: int) -> None:
        self._names: list[bytes] = []
        self._fds = [top]  # the top belongs to the caller

    @property
    def here(self) -> int:
        """The folder at the end."""
        return self._fds[-1]

    @property
    def all(self) -> list[int]:
        """All of them, the top first."""
        return self._fds

    def go_to(self, names: list[bytes]) -> None:
        """Close what does not lead there, and open what does."""
        common = 0
        for ours, theirs in zip(self._names, names, strict=False):
            if ours != theirs:
                break
            common += 1
        while len(self._names) > common:
            self._names.pop()
            os.close(self._fds.pop())
        for name in names[common:]:
            self._fds.append(os.open(name, FOLDER, dir_fd=self.here))
            self._names.append(name)


def new_folder(name: bytes, where: int, mode: int = OURS) -> int:
    """Open a folder, made if it is not there."""
    with suppress(FileExistsError):
        os.mkdir(name, mode, dir_fd=where)
    return os.open(name, FOLDER, dir_fd=where)


def names_in(folder: int) -> list[bytes]:
    """What the folder holds."""
    with os.scandir(folder) as listing:
        return [os.fsencode(each.name) for each in listing]


def remove(name: bytes, where: int) -> None:
    """Whatever is called so, with all that is in it; nothing when there is nothing."""
    try:
        os.unlink(name, dir_fd=where)
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        if not stat.S_ISDIR(os.stat(name, dir_fd=where, follow_symlinks=False).st_mode):
            raise
    else:
        return
    os.chmod(name, OURS, dir_fd=where)  # an empty one may be locked even against its owner
    opened = os.open(name, FOLDER, dir_fd=where)
    try:
        for inside in names_in(opened):
            remove(inside, opened)
    finally:
        os.close(opened)
    os.rmdir(name, dir_fd=where)
