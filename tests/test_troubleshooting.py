"""docs/troubleshooting.md tells of codes and messages that there are, and of all codes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from repram import errors
from repram.errors import RepramError
from repram.proto.rpc import Code, Failure
from repram.proto.rpc.failures import error_of
from repram_cli.main import verbs

ROOT = Path(__file__).parents[1]
PAGES = ("operations.md", "troubleshooting.md")
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
SOURCE = "\n".join(
    re.sub(r'"\s*\n\s*f?"', "", path.read_text())  # a literal that runs over two lines
    for folder in ("repram", "cli")
    for path in (ROOT / folder).rglob("*.py")
)


def tables() -> Iterator[list[str]]:
    """The cells of every row."""
    for line in PAGE.splitlines():
        if line.startswith("| ") and not line.startswith("| you see"):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def messages() -> list[str]:
    """What stands in the first column as a program would print it."""
    found = [
        text
        for first, *_ in tables()
        for text in re.findall(r"`([^`]+)`", first)
        if text.count(" ") >= 2 and not text.startswith("repram ")
    ]
    assert len(found) > 10
    return found


def test_every_exit_code_is_listed() -> None:
    listed = {int(first) for first, *_ in tables() if first.isdigit() and len(_) == 2}
    classes = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    codes = {kind.exit_code for kind in classes if issubclass(kind, RepramError)}
    assert listed == codes | {0}


def test_every_code_between_machines_is_listed_with_its_exit_code() -> None:
    listed = {
        (int(cells[0]), cells[1].strip("`"), int(cells[2]))
        for cells in tables()
        if len(cells) == 4 and cells[0].isdigit()
    }
    assert listed == {
        (code.value, code.name.lower(), error_of(Failure(code, "")).exit_code) for code in Code
    }


@pytest.mark.parametrize("message", messages())
def test_every_message_is_one_that_a_program_prints(message: str) -> None:
    pieces = re.split(r"…|\d[\d.]*|: Address already in use", message)
    for piece in filter(None, (piece.strip() for piece in pieces)):
        assert piece in SOURCE, piece


def test_alerts_point_to_chapters_that_there_are() -> None:
    rules = yaml.safe_load((ROOT / "deploy" / "alerts.yml").read_text())
    chapters = set(re.findall(r"^## (.*)$", PAGE, re.MULTILINE))
    for group in rules["groups"]:
        for rule in group["rules"]:
            chapter = rule["annotations"]["description"].rpartition("troubleshooting.md, ")[2]
            assert chapter.rstrip(".") in chapters


def commands() -> set[tuple[str, str]]:
    """Each `repram storaged …` or `repram doctor …` in the two pages, with each option behind it."""
    text = "".join((ROOT / "docs" / name).read_text() for name in PAGES)
    found = re.findall(r"repram (storaged [a-z]+(?: (?:add|accept))?|doctor)((?: [^`\n#]*)?)", text)
    return {
        (verb, option) for verb, rest in found for option in re.findall(r"--[a-z-]+", rest) or [""]
    }


@pytest.mark.parametrize(("verb", "option"), sorted(commands()))
def test_every_command_and_option_is_one_that_there_is(verb: str, option: str) -> None:
    command: Any = verbs()
    for word in verb.split():
        command = command.commands[word]
    if option and command.name != "start":  # which hands its options on to `run`
        assert option in {name for parameter in command.params for name in parameter.opts}


@pytest.mark.parametrize("page", PAGES)
def test_links_between_pages_lead_somewhere(page: str) -> None:
    text = (ROOT / "docs" / page).read_text()
    for target in re.findall(r"\]\(([^)]+)\)", text):
        name, _, anchor = target.partition("#")
        where = ROOT / "docs" / (name or page)
        assert where.exists()
        heads = re.findall(r"^#+ (.*)$", where.read_text(), re.MULTILINE)
        anchors = {re.sub(r"[^a-z0-9 -]", "", head.lower()).replace(" ", "-") for head in heads}
        assert not anchor or anchor in anchors


def test_the_dashboard_has_no_panel_over_another() -> None:
    panels = json.loads((ROOT / "deploy" / "grafana-storaged.json").read_text())["panels"]
    taken = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24
