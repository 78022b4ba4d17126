"""Record versions that are put in one turn of the event loop travel together, under one signature: as many
as a short question holds."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from repram.crypto.statements import (
    RECORDS_MAX,
    RecordTerms,
    Signer,
    records_statement,
    root_of,
)
from repram.crypto.xchacha import Bytes
from repram.errors import RemoteError
from repram.proto.messages import INLINE_MAX, NewRecord, Outcome, Outcomes, PutRecords, Reply
from repram.sdk.storage import Conversation

# A batch goes out as soon as it is full, and the node works on it while the next one is sealed.
BATCH_BYTES: Final = 30 << 10
_AROUND: Final = 96  # bytes that a record takes in a message beside its note and its value


class _Put(NamedTuple):
    record: NewRecord
    outcome: asyncio.Future[Outcome]


class Gathering:
    """Everything that one owner puts."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._conversation: Conversation | None = None
        self._waiting: list[_Put] = []
        self._size = 0
        self._tasks: set[asyncio.Task[Reply]] = set()

    async def put(self, conversation: Conversation, record: NewRecord, value: Bytes) -> Outcome:
        """Have the node keep a version; `record` comes without its value."""
        if len(value) > INLINE_MAX:
            return await self._put_alone(conversation, record, value)
        loop = asyncio.get_running_loop()
        size = len(value) + len(record.note) + _AROUND
        if self._waiting and not self._fits(conversation, size):
            self._send()
        if not self._waiting:
            loop.call_soon(self._send)
        put = _Put(replace(record, value=bytes(value)), loop.create_future())
        self._conversation = conversation
        self._waiting.append(put)
        self._size += size
        return await put.outcome

    async def close(self) -> None:
        """Whoever still waits is cancelled."""
        for put in self._waiting:
            put.outcome.cancel()
        self._waiting.clear()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _fits(self, conversation: Conversation, size: int) -> bool:
        return (
            len(self._waiting) < RECORDS_MAX
            and self._size + size <= BATCH_BYTES
            and self._conversation is conversation
        )

    def _send(self) -> None:
        batch = [put for put in self._waiting if not put.outcome.done()]  # some have given up
        self._waiting, self._size = [], 0
        if not batch or self._conversation is None:
            return
        records = [put.record for put in batch]
        try:
            request = self._signed(records, [record.value for record in records])
            asking = self._conversation.caller.begin(request)
        except Exception as error:  # noqa: BLE001  # as below; and no other put fails because of these
            _fail(batch, error)
            return
        task = asyncio.get_running_loop().create_task(asking)
        self._tasks.add(task)
        task.add_done_callback(lambda _: self._answered(task, batch))

    def _answered(self, task: asyncio.Task[Reply], batch: list[_Put]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            for put in batch:
                put.outcome.cancel()
            return
        try:
            outcomes = _outcomes(task.result(), len(batch))
        except Exception as error:  # noqa: BLE001  # each of those who wait is told
            _fail(batch, error)
            return
        for put, outcome in zip(batch, outcomes, strict=True):
            if not put.outcome.done():
                put.outcome.set_result(outcome)

    async def _put_alone(
        self, conversation: Conversation, record: NewRecord, value: Bytes
    ) -> Outcome:
        request = self._signed([record], [value], size=len(value))
        answer = await conversation.caller.call(request, body=value)
        return _outcomes(answer.reply, 1)[0]

    def _signed(
        self, records: Sequence[NewRecord], values: Sequence[Bytes], size: int = 0
    ) -> PutRecords:
        leaves = [_leaf(*each) for each in zip(records, values, strict=True)]
        owner = self._signer.key
        signature = self._signer.sign(records_statement(owner, root_of(leaves)))
        return PutRecords(owner, tuple(records), signature, size)


def _fail(batch: list[_Put], error: Exception) -> None:
    for put in batch:
        if not put.outcome.done():
            put.outcome.set_exception(error)


def _leaf(record: NewRecord, value: Bytes) -> bytes:
    return RecordTerms(
        record.label,
        record.version,
        record.deadline,
        record.ttl,
        record.removed,
        record.note,
        value,
    ).leaf()


def _outcomes(reply: Reply, count: int) -> tuple[Outcome, ...]:
    if not isinstance(reply, Outcomes) or len(reply.outcomes) != count:
        raise RemoteError("the node did not say what became of each value")
    return reply.outcomes
