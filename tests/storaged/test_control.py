"""The control socket: one line asks, one line answers, and nobody but the node's user comes near."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from repram.errors import NotFound, RepramError, UsageError
from repram.storaged import control
from tests.conftest import Run


async def answering(request: control.Request) -> dict[str, Any]:
    """Says what it was asked; fails in each way when told to."""
    if isinstance(request, control.Revoke):
        raise NotFound(f"no invite {request.invite}", hint="Look again.")
    if isinstance(request, control.Audit):
        raise ZeroDivisionError
    return {"asked": type(request).__name__}


@asynccontextmanager
async def listening(path: Path) -> AsyncIterator[None]:
    async with control.serving(path, answering):
        yield


def asked(run: Run[Any], path: Path, *lines: bytes) -> list[bytes]:
    """What comes back for lines on one connection, until it is closed."""

    async def main() -> list[bytes]:
        async with listening(path):
            reader, writer = await asyncio.open_unix_connection(path, limit=1 << 20)
            writer.writelines(lines)
            writer.write_eof()
            answers = (await reader.read()).splitlines()
            writer.close()
            await writer.wait_closed()
            return answers

    answers: list[bytes] = run(main())
    return answers


def test_each_request_has_its_answer(run: Run[Any], tmp_path: Path) -> None:
    answers = asked(
        run, tmp_path / "s", b'{"verb":"status"}\n', b'{"verb":"clock","accept":true}\n'
    )
    assert [json.loads(each) for each in answers] == [
        {"ok": True, "asked": "Status"},
        {"ok": True, "asked": "Clock"},
    ]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"nonsense",
        b"\xff\xfe",
        b"[]",
        b'{"verb":"nonsense"}',
        b'{"verb":"status","more":1}',
        b'{"verb":"invite","quota":-1}',
        b'{"verb":"invite","name":"' + b"x" * 65 + b'"}',
        b'{"verb":"deny","do":"burn"}',
        b'{"verb":"revoke"}',
        b"[" * 10_000,
    ],
)
def test_what_is_no_request_is_refused_and_the_next_is_answered(
    run: Run[Any], tmp_path: Path, line: bytes
) -> None:
    first, second = asked(run, tmp_path / "s", line + b"\n", b'{"verb":"status"}\n')
    assert json.loads(first)["code"] == 2
    assert json.loads(second)["ok"]


def test_a_request_that_never_ends_is_cut_off(run: Run[Any], tmp_path: Path) -> None:
    (answer,) = asked(run, tmp_path / "s", b"x" * (control.LINE_MAX + 1))
    assert "at most" in json.loads(answer)["error"]


def test_half_a_request_is_none(run: Run[Any], tmp_path: Path) -> None:
    assert asked(run, tmp_path / "s", b'{"verb":"status"}') == []


def test_it_is_its_users_alone(run: Run[Any], tmp_path: Path) -> None:
    async def main() -> None:
        async with listening(tmp_path / "new" / "s"):
            assert (tmp_path / "new" / "s").stat().st_mode & 0o777 == 0o600
            assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
        assert list((tmp_path / "new").iterdir()) == []

    run(main())


def test_one_left_over_is_replaced(run: Run[Any], tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "s"))
    assert asked(run, tmp_path / "s", b'{"verb":"status"}\n')


def test_asking_brings_the_answer_or_the_nodes_own_error(run: Run[Any], tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "s"
        async with listening(path):
            answer = await asyncio.to_thread(control.ask, path, control.Status())
            assert answer == {"ok": True, "asked": "Status"}
            with pytest.raises(RepramError, match="no invite x") as refused:
                await asyncio.to_thread(control.ask, path, control.Revoke("x"))
            assert (refused.value.exit_code, refused.value.hint) == (10, "Look again.")
            with pytest.raises(RepramError, match="inside the node") as refused:
                await asyncio.to_thread(control.ask, path, control.Audit())
            assert refused.value.exit_code == 1

    run(main())


def test_where_nobody_listens_no_node_runs(tmp_path: Path) -> None:
    with pytest.raises(control.NotRunning) as refused:
        control.ask(tmp_path / "s", control.Status())
    assert refused.value.exit_code == 11
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "s"))
    with pytest.raises(control.NotRunning):
        control.ask(tmp_path / "s", control.Status())


def test_a_folder_with_too_long_a_name_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="longer"):
        control.ask(tmp_path / ("x" * 108), control.Status())


def test_each_folder_has_a_socket_of_its_own_among_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    one, other = (control.socket_path(tmp_path / name) for name in ("one", "other"))
    assert one.parent == other.parent == tmp_path / "repram"
    assert one != other
    (tmp_path / "one").mkdir()
    assert control.found(tmp_path / "one") == one
    with socket.socket(socket.AF_UNIX) as services:
        services.bind(str(tmp_path / "one" / "control.sock"))
    assert control.found(tmp_path / "one") == tmp_path / "one" / "control.sock"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert control.socket_path(tmp_path / "one") == tmp_path / "one" / "control.sock"


def test_who_still_listens_at_the_end_is_hung_up_on(run: Run[Any], tmp_path: Path) -> None:
    async def main() -> None:
        async with listening(tmp_path / "s"):
            reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
            writer.write(b'{"verb":"status"}\n')
            assert await reader.readline()
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()

    run(main())
