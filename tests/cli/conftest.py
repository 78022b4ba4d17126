"""A node of a module's own, and commands in this process on a machine that stores there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.here import Here
from tests.processes import Node, node


@pytest.fixture(scope="module")
def storage() -> Iterator[Node]:
    with node() as running:
        yield running


@pytest.fixture
def here(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    storage: Node,
) -> Here:
    return Here(tmp_path / "state", monkeypatch, capfd, host=storage.address)
