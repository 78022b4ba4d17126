"""Trying again: what could not be reached may be back in a moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar

from repram.errors import RateLimited, RepramError, Unreachable, WrongKey

PATIENCE: Final = 30.0  # seconds from the first failure on
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 3.0


class Patient(Protocol):
    """Whose calls are tried again, for how long, and who is told of each failure."""

    @property
    def patience(self) -> float:
        """Seconds."""

    def troubled(self, error: RepramError) -> None:
        """It failed, and is tried again after a pause."""


P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S", bound=Patient)


def persistent(
    call: Callable[Concatenate[S, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]:
    """Try again what is Unreachable for now, with growing pauses, as long as the patience lasts."""

    @wraps(call)
    async def tried(patient: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        clock = asyncio.get_running_loop().time
        since: float | None = None
        pause = _FIRST_PAUSE
        while True:
            try:
                return await call(patient, *args, **kwargs)
            except WrongKey:
                raise  # another node answers there: it will do so again
            except (Unreachable, RateLimited) as error:
                since = clock() if since is None else since
                if clock() + pause > since + patient.patience:
                    raise
                patient.troubled(error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    return tried
