"""The hidden folder beside a download's target, where it gathers until all of it has verified.

Its name comes from the link's item, so the same link finds what an earlier attempt has left; one process
at a time has it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from repram.content.folders import new_folder, remove
from repram.content.names import shown
from repram.errors import Conflict, RepramError
from repram.ids import ItemId, format_size


class Part:
    """Made on entering, removed on leaving; an error leaves what has come when `keep` says so."""

    def __init__(self, folder: Path, item: ItemId, *, keep: bool = True) -> None:
        self.folder = folder
        self.keep = keep
        self.fd = -1
        self._above = -1
        self._name = f".repram-{item.raw[:8].hex()}.part".encode()

    def __enter__(self) -> Self:
        with about(self.folder):
            self._above = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                self.fd = self._locked()
            except BaseException:
                os.close(self._above)
                raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None or not self.keep or self._nothing_came():
                with about(self.folder):
                    remove(self._name, self._above)
        finally:
            os.close(self.fd)  # and with it the lock
            os.close(self._above)

    def check_room(self, size: int) -> None:
        """Refuse what cannot fit, before any of it is fetched: a link may claim any size."""
        at = os.fstatvfs(self.fd)
        free = at.f_bavail * at.f_frsize
        if size > free:
            raise RepramError(
                f"{format_size(size)} are to come, and in {shown(str(self.folder))} there is room for "
                f"{format_size(free)}",
                hint="Make room, or choose another place with -o.",
            )

    def _locked(self) -> int:
        """The folder, once nobody else has it or has removed it in between."""
        while True:
            opened = new_folder(self._name, self._above)
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _check_ours(os.fstat(opened), self.folder)
                if self._is_named(opened):
                    return opened
            except BlockingIOError:
                os.close(opened)
                raise Conflict(
                    "this link is being downloaded to this folder already",
                    hint="Wait for it, or choose another place with -o.",
                ) from None
            except BaseException:
                os.close(opened)
                raise
            os.close(opened)

    def _nothing_came(self) -> bool:
        with os.scandir(self.fd) as found:
            return not any(each.stat(follow_symlinks=False).st_size for each in found)

    def _is_named(self, opened: int) -> bool:
        try:
            named = os.stat(self._name, dir_fd=self._above, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(named, os.fstat(opened))


@contextmanager
def about(target: Path) -> Iterator[None]:
    """What the system refuses, as an error that names the place."""
    try:
        yield
    except OSError as error:
        raise RepramError(
            f"cannot write {shown(str(target))}: {error.strerror}",
            hint="Make room or choose another place with -o, then download the link again.",
        ) from error


def _check_ours(status: os.stat_result, folder: Path) -> None:
    """In a folder that others may write to, they could have laid something ready."""
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise RepramError(
            f"somebody else has put a hidden folder of this download into {shown(str(folder))}",
            hint="Choose another place with -o.",
        )
