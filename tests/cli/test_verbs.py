"""The verbs, held to the table that says which there are, and the conventions that all of them keep."""

from __future__ import annotations

import re

import pytest

from repram import errors
from repram_cli import man
from repram_cli.main import verbs
from repram_cli.tree import Verb, whole

TABLE = """
upload download put get id doctor completion
links: ls info revoke extend history
kv: put get rm ls watch
space: new join ls show
account: create passwd recover show unlock lock
hosts: add ls rm test
storaged: init run start stop drain status address invite audit deny clock
storaged deny: add rm ls
storaged clock: accept
config: show get set defaults
bench: serve run
"""
PRINTS_NOTHING = {"rm", "stop", "drain", "lock", "set", "add", "join", "init", "accept", "recover"}
PRINTS_A_LINE_OR_BYTES = {"run", "start", "new", "defaults", "unlock", "address", "completion"}
PRINTS_ONE_VALUE = {("space", "show"), ("config", "get"), ("storaged", "clock")}
SECRET = re.compile(r"password|secret|key|recovery|invite|token")

ROOT = whole()
LEAVES = [verb for verb in ROOT.walk() if not verb.verbs]


def table() -> set[tuple[str, ...]]:
    """Every verb of it by its words."""
    first, *groups = TABLE.strip().splitlines()
    found: set[tuple[str, ...]] = {(name,) for name in first.split()}
    for line in groups:
        group, _, names = line.partition(":")
        found |= {(*group.split(), name) for name in names.split()}
    return found - {("storaged", "deny"), ("storaged", "clock")}


def by_path(verb: Verb) -> str:
    return " ".join(verb.path)


def test_the_verbs_are_those_of_the_table() -> None:
    assert {verb.path for verb in LEAVES} == table()


@pytest.mark.parametrize("verb", LEAVES, ids=by_path)
def test_a_verb_keeps_the_conventions(verb: Verb) -> None:
    assert verb.help[0].isupper()
    assert verb.help.endswith(".")
    names = {name for option in verb.options for name in option.names}
    assert {"--profile", "--help"} <= names
    for option in verb.options:
        assert option.help.endswith((".", "nowhere.")), f"{option.names} has no sentence"
        assert option.names[0].startswith("--") or len(option.names) > 1
        is_secret = any(SECRET.search(name) for name in option.names)
        assert not (is_secret and option.value) or option.value in ("FILE", "COMMAND", "FOLDER")
    for argument in verb.arguments:
        assert argument.value, "an argument without a name of its own"
    last = verb.path[-1]
    quiet = PRINTS_NOTHING | PRINTS_A_LINE_OR_BYTES
    prints = last not in quiet and verb.path not in PRINTS_ONE_VALUE
    assert not prints or "--json" in names, "what it prints is not to be had as JSON"


def test_options_that_take_a_value_say_of_what_kind() -> None:
    """In capitals, or by the words to choose from: completions go by it."""

    def check(command: object) -> None:
        for each in getattr(command, "commands", {}).values():
            check(each)
        for option in getattr(command, "params", ()):
            kind = option.metavar
            assert getattr(option, "is_flag", False) or (
                kind and kind in (kind.upper(), kind.lower())
            )

    check(verbs())


def test_every_exit_code_stands_in_the_manual() -> None:
    def codes(error: type[errors.RepramError]) -> set[int]:
        return {error.exit_code}.union(*map(codes, error.__subclasses__()))

    assert codes(errors.RepramError) | {0} == {code for code, _ in man.EXIT_CODES}
