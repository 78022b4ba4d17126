"""Large pieces are read where they are: kept as long as the core needs them, and not a moment longer."""

from __future__ import annotations

from collections.abc import Callable
from operator import gt
from random import Random
from sys import getrefcount

import pytest

from repram._core import lib
from repram.errors import SessionClosed
from repram.proto.connection import Address, Connection, EventKind, Settings
from tests.proto.duo import Duo, passes

PAGE = lib.RP_LENT_PAGE
LARGE = 6 * PAGE + 777


def joined(**options: object) -> tuple[Duo, Connection, Connection]:
    duo = Duo(**options)  # type: ignore[arg-type]
    mine, theirs = duo.connect()
    duo.run(1)
    return duo, mine, theirs


def references(pieces: list[bytes]) -> list[int]:
    return [getrefcount(piece) for piece in pieces]


def large(seed: int = 1) -> bytes:
    return Random(seed).randbytes(LARGE)


def test_an_immutable_piece_is_kept_until_it_is_acknowledged() -> None:
    duo, mine, _ = joined()
    piece = large()
    before = getrefcount(piece)
    stream = mine.open_stream()
    assert mine.write(stream, piece, fin=True) == LARGE
    assert getrefcount(piece) == before + 1
    duo.run(1)
    assert getrefcount(piece) == before


def test_a_read_only_view_is_lent_and_let_go_again() -> None:
    duo, mine, theirs = joined()
    piece = bytearray(large())
    stream = mine.open_stream()
    assert mine.write(stream, memoryview(piece).toreadonly(), fin=True) == LARGE
    with pytest.raises(BufferError):  # somebody looks at it
        piece.clear()
    duo.run(1)
    assert read_all(theirs, stream) == large()
    piece.clear()


@pytest.mark.parametrize("kind", [bytearray, lambda data: memoryview(bytearray(data))])
def test_what_can_change_is_copied(kind: Callable[[bytes], bytearray | memoryview]) -> None:
    duo, mine, theirs = joined()
    piece = kind(large())
    stream = mine.open_stream()
    assert mine.write(stream, piece, fin=True) == LARGE
    piece[:] = bytes(LARGE)
    duo.run(1)
    assert read_all(theirs, stream) == large()


@pytest.mark.parametrize("offset", [0, 1, 100, PAGE - 1, PAGE])
@pytest.mark.parametrize("first", [0, 1, 40_000, PAGE])
def test_every_byte_arrives_wherever_a_piece_begins(offset: int, first: int) -> None:
    """Through a path that loses much, so that repeats are read from lent pages too."""
    dice = Random(offset + first)

    def losing(
        data: bytes, source: Address, target: Address
    ) -> list[tuple[bytes, Address, Address]]:
        return passes(data, source, target) if dice.random() > 0.2 else []

    duo, mine, theirs = joined()
    duo.path = losing
    stream, whole = mine.open_stream(), large(2)
    arrived, rest = bytearray(), memoryview(whole)[offset:]
    assert mine.write(stream, whole[:first]) == first

    def done() -> bool:
        nonlocal rest
        if rest:
            rest = rest[mine.write(stream, rest, fin=True) :]
        arrived.extend(read_all(theirs, stream))
        duo.flush()
        return bool(len(arrived) == first + LARGE - offset)

    duo.run_until(done)
    assert bytes(arrived) == whole[:first] + whole[offset:]


def test_pieces_are_given_back_while_others_are_still_lent() -> None:
    """One buffer after the other, as a writer of much goes on."""
    duo, mine, theirs = joined()
    pieces = [large(seed) for seed in range(12)]
    before = references(pieces)
    stream, most = mine.open_stream(), 0
    for piece in pieces:
        view = memoryview(piece)

        def write(last: bool = piece is pieces[-1]) -> bool:
            nonlocal view
            view = view[mine.write(stream, view, fin=last) :] if view else view
            read_all(theirs, stream)
            duo.flush()
            return len(view) == 0

        duo.run_until(write)
        del view, write
        del piece
        most = max(most, sum(map(gt, references(pieces), before)))
    duo.run(1)
    while read_all(theirs, stream):
        duo.run(1)
    assert references(pieces) == before
    assert 0 < most < len(pieces)


@pytest.mark.parametrize("how", ["reset", "stopped", "closed", "peer closed", "core closed"])
def test_whatever_ends_the_stream_gives_the_piece_back(how: str) -> None:
    duo, mine, theirs = joined(settings=Settings(stream_window=4 * PAGE, session_window=4 * PAGE))
    piece = large()
    before = getrefcount(piece)
    stream = mine.open_stream()
    mine.write(stream, piece)
    duo.run(1)
    assert getrefcount(piece) > before
    match how:
        case "reset":
            mine.reset(stream, 1)
        case "stopped":
            theirs.stop(stream, 1)
        case "closed":
            mine.close(now=duo.now)
        case "peer closed":
            theirs.close(now=duo.now)
        case "core closed":
            duo.client.close()
    if how != "core closed":
        duo.run(1)
    assert getrefcount(piece) == before


def test_a_refused_write_keeps_nothing() -> None:
    _, mine, _ = joined()
    piece = large()
    before = getrefcount(piece)
    with pytest.raises(SessionClosed):
        mine.write(40, piece)
    assert getrefcount(piece) == before


def test_lending_begins_anew_after_all_was_given_back() -> None:
    duo, mine, theirs = joined()
    stream = mine.open_stream()
    for seed in range(5):
        piece = large(seed)
        before = getrefcount(piece)
        assert mine.write(stream, piece) == LARGE
        assert getrefcount(piece) == before + 1
        duo.run(1)
        assert read_all(theirs, stream) == piece
        assert getrefcount(piece) == before


def read_all(connection: Connection, stream: int) -> bytes:
    into, parts = bytearray(50_000), bytearray()
    try:
        while (came := connection.read_into(stream, into))[0]:
            parts += into[: came[0]]
            if came[1]:
                break
    except SessionClosed:
        pass  # not opened there yet
    return bytes(parts)


def test_a_writer_hears_that_its_piece_came_back() -> None:
    duo, mine, _ = joined()
    duo.events[duo.client].clear()
    stream = mine.open_stream()
    mine.write(stream, large(), fin=True)
    duo.run(1)
    assert [(e.kind, e.stream) for e in duo.events[duo.client]] == [(EventKind.WRITABLE, stream)]
