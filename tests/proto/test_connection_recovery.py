"""What is lost is sent again in new packets: after three later ones, after a while, or after silence."""

from __future__ import annotations

from itertools import pairwise

from repram.proto.connection import Address, Core, Settings
from repram.proto.primitives import Suite
from tests.proto.by_hand import DATA, SERVER_STREAM, STREAM, STREAM_FIN, Frame, Limits, Talk, ack, frame, hello
from tests.proto.duo import CLIENT, SERVER, Duo

NOW = 1_000_000
MS = 1_000
MTU = 1_200
TEXT = bytes(range(256)) * 400
