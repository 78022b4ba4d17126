"""Every input that is kept for a target in Python is still as harmless as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import fuzz_log, fuzz_rpc
from tests.fuzz.engine import Target

CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.parametrize("target", [fuzz_rpc, fuzz_log], ids=["fuzz_rpc", "fuzz_log"])
def test_what_is_kept_is_harmless(target: Target, request: pytest.FixtureRequest) -> None:
    inputs = sorted((CORPUS / request.node.callspec.id).iterdir())
    outcomes = {target.try_(path.read_bytes()) for path in inputs}
    assert len(outcomes) > 20  # they are not all refused for the same reason
