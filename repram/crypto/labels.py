"""Every label under which a key is derived or bytes are sealed; `docs/keys.md` lists them.

A label is never reused for another purpose and never changed: a new meaning gets a new one.
"""

from __future__ import annotations

from typing import Final

from blake3 import blake3

LINK_CHECKSUM: Final = "repram v1 link checksum"
LINK_MANIFEST_KEY: Final = "repram v1 link manifest key"
SEALED_CHUNK: Final = b"repram v1 sealed chunk"
SEALED_MANIFEST: Final = b"repram v1 sealed manifest"


def derive(label: str, material: bytes, size: int = 32) -> bytes:
    """BLAKE3 in its key-derivation mode; the label is the context string."""
    return blake3(material, derive_key_context=label).digest(size)
