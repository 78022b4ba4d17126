"""The head of a file or tree: what a link leads to, behind its locks.

It says what this is called, how large it is, until when it is there, on which nodes, and where its body
begins; it is signed by the key that can end the upload. `docs/keys.md` has it byte by byte.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import msgspec
from blake3 import blake3
from msgspec import Meta

from repram.content import refs
from repram.content.names import is_safe_name
from repram.content.refs import HEAD_REFS, MAX_DEPTH, MAX_SIZE, REF_SIZE, Body
from repram.crypto import labels, statements
from repram.crypto.statements import HASH_SIZE, Signer
from repram.crypto.xchacha import Bytes
from repram.errors import IntegrityFailure, LocalError, UsageError
from repram.ids import KEY_SIZE, NodeAddress

VERSION: Final = 2
MAX_MODE: Final = 0o777
MAX_HOSTS: Final = 8
MAX_HOST_TEXT: Final = 320
FIRST: Final = 1
NO_PREVIOUS: Final = bytes(HASH_SIZE)
_SIGNATURE_SIZE: Final = 64

_Count = Annotated[int, Meta(ge=0, le=MAX_SIZE)]
_Milliseconds = Annotated[int, Meta(ge=0, le=1 << 53)]
_Hash = Annotated[bytes, Meta(min_length=HASH_SIZE, max_length=HASH_SIZE)]
_Key = Annotated[bytes, Meta(min_length=KEY_SIZE, max_length=KEY_SIZE)]
_HostText = Annotated[str, Meta(max_length=MAX_HOST_TEXT)]


class Kind(StrEnum):
    """What the content is: the bytes of one file, or a packed tree."""

    FILE = "file"
    TREE = "tree"


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """One version of one file or tree."""

    version: int = VERSION
    kind: Kind
    name: Annotated[str, Meta(min_length=1, max_length=255)]
    size: _Count  # of the content, before padding
    entries: _Count = 0  # of a tree: files, folders and links
    roots: _Count = 0  # of a tree: entries that lie in no folder
    modified: Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)]  # Unix nanoseconds
    mode: Annotated[int, Meta(ge=0, le=MAX_MODE)]
    expires: _Milliseconds  # informative: nodes decide
    number: Annotated[int, Meta(ge=1, le=1 << 53)] = FIRST
    previous: _Hash = NO_PREVIOUS  # of the head of the version before
    hosts: Annotated[tuple[_HostText, ...], Meta(max_length=MAX_HOSTS)] = ()
    depth: Annotated[int, Meta(ge=0, le=MAX_DEPTH)]
    refs: Annotated[bytes, Meta(max_length=HEAD_REFS * REF_SIZE)]
    end_pk: _Key = bytes(KEY_SIZE)  # set by `encode`

    @property
    def body(self) -> Body:
        """Where the content begins."""
        return Body(self.depth, refs.decode(self.refs))

    def addresses(self) -> tuple[NodeAddress, ...]:
        """The nodes that hold all of it."""
        return tuple(map(NodeAddress.parse, self.hosts))

    def __repr__(self) -> str:
        return f"Head({self.kind}, {self.size} bytes)"  # refs are keys, and a name is nobody's business


def encode(head: Head, signer: Signer) -> bytes:
    """Signature and head as they are locked; `signer` is the upload's key for ends."""
    encoded = _encoder.encode(msgspec.structs.replace(head, end_pk=signer.key))
    signed = signer.sign(_statement(encoded)) + encoded
    try:
        decode(signed)
    except IntegrityFailure as error:
        raise LocalError(f"no reader would take this head: {error}") from None
    return signed


def decode(signed: Bytes) -> Head:
    """Check the signature, and everything that a hostile writer may have put in."""
    signature, encoded = bytes(signed[:_SIGNATURE_SIZE]), bytes(signed[_SIGNATURE_SIZE:])
    try:
        head = _decoder.decode(encoded)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise IntegrityFailure(
            "the head opens, but is not one that this version reads",
            hint="Update repram, or ask the sender which version made the link.",
        ) from None
    if head.version != VERSION:
        raise IntegrityFailure(
            f"the head is of version {head.version}; this repram reads {VERSION}",
            hint="Update repram.",
        )
    statements.check(head.end_pk, _statement(encoded), signature)
    _check(head)
    return head


def _statement(encoded: bytes) -> bytes:
    return labels.HEAD + blake3(encoded).digest()


def _check(head: Head) -> None:
    if not is_safe_name(head.name):
        raise IntegrityFailure(
            "the head names a path instead of a file", hint="Do not trust who made this link."
        )
    least, most = (1, head.size) if head.kind is Kind.TREE else (0, 0)
    if not least <= head.roots <= head.entries <= most:
        raise IntegrityFailure("the head counts what there cannot be")
    if (head.number == FIRST) != (head.previous == NO_PREVIOUS):
        raise IntegrityFailure("the head follows another one, or none, against its number")
    try:
        head.addresses()
    except UsageError:
        raise IntegrityFailure("the head names a host that is none") from None
    refs.check_body(head.body, head.size)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Head)
