"""Where a download becomes a file: out of sight until all of it has verified, then there at once."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from repram.content.names import shown
from repram.crypto.xchacha import Bytes
from repram.errors import Conflict, RepramError

# What file systems without hard links (FAT, some FUSE) answer.
_NO_HARD_LINKS: Final = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


class Landing:
    """A hidden temporary file beside `target`; `commit` names it, leaving without a commit removes it."""

    def __init__(self, target: Path, *, mode: int = 0o666, overwrite: bool = False) -> None:
        self.target = target
        self._mode = mode
        self._overwrite = overwrite
        self._temporary = target.parent / f".repram-{secrets.token_hex(8)}.part"
        self._fd = -1

    def __enter__(self) -> Self:
        if not self._overwrite and os.path.lexists(self.target):
            raise self._taken()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        with _about(self.target):
            self._fd = os.open(self._temporary, flags, self._mode)
        return self

    def write(self, data: Bytes) -> None:
        """Append; a full disk is an error that names the file."""
        rest = memoryview(data)
        with _about(self.target):
            while rest:
                rest = rest[os.write(self._fd, rest) :]

    def commit(self, *, modified_ms: int) -> None:
        """Make everything durable, then let the file appear under its name."""
        with _about(self.target):
            os.utime(self._fd, ns=(modified_ms * 1_000_000, modified_ms * 1_000_000))
            os.fsync(self._fd)
            self._appear()
            _fsync_folder(self.target.parent)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._temporary.unlink(missing_ok=True)

    def _appear(self) -> None:
        if self._overwrite:
            self._temporary.replace(self.target)
            return
        try:
            os.link(self._temporary, self.target)  # unlike a rename it never replaces a file
        except FileExistsError:
            raise self._taken() from None
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            if os.path.lexists(self.target):
                raise self._taken() from None
            self._temporary.rename(self.target)

    def _taken(self) -> Conflict:
        return Conflict(
            f"{shown(str(self.target))} is already there",
            hint="Choose another name with -o, or let it be replaced with --yes.",
        )


@contextmanager
def _about(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RepramError(
            f"cannot write {shown(str(target))}: {error.strerror}",
            hint="Nothing was left behind. Choose another place with -o.",
        ) from error


def _fsync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
