"""docs/messages.md has every message as it is: names, order, bounds and defaults of its fields."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from repram.proto import messages
from repram.proto.messages import Message, Part

PAGE = (Path(__file__).parents[2] / "docs" / "messages.md").read_text()
ROWS = {
    cells[0].strip("`"): cells[1:]
    for line in PAGE.splitlines()
    if line.startswith("| `")
    for cells in [[cell.strip() for cell in line.strip("| ").split("|")]]
}
KINDS: dict[str, type[msgspec.Struct]] = {
    str(kind.__struct_config__.tag or name): kind
    for name, kind in vars(messages).items()
    if isinstance(kind, type(msgspec.Struct)) and kind not in {Part, Message}
}
RANGES = {
    (0, 1 << 53): "count",
    (0, (1 << 63) - 1): "version",
    (-1, (1 << 63) - 1): "version or -1",
}


def bounds(kind: msgspec.inspect.Type) -> str:
    """What a field may hold, as the page writes it."""
    match kind:
        case msgspec.inspect.BoolType():
            return "bool"
        case msgspec.inspect.IntType(ge=int(least), le=int(most)):
            return RANGES.get((least, most), f"{least}–{most:,}")
        case msgspec.inspect.BytesType(min_length=None, max_length=int(most)):
            return f"≤ {most:,} B"
        case msgspec.inspect.BytesType(min_length=int(size)):
            return f"{size} B"
        case msgspec.inspect.StrType(max_length=int(most)):
            return f"≤ {most} characters"
        case msgspec.inspect.StructType(cls=part):
            return part.__name__
        case msgspec.inspect.VarTupleType(item_type=item, min_length=least, max_length=int(most)):
            return f"{f'{least}–' if least else '≤ '}{most:,} × {bounds(item)}"
    raise AssertionError(f"the page has no way to write {kind}, or it has no bound")


def default(field: msgspec.inspect.Field) -> str:
    """What stands for a field that was left out."""
    if field.required:
        return ""
    if isinstance(field.default, bytes):
        return f" = {f'{len(field.default)} zero bytes' if field.default else 'empty'}"
    return f" = {field.default}".lower() if field.default != () else " = empty"


def fields(kind: type[msgspec.Struct]) -> str:
    """The cell of the page that tells a message's fields."""
    info = msgspec.inspect.type_info(kind)
    assert isinstance(info, msgspec.inspect.StructType)
    cells = [f"`{each.name}` {bounds(each.type)}{default(each)}" for each in info.fields]
    return " · ".join(cells) or "none"


def test_the_page_has_all_messages_and_no_others() -> None:
    assert set(ROWS) == set(KINDS)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_a_messages_fields_stand_there_as_they_are(name: str) -> None:
    assert ROWS[name][0] == fields(KINDS[name])


def test_every_request_is_answered_by_replies() -> None:
    replies = {kind.__struct_config__.tag for kind in get_args(messages.Reply)}
    pushed = {kind.__struct_config__.tag for kind in get_args(messages.Pushed)}
    for request in get_args(messages.Request):
        first, *more = re.findall(r"`([^`]+)`", ROWS[request.__struct_config__.tag][1])
        assert first in replies, request
        assert set(more) <= replies | pushed, request
