"""The async API: `from repram import Client`."""

from repram.sdk.client import Client
from repram.sdk.transfer import Progress

__all__ = ["Client", "Progress"]
