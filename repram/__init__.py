"""repram: replicated ephemeral memory. Importing this package is cheap; `Client` loads on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from repram.sdk import Client

__version__ = "0.1.0"
__all__ = ["Client", "__version__"]


def __getattr__(name: str) -> object:
    if name == "Client":
        from repram.sdk import Client

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
