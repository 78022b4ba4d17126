"""Arrows point down only: cli -> daemons -> sdk -> content, crypto, overlay -> proto -> csrc."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LEVELS = {
    "repram_cli": 5,
    "repram.storaged": 4,
    "repram.coordd": 4,
    "repram.clientd": 4,
    "repram.sdk": 3,
    "repram.content": 2,
    "repram.crypto": 2,
    "repram.overlay": 2,
    "repram.proto": 1,
    "repram._core": 0,
    "repram": 3,  # the package itself hands out the SDK's names
}
DAEMONS = ("repram.storaged", "repram.coordd", "repram.clientd")
FOUNDATION = (
    "repram.errors",
    "repram.ids",
    "repram.buffers",
)  # each imports only those before it; everyone may import them
CORE_USERS = ("repram.proto.primitives", "repram.proto.connection", "repram.proto.endpoint")
PURE = ("repram.overlay", "repram.clientd.plan", "repram.coordd.matchmaking")
IMPURE = ("asyncio", "socket", "time", "random")


def within(module: str, *rooms: str) -> bool:
    return any(module == room or module.startswith(room + ".") for room in rooms)


def room_of(module: str) -> str:
    return next(room for room in LEVELS if within(module, room))


def modules(root: Path) -> Iterator[tuple[str, Path]]:
    for folder, package in (("repram", "repram"), ("cli", "repram_cli")):
        for path in (root / folder).rglob("*.py"):
            parts = path.relative_to(root / folder).with_suffix("").parts
            yield ".".join([package, *(part for part in parts if part != "__init__")]), path


def imports(path: Path) -> Iterator[str]:
    """Every module named by an import, `from package import module` giving both."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            assert node.module
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def forbidden(importer: str, imported: str) -> str | None:
    """Why this import breaks the house, or None."""
    if within(importer, *PURE) and within(imported, *IMPURE):
        return "is pure logic: clock, randomness and I/O are passed in"
    if not within(imported, "repram", "repram_cli"):
        return None
    if importer in FOUNDATION:
        below = FOUNDATION[: FOUNDATION.index(importer)]
        return (
            None if within(imported, *below) or imported == "repram" else "imports nothing of ours"
        )
    if imported == "repram" or within(imported, *FOUNDATION):
        return None
    if within(imported, "repram._core") and importer not in CORE_USERS:
        return "must not touch the extension"
    ours, theirs = room_of(importer), room_of(imported)
    if LEVELS[theirs] > LEVELS[ours]:
        return "imports upwards"
    if theirs in DAEMONS and ours in DAEMONS and ours != theirs:
        return "is a daemon and imports another: they meet on the wire"
    if theirs in DAEMONS and ours == "repram_cli" and importer != theirs.replace(".", "_cli."):
        return "is not the one command file that starts this daemon"
    return None


def violations(root: Path) -> list[str]:
    return [
        f"{importer} {reason} ({imported})"
        for importer, path in modules(root)
        for imported in imports(path)
        if (reason := forbidden(importer, imported))
    ]


def test_every_import_points_down() -> None:
    assert violations(ROOT) == []


def test_every_module_stands_in_a_known_room() -> None:
    homeless = {name for name, _ in modules(ROOT) if room_of(name) == "repram"}
    assert homeless <= {"repram", *FOUNDATION}


@pytest.mark.parametrize(
    ("where", "line"),
    [
        ("repram/proto/rpc.py", "from repram.crypto import seal"),
        ("repram/content/chunker.py", "import repram.sdk"),
        ("repram/sdk/client.py", "from repram.storaged.service import Service"),
        ("repram/storaged/service.py", "from repram import clientd"),
        ("repram/crypto/link.py", "from repram_cli.main import main"),
        ("cli/upload.py", "from repram.storaged.service import Service"),
        ("repram/crypto/link.py", "from repram import Client"),
        ("repram/errors.py", "from repram.ids import ItemId"),
        ("repram/errors.py", "import repram.ids"),
        ("repram/proto/rpc.py", "from repram import _core"),
        ("repram/proto/rpc.py", "from repram._core import ffi"),
        ("cli/upload.py", "import repram._core"),
        ("repram/overlay/quorum.py", "from time import monotonic"),
        ("repram/clientd/plan.py", "import asyncio.timeouts"),
        ("repram/coordd/matchmaking.py", "def late() -> None:\n    import random"),
    ],
)
def test_a_planted_violation_is_found(tmp_path: Path, where: str, line: str) -> None:
    planted = tmp_path / where
    planted.parent.mkdir(parents=True)
    planted.write_text(line)
    assert violations(tmp_path) != []


@pytest.mark.parametrize(
    ("where", "line"),
    [
        ("repram/coordd/service.py", "from repram.proto.messages import Hello"),
        ("repram/proto/connection.py", "from repram._core import ffi, lib"),
        ("repram/proto/rpc.py", "import asyncio"),
        ("repram/proto/rpc.py", "from repram import errors"),
        ("repram/__init__.py", "from repram.sdk import Client"),
        ("cli/upload.py", "from repram import Client"),
        ("repram/crypto/link.py", "from repram.errors import UsageError"),
        ("repram/content/chunker.py", "from repram.crypto import seal"),
        ("cli/storaged.py", "from repram.storaged.service import Service"),
    ],
)
def test_what_points_down_is_allowed(tmp_path: Path, where: str, line: str) -> None:
    planted = tmp_path / where
    planted.parent.mkdir(parents=True)
    planted.write_text(line)
    assert violations(tmp_path) == []
