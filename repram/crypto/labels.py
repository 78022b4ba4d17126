"""Every label under which a key is derived or bytes are sealed; `docs/keys.md` lists them.

A label is never reused for another purpose and never changed: a new meaning gets a new one.
"""

from __future__ import annotations

from typing import Final

from blake3 import blake3

LINK_CHECKSUM: Final = "repram v1 link checksum"
LINK_HEAD_KEY: Final = "repram v1 link head key"
SEALED_CHUNK: Final = b"repram v1 sealed chunk"
SEALED_HEAD: Final = b"repram v1 sealed head"
HEAD: Final = b"repram v1 head"
PASSWORD_LOCK: Final = b"repram v1 password lock"
PEOPLE_LOCK: Final = b"repram v1 people lock"
TREE_NODE: Final = "repram v1 tree node"
LEASE_LEAF: Final = "repram v1 lease leaf"
LEASE: Final = b"repram v1 lease"
LEASE_END: Final = b"repram v1 lease end"
RECORD_ID: Final = "repram v1 record id"
RECORD_LEAF: Final = "repram v1 record version"
RECORDS: Final = b"repram v1 records"
FEED_ID: Final = "repram v1 feed id"
FEED_ENTRY: Final = b"repram v1 feed entry"
OWNER: Final = b"repram v1 owner"
CLAIM: Final = b"repram v1 claim"
BUCKET_WRAP: Final = b"repram v1 bucket wrap"
STORED_BODY: Final = b"repram v1 stored body"
SPACE_CHECKSUM: Final = "repram v1 space checksum"
SPACE_OWNER: Final = "repram v1 space owner"
SPACE_NAMES: Final = "repram v1 space names"
SPACE_VALUES: Final = "repram v1 space values"
SEALED_VALUE: Final = b"repram v1 sealed value"
SEALED_NOTE: Final = b"repram v1 sealed note"
COMMITTED_KEY: Final = "repram v1 committed key"
KEY_COMMITMENT: Final = "repram v1 key commitment"
PERSON_CHECKSUM: Final = "repram v1 person checksum"
ACCOUNT_KEK: Final = "repram v1 account kek"
LOGIN_SEED: Final = "repram v1 login seed"
RECOVERY_SEED: Final = "repram v1 recovery seed"
MASTER_WRAP: Final = b"repram v1 master wrap"
IDENTITY_WRAP: Final = b"repram v1 identity wrap"


def derive(label: str, material: bytes, size: int = 32) -> bytes:
    """BLAKE3 in its key-derivation mode; the label is the context string."""
    return blake3(material, derive_key_context=label).digest(size)
