"""Links as anybody can make them: with any layer under the link's key, and any stream as a tree."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec

from repram.content import head as heads
from repram.content import refs
from repram.content.chunker import CHUNK_SIZE
from repram.content.head import Head, Kind
from repram.content.padding import padme
from repram.content.refs import Ref
from repram.crypto import committed, labels
from repram.crypto.links import Link
from repram.crypto.locks import PAGE_SIZE
from repram.crypto.sealing import id_of, seal_chunk
from repram.crypto.statements import Signer
from repram.ids import NodeAddress
from repram.proto.messages import STORAGE
from repram.proto.rpc import Caller
from tests.leases import MINUTE, Owner
from tests.nodes import calling

SECRET = bytes(range(32))


def under_the_link(layer: object) -> bytes:
    """Under the right key, in the right frame."""
    encoded = msgspec.msgpack.encode(layer)
    page = (len(encoded).to_bytes(4, "big") + encoded).ljust(PAGE_SIZE, b"\0")
    return committed.seal(labels.derive(labels.LINK_HEAD_KEY, SECRET), page, labels.SEALED_HEAD)


def tree_of(stream: bytes, entries: int, roots: int) -> tuple[bytes, bytes]:
    """The one sealed chunk of a small tree, and its signed head."""
    key, sealed = seal_chunk(stream.ljust(padme(len(stream)), b"\0"))
    assert len(sealed) <= CHUNK_SIZE
    head = Head(
        kind=Kind.TREE,
        name="tree",
        size=len(stream),
        entries=entries,
        roots=roots,
        modified=0,
        mode=0o777,
        expires=0,
        depth=0,
        refs=refs.encode([Ref(id_of(sealed).raw, key, padme(len(stream)))]),
    )
    return bytes(sealed), heads.encode(head, Signer(bytes(32)))


async def stored(address: str, items: Sequence[bytes]) -> Link:
    """A link to the last of these, once the node has all of them."""
    node = NodeAddress.parse(address)
    async with calling(node) as session:
        caller = Caller(session, STORAGE)
        puts = Owner.number(7).puts(items, time.time_ns() // 1_000_000, MINUTE)
        for put, item in zip(puts, items, strict=True):
            await caller.call(put, body=item)
    return Link(node, id_of(items[-1]), SECRET)
