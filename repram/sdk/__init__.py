"""The async API: `from repram import Client`."""

from repram.crypto.spaces import Space
from repram.sdk.client import Client
from repram.sdk.storage import About
from repram.sdk.transfer import Progress

__all__ = ["About", "Client", "Progress", "Space"]
