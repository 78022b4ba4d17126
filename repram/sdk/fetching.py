"""A record as it comes from the node, and whether its owner signed it."""

from __future__ import annotations

from repram.crypto.statements import RecordTerms, check, records_statement, root_from
from repram.crypto.xchacha import Bytes
from repram.errors import IntegrityFailure
from repram.ids import ItemId
from repram.proto.messages import RECORD_MAX, GetRecord, Record
from repram.proto.rpc import Malformed
from repram.sdk.storage import Conversation


async def fetch(conversation: Conversation, item: ItemId) -> tuple[Record, Bytes]:
    """A record and its sealed value, as the node says; nothing of it is checked but its form. It comes with
    its owner's signature when that says more than the value, which opens or does not: with a removal."""
    try:
        answer = await conversation.caller.call(GetRecord(item.raw, bare=True), max_body=RECORD_MAX)
    except Malformed as error:
        raise IntegrityFailure(f"the node answered what it should not: {error}") from None
    record = answer.reply
    if not isinstance(record, Record) or record.size != len(answer.body):
        raise IntegrityFailure("the node announced another record than it sent")
    return record, answer.body if record.size else record.value


def check_signature(record: Record, sealed: Bytes) -> None:
    """Pass when its owner has signed this version, or raise IntegrityFailure."""
    terms = RecordTerms(
        record.label,
        record.version,
        record.deadline,
        record.ttl,
        record.removed,
        record.note,
        sealed,
    )
    root = root_from(terms.leaf(), record.index, record.proof)
    check(record.owner, records_statement(record.owner, root), record.signature)
