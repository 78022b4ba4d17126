"""Small files that a person's programs share: readable by their owner alone, replaced whole or not at all."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Generic, TypeVar

import msgspec

from repram.errors import RepramError, UsageError

MAX_SIZE: Final = 1 << 20  # bytes of one file

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")

T = TypeVar("T", bound=msgspec.Struct)


def is_name(text: str) -> bool:
    """Whether a host, a space or a profile may be called so."""
    return _NAME.fullmatch(text) is not None


def check_name(text: str) -> None:
    """Refuse what is no name for a host, a space or a profile."""
    if not is_name(text):
        raise UsageError(
            "a name here has 1 to 63 letters, digits, `.`, `_` or `-`, the first a letter or digit"
        )


def state_folder(environment: Mapping[str, str]) -> Path:
    """Where a profile's state is kept; a relative $XDG_STATE_HOME is no answer, says its specification."""
    home = environment.get("XDG_STATE_HOME", "")
    root = Path(home) if Path(home).is_absolute() else Path.home() / ".local" / "state"
    profile = environment.get("REPRAM_PROFILE", "")
    if not profile:
        return root / "repram"
    check_name(profile)
    return root / "repram" / "profiles" / profile


class StateFile(Generic[T]):
    """One struct in one file, as JSON; a file that is not there holds the struct's defaults."""

    def __init__(self, path: Path, kind: type[T]) -> None:
        self.path = path
        self._kind = kind

    def read(self) -> T:
        """What it holds; a UsageError when that is damaged, or open to others."""
        with _about(self.path):
            try:
                fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return self._kind()
            with os.fdopen(fd, "rb") as file:
                if os.fstat(fd).st_mode & 0o077:
                    raise UsageError(
                        f"others can read {self.path}, which holds secrets",
                        hint=f"Run `chmod 600 {self.path}`.",
                    )
                return self._parse(file.read(MAX_SIZE + 1))

    def update(self, change: Callable[[T], T]) -> T:
        """Read, change and replace, while no other program does; what is there then."""
        with _about(self.path):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._locked():
                before = self.read()
                after = change(before)
                if after != before:
                    self._replace(msgspec.json.format(msgspec.json.encode(after)) + b"\n")
                return after

    def _parse(self, data: bytes) -> T:
        try:
            if len(data) <= MAX_SIZE:
                return msgspec.json.decode(data, type=self._kind)
            why = f"it has more than {MAX_SIZE} bytes"
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            why = (
                "it is not what was written there"  # its text may hold secrets: none of it is shown
            )
        raise UsageError(
            f"{self.path} is damaged: {why}", hint="Mend it, or move it away to start anew."
        )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """The lock is a file of its own, because the other is replaced."""
        lock = self.path.with_suffix(".lock")
        fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _replace(self, data: bytes) -> None:
        temporary = self.path.with_suffix(f".{secrets.token_hex(8)}")
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(fd)
            temporary.replace(self.path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextmanager
def _about(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RepramError(
            f"cannot use {path}: {error.strerror}",
            hint="Check the folder's rights, or set $XDG_STATE_HOME.",
        ) from error
