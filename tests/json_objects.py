"""What `--json` prints, held to docs/json.schema.json wherever a test sees any of it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

SCHEMA = Path(__file__).parents[1] / "docs" / "json.schema.json"


@cache
def schema() -> dict[str, Any]:
    """The document."""
    found: dict[str, Any] = json.loads(SCHEMA.read_text())
    return found


@cache
def _validator() -> Draft202012Validator:
    Draft202012Validator.check_schema(schema())
    return Draft202012Validator(schema())


def objects(printed: bytes) -> list[dict[str, Any]]:
    """One a line, each valid, and none with a field that the schema does not tell of."""
    found = [json.loads(line) for line in printed.splitlines()]
    for each in found:
        _validator().validate(each)
        told = schema()["$defs"][each["type"]]["properties"].keys() | {"type"}
        assert each.keys() <= told, f"{each['type']}: {each.keys() - told} stand in no schema"
    return found
