"""The async API: `from repram import Client`."""

from repram.crypto.spaces import Space
from repram.sdk.client import Client
from repram.sdk.events import Began, Event, Finished, LeftOut, Moved, Trouble
from repram.sdk.links import Happened, Made, Standing
from repram.sdk.receiving import Received
from repram.sdk.storage import About
from repram.sdk.transfer import Transfer

__all__ = [
    "About",
    "Began",
    "Client",
    "Event",
    "Finished",
    "Happened",
    "LeftOut",
    "Made",
    "Moved",
    "Received",
    "Space",
    "Standing",
    "Transfer",
    "Trouble",
]
