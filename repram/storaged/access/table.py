"""Small tables in files: a JSON object a row, for the owner's eyes alone, replaced whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Generic, TypeVar

import msgspec

from repram.errors import RepramError

ROWS_MAX: Final = 100_000
_FILE_MAX: Final = 64 << 20

Row = TypeVar("Row", bound=msgspec.Struct)


class Table(Generic[Row]):
    """Rows of one kind in a file, or without a path nowhere, for a node that keeps nothing."""

    def __init__(self, kind: type[Row], path: Path | None) -> None:
        self._decoder = msgspec.json.Decoder(kind)
        self._path = path

    def read(self) -> list[Row]:
        """All rows; a file that is not there has none."""
        if self._path is None:
            return []
        try:
            with self._path.open("rb") as file:
                raw = file.read(_FILE_MAX + 1)
            if len(raw) > _FILE_MAX:
                raise RepramError(f"{self._path} is too large", hint="Remove lines from it.")
            return self._decoder.decode_lines(raw)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._failed("read", error) from error
        except msgspec.DecodeError as error:
            raise RepramError(
                f"{self._path} is damaged: {error}", hint="Mend or remove it, then start again."
            ) from error

    def write(self, rows: list[Row]) -> None:
        """These rows instead of all there were; they are on the disk when this returns."""
        if len(rows) > ROWS_MAX:
            raise RepramError(f"more than {ROWS_MAX} lines do not belong into one table")
        if self._path is None:
            return
        beside = self._path.with_name(f".{self._path.name}.new")
        try:
            fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(msgspec.json.Encoder().encode_lines(rows))
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise self._failed("write", error) from error

    def _failed(self, what: str, error: OSError) -> RepramError:
        return RepramError(
            f"cannot {what} {self._path}: {error.strerror}",
            hint="Check the folder's owner and the room on its disk.",
        )
