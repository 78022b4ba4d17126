"""The vectors of content: repram and a reader that shares no line with it say what each one says."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from repram.content import head as heads
from repram.content import refs
from repram.content.chunker import Chunker
from repram.content.head import Head, Kind
from repram.content.refs import Body, BodyBuilder, Ref
from repram.crypto import locks, people, sealing
from repram.crypto.people import Person
from repram.crypto.statements import Signer
from repram.crypto.xchacha import Bytes
from repram.errors import IntegrityFailure, NotAllowed, WrongPassword
from repram.ids import ItemId
from tests.content import reader
from tests.content.trees import head as tree_head
from tests.content.trees import landed, packed, snapshot
from tests.vectors import make

VECTORS = json.loads(make.FILE.read_text())


def each(part: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("vector", VECTORS[part], ids=lambda vector: vector["about"])


def raw(text: str) -> bytes:
    return base64.b64decode(text)


def said_by_repram(read: Callable[[], object]) -> tuple[str, object]:
    try:
        return "ok", read()
    except IntegrityFailure:
        return "refused", None
    except WrongPassword:
        return "wrong password", None
    except NotAllowed:
        return "other people", None


def said_by_reader(read: Callable[[], object]) -> tuple[str, object]:
    try:
        return "ok", read()
    except reader.Refused as word:
        return str(word), None


def test_the_file_is_what_its_maker_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make, "FILE", tmp_path / "again.json")
    make.main()
    assert json.loads((tmp_path / "again.json").read_text()) == VECTORS


@each("chunks")
def test_chunks(vector: dict[str, str]) -> None:
    item, key, sealed = (raw(vector[part]) for part in ("id", "key", "sealed"))
    ours = said_by_repram(lambda: bytes(sealing.open_chunk(key, ItemId(item), sealed)))
    assert ours == said_by_reader(lambda: reader.chunk_open(item, key, sealed))
    assert ours[0] == vector["expect"]


@each("bodies")
def test_bodies(vector: dict[str, Any]) -> None:
    listed, page, size = raw(vector["refs"]), raw(vector["page"]), vector["size"]
    seen: list[bytes] = []

    async def main() -> int:
        async def fetch(ref: Ref) -> Bytes:
            return sealing.open_chunk(ref.key, ItemId(ref.id), page)

        body = Body(vector["depth"], refs.decode(listed))
        return len([ref async for ref in refs.walk(body, size, fetch)])

    def of_reader() -> int:
        def fetch(item: bytes) -> bytes:
            if not seen:
                seen.append(item)
                return page
            raise EOFError  # the chunks are not there: the page has been taken

        reader.need(vector["depth"] == 1)
        reader.check_lengths(listed, 1, 0, size)
        with pytest.raises(EOFError):
            reader.content({"refs": listed, "depth": 1, "size": size}, fetch)
        return 33

    ours = said_by_repram(lambda: asyncio.run(main()))
    assert ours == said_by_reader(of_reader)
    assert ours[0] == vector["expect"]


@each("heads")
def test_heads(vector: dict[str, str]) -> None:
    head = raw(vector["head"])
    ours = said_by_repram(lambda: heads.decode(head).name)
    assert ours == said_by_reader(lambda: reader.read_head(head)["name"])
    assert ours[0] == vector["expect"]


@each("locks")
def test_locks(vector: dict[str, str]) -> None:
    sealed, secret, password, seed = (
        raw(vector[part]) for part in ("item", "secret", "password", "seed")
    )
    item = sealing.id_of(sealed)

    def unbox(box: bytes) -> bytes | None:
        try:
            return people.unbox(seed, box)
        except IntegrityFailure:
            return None

    def of_repram() -> bytes:
        locked = locks.unlock(item, sealed, secret)
        if locked.needs == "people":
            locked = locked.open_people(unbox)
        return (locked.open_password(password) if locked.needs else locked).head

    ours = said_by_repram(of_repram)
    assert ours == said_by_reader(lambda: reader.unlock(item.raw, sealed, secret, password, seed))
    assert ours[0] == vector["expect"]


@each("trees")
def test_trees(tmp_path: Path, vector: dict[str, Any]) -> None:
    stream = raw(vector["stream"])
    read = said_by_reader(lambda: reader.read_tree(stream))
    assert read[0] == vector["expect"]
    if read[1] is None:
        with pytest.raises(IntegrityFailure):
            landed(tmp_path, (tree_head(1, 3), stream))
        assert not (tmp_path / "r").exists()
        return
    made, refused = reader.read_tree(stream)
    roots = sum(b"/" not in path for path in [*made, *refused])
    left_out = landed(tmp_path, (tree_head(roots, len(made) + len(refused)), stream))
    assert [os.fsdecode(each.path) for each in left_out] == vector["refused"]
    assert sorted(map(os.fsdecode, snapshot(tmp_path))) == vector["made"]
    assert {path: what for path, (_, _, what) in snapshot(tmp_path).items()} == {
        path: what for path, (_, _, _, what) in made.items()
    }
    assert ([os.fsdecode(path) for path in refused], sorted(map(os.fsdecode, made))) == (
        vector["refused"],
        vector["made"],
    )


def test_the_second_reader_reads_what_repram_writes_today(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    with (tmp_path / "tree" / "file").open("wb") as file:
        file.truncate(34 << 20)
    (tmp_path / "tree" / "link").symlink_to("file")
    announced, stream = packed(tmp_path / "tree")
    held: dict[bytes, bytes] = {}

    def put(block: bytes | bytearray) -> Ref:
        key, sealed = sealing.seal_chunk(block)
        held[sealing.id_of(sealed).raw] = bytes(sealed)
        return Ref(sealing.id_of(sealed).raw, key, len(block))

    builder = BodyBuilder(put)
    for block in Chunker(io.BytesIO(stream)):
        builder.add(put(block))
    body = builder.finish()
    assert body.depth == 1
    head = Head(
        kind=Kind.TREE,
        name="tree",
        size=len(stream),
        entries=announced.entries,
        roots=1,
        modified=-5,
        mode=0,
        expires=7,
        depth=body.depth,
        refs=refs.encode(body.refs),
    )
    signer, secret, seed = Signer(bytes(32)), os.urandom(32), os.urandom(32)
    who = Person(Signer(seed).key)
    item = locks.lock(secret, heads.encode(head, signer), locks.Locks(b"password", (who,)))
    opened = reader.unlock(sealing.id_of(item).raw, item, secret, b"password", seed)
    fields = reader.read_head(opened)
    assert reader.content(fields, held.__getitem__) == stream
    made, refused = reader.read_tree(stream)
    assert (sorted(made), refused) == ([b"tree", b"tree/file", b"tree/link"], [])
