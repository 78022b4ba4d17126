"""What is signed: leases, ends, record versions, feed entries, claims, and who owns what.

Every statement is one fixed layout behind a label of its own, so that no signature means two things;
`docs/keys.md` has them byte by byte. Batches are signed once, over the root of a Merkle tree.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

import nacl.bindings as sodium
from blake3 import blake3

from repram.crypto import identity, labels
from repram.crypto.xchacha import Bytes
from repram.errors import IntegrityFailure, LocalError
from repram.ids import ItemId

BATCH_MAX: Final = 16  # items under one lease
RECORDS_MAX: Final = 64  # record versions under one signature
HASH_SIZE: Final = 32
EVERYTHING: Final = bytes(32)  # as the root of an end: all that this key may end

_LEASE: Final = struct.Struct(">32s32s32sQQQ")
_END: Final = struct.Struct(">32s32sQ")
_RECORD: Final = struct.Struct(">32sQQQB32s32s")
_ROOT: Final = struct.Struct(">32s32s")
_ENTRY: Final = struct.Struct(">32sQ32sQQ32s")
_LEAF: Final = struct.Struct(">32sI")
_HASH_OF_NOTHING: Final = blake3(b"").digest()

# Started once and copied: a quarter of the time that a context costs each time anew.
_NODE: Final = blake3(derive_key_context=labels.TREE_NODE)
_LEASE_LEAF: Final = blake3(derive_key_context=labels.LEASE_LEAF)
_RECORD_ID: Final = blake3(derive_key_context=labels.RECORD_ID)
_RECORD_LEAF: Final = blake3(derive_key_context=labels.RECORD_LEAF)
_FEED_ID: Final = blake3(derive_key_context=labels.FEED_ID)


class Signer:
    """An Ed25519 key that signs statements; made once, used often."""

    __slots__ = ("_secret", "key")

    def __init__(self, seed: bytes) -> None:
        self.key, self._secret = sodium.crypto_sign_seed_keypair(seed)

    def sign(self, statement: bytes) -> bytes:
        """The 64 bytes that prove it."""
        return sodium.crypto_sign(statement, self._secret)[: sodium.crypto_sign_BYTES]


def check(key: bytes, statement: bytes, signature: bytes) -> None:
    """Pass, or raise IntegrityFailure."""
    identity.verify(key, statement, signature)


# ---- Merkle trees: one signature for many ----


def tree_of(leaves: Sequence[bytes]) -> list[list[bytes]]:
    """All levels over at least one leaf, the leaves first and the root alone in the last."""
    levels = [list(leaves)]
    while len(levels[-1]) > 1:
        levels.append(_above(levels[-1]))
    return levels


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The root over at least one leaf; a single leaf is its own root."""
    return tree_of(leaves)[-1][0]


def proof_of(tree: Sequence[Sequence[bytes]], index: int) -> tuple[bytes, ...]:
    """What has to be hashed in, level by level, to get from one leaf of a `tree_of` to its root."""
    path = []
    for level in tree[:-1]:
        beside = index ^ 1
        path.append(level[beside] if beside < len(level) else level[index])
        index >>= 1
    return tuple(path)


def root_from(leaf: bytes, index: int, proof: Sequence[bytes]) -> bytes:
    """The root to which this proof leads."""
    node = leaf
    for beside in proof:
        node = _join(beside, node) if index & 1 else _join(node, beside)
        index >>= 1
    if index:
        raise IntegrityFailure("the proof is shorter than the place it is for")
    return node


def _derived(started: blake3, material: bytes) -> bytes:
    hasher = started.copy()
    hasher.update(material)
    return hasher.digest()


def _above(level: list[bytes]) -> list[bytes]:
    """An odd one out is joined with itself."""
    return [
        _join(level[i], level[i + 1] if i + 1 < len(level) else level[i])
        for i in range(0, len(level), 2)
    ]


def _join(left: bytes, right: bytes) -> bytes:
    return _derived(_NODE, left + right)


# ---- leases ----


def lease_leaf(item: ItemId, downloads: int) -> bytes:
    """An item's place in a batch; how often it may be fetched (0: as often as anyone likes) is part of it."""
    packed = _LEAF.pack(item.raw, downloads)
    return _derived(_LEASE_LEAF, packed)


class LeaseTerms(NamedTuple):
    """What a lease says: so long, in the node's time (milliseconds), by these keys."""

    root: bytes
    renew_pk: bytes
    end_pk: bytes
    serial: int
    deadline: int
    ttl: int

    def statement(self) -> bytes:
        """What is signed: by end_pk when the lease is made (serial 0), by either when it is renewed."""
        return labels.LEASE + _LEASE.pack(*self)


class EndTerms(NamedTuple):
    """That end_pk's leases on a root, or all of its leases, are over."""

    root: bytes
    end_pk: bytes
    time: int

    def statement(self) -> bytes:
        """What end_pk signs."""
        return labels.LEASE_END + _END.pack(*self)


# ---- records ----


def record_id(owner: bytes, label: bytes) -> ItemId:
    """Where an owner's record of this label is found; nobody else can take the place."""
    return ItemId(_derived(_RECORD_ID, owner + label))


class RecordTerms(NamedTuple):
    """One version of a record."""

    label: bytes
    version: int
    deadline: int
    ttl: int
    removed: bool
    note: Bytes  # sealed: its name, for whoever lists
    value: Bytes

    def leaf(self) -> bytes:
        """Its place in a batch."""
        note = blake3(self.note).digest() if self.note else _HASH_OF_NOTHING
        value = blake3(self.value).digest() if self.value else _HASH_OF_NOTHING
        packed = _RECORD.pack(*self[:5], note, value)
        return _derived(_RECORD_LEAF, packed)


def records_statement(owner: bytes, root: bytes) -> bytes:
    """What an owner signs over a batch of record versions."""
    return labels.RECORDS + _ROOT.pack(owner, root)


# ---- feeds ----


def feed_id(owner: bytes, label: bytes) -> ItemId:
    """Where an owner's feed of this label is found."""
    return ItemId(_derived(_FEED_ID, owner + label))


class EntryTerms(NamedTuple):
    """One entry of a feed; the first has number 1 and follows 32 zero bytes."""

    feed: bytes
    number: int
    previous: bytes
    deadline: int
    ttl: int
    data: Bytes

    def statement(self) -> bytes:
        """What the feed's owner signs."""
        return labels.FEED_ENTRY + _ENTRY.pack(*self[:5], blake3(self.data).digest())

    def hash(self) -> bytes:
        """What the next entry follows."""
        return blake3(self.statement()).digest()


# ---- who is at the other end ----


def owner_statement(owner: bytes, handshake_hash: bytes) -> bytes:
    """What an owner signs to list and change what is its own, in this session alone."""
    return labels.OWNER + owner + _hash(handshake_hash)


def claim_statement(item: ItemId, claimant: bytes, handshake_hash: bytes) -> bytes:
    """What a claim's key signs to fetch a limited item, in this session."""
    return labels.CLAIM + item.raw + claimant + _hash(handshake_hash)


def _hash(handshake_hash: bytes) -> bytes:
    if len(handshake_hash) != 64:
        raise LocalError("a handshake hash has 64 bytes")
    return handshake_hash
