"""`account …` and `id`, as a person at a terminal and a script use them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from repram.crypto.passwords import cheap_for_tests
from repram.crypto.people import Person
from repram.crypto.recovery import RecoveryKey
from repram.sdk.account import Account
from tests.json_objects import objects
from tests.processes import ENVIRONMENT, node
from tests.terminals import Terminal, terminal

CHEAP = (sys.executable, "-m", "tests.cheap")
PASSWORD = "correct horse café"


@dataclass(frozen=True)
class Place:
    """A folder for state and sockets, and commands that use it; passwords cost little there."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        mine = {"XDG_STATE_HOME": str(self.folder), "XDG_RUNTIME_DIR": str(self.folder)}
        return ENVIRONMENT | mine

    @property
    def account(self) -> Account:
        return Account(self.folder / "repram")

    def repram(
        self, *arguments: str | Path, stdin: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Where there is no terminal to ask at."""
        return subprocess.run(
            [*CHEAP, *map(str, arguments)],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=self.environment | environment,
            start_new_session=True,
        )

    def said(self, *arguments: str | Path, stdin: str = "", **environment: str) -> str:
        done = self.repram(*arguments, stdin=stdin, **environment)
        assert done.returncode == 0, done.stderr
        if "--json" in arguments:
            objects(done.stdout.encode())
        return done.stdout

    def file(self, text: str) -> Path:
        path = self.folder / "given"
        path.write_text(text)
        return path


@pytest.fixture(autouse=True)
def cheap() -> Iterator[None]:
    with cheap_for_tests():
        yield


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    made = Place(Path(tempfile.mkdtemp(prefix="repram-")))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(made.folder))
    yield made
    if made.account.exists():
        made.account.agent().lock()
    shutil.rmtree(made.folder)


@pytest.fixture
def words(place: Place) -> str:
    """Of the account that is there."""
    return place.account.create(PASSWORD).words()


def answer(person: Terminal, *lines: str) -> None:
    for line in lines:
        person.until("(not shown): ")
        person.type(line)


def test_an_account_is_made_at_a_terminal(place: Place) -> None:
    with terminal([*CHEAP, "account", "create"], place.environment) as person:
        answer(person, PASSWORD, "another", PASSWORD, PASSWORD)
        assert person.ended() == 0
    seen = person.seen.decode()
    assert PASSWORD not in seen
    assert "the two are different" in seen
    grid = re.findall(r"^ *\d+ [a-z]+(?: +\d+ [a-z]+){3}", seen, re.MULTILINE)
    assert "█▀" in seen
    recovery = RecoveryKey.parse("\n".join(grid))
    assert place.account.open(PASSWORD) == place.account.open_with(recovery)


def test_a_wrong_password_may_be_typed_three_times(place: Place, words: str) -> None:
    with terminal([*CHEAP, "account", "unlock"], place.environment) as person:
        answer(person, "wrong", "wrong", PASSWORD)
        assert person.ended() == 0
    assert person.seen.decode().count("this is not the account's password") == 2
    assert place.account.agent().remaining()
    with terminal([*CHEAP, "account", "unlock"], place.environment) as person:
        answer(person, "wrong", "wrong", "wrong")
        assert person.ended() == 12


def test_ctrl_c_at_the_prompt_changes_nothing(place: Place) -> None:
    with terminal([*CHEAP, "account", "create"], place.environment) as person:
        person.until("(not shown): ")
        person.type("\x03")
        assert person.ended() == 130
    assert b"Traceback" not in person.seen
    assert not place.account.exists()


def test_a_whole_life_without_a_terminal(place: Place) -> None:
    given = place.file(f"{PASSWORD}\n")
    words = place.said("account", "create", "--password-file", given).strip()
    who = place.said("id").strip()
    assert Person.parse(who) == place.account.person()
    place.said("account", "unlock", "--password-file", given, "--for", "30m")
    shown = json.loads(place.said("account", "show", "--json"))
    assert 1_700 < shown.pop("unlocked_for") <= 1_800
    assert shown == {"type": "account", "id": who, "keystore": str(place.account.path)}
    place.said("account", "lock")
    assert place.account.agent().remaining() is None
    command = f"cat {given}"
    place.said("account", "passwd", "--password-command", command, REPRAM_NEW_PASSWORD="second")
    wrong = place.repram("account", "unlock", "--password-file", given)
    assert (wrong.returncode, wrong.stdout) == (12, "")
    place.said("account", "recover", "--new-password-file", given, stdin=words)
    assert place.account.open(PASSWORD) == place.account.open_with(RecoveryKey.parse(words))


def test_new_words_replace_the_old_ones(place: Place, words: str) -> None:
    environment = {"REPRAM_PASSWORD": PASSWORD, "REPRAM_NEW_PASSWORD": "second"}
    told = json.loads(
        place.said("account", "passwd", "--new-recovery-key", "--json", **environment)
    )
    assert told == {"type": "recovery", "id": str(place.account.person()), "words": told["words"]}
    assert place.account.open_with(RecoveryKey.parse(told["words"]))
    old = place.repram("account", "recover", stdin=words, **environment)
    assert (old.returncode, old.stdout) == (12, "")


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "what"),
    [
        (["create"], "", 15, "there is an account here already"),
        (["unlock"], "", 2, "there is no terminal to ask at"),
        (["recover"], "xyzzy " * 24, 2, "word 1 is none of"),
    ],
)
def test_what_goes_wrong_is_said_with_what_to_do_next(
    place: Place, words: str, arguments: list[str], stdin: str, code: int, what: str
) -> None:
    before = place.account.path.read_bytes()
    done = place.repram("account", *arguments, stdin=stdin)
    assert (done.returncode, done.stdout) == (code, "")
    assert what in done.stderr
    assert len(done.stderr.splitlines()) == 2
    assert "xyzzy" not in done.stderr
    assert place.account.path.read_bytes() == before


def test_without_an_account_it_says_how_to_make_one(place: Place) -> None:
    done = place.repram("id")
    assert (done.returncode, done.stdout) == (10, "")
    assert "repram account create" in done.stderr


def test_what_is_sealed_to_me_opens_for_me_alone(place: Place, words: str) -> None:
    me, file = str(place.account.person()), place.file("for one person alone")
    other = {"XDG_STATE_HOME": str(place.folder / "other")}
    with node() as storage:
        link = place.said("upload", file, "--to", me, "--host", storage.address, **other).strip()
        sender = place.repram("download", link, "-o", "-", **other)
        assert (sender.returncode, sender.stdout) == (12, "")
        locked = place.repram("download", link, "-o", "-")
        assert (locked.returncode != 0, locked.stdout) == (True, "")
        place.account.agent().start(place.account.open(PASSWORD), 600_000)
        assert place.said("download", link, "-o", "-") == "for one person alone"


def test_a_passwords_command_sees_no_other_password(place: Place, words: str) -> None:
    command = place.folder / "command"
    command.write_text(f"#!/bin/sh\nenv > {place.folder}/seen\necho '{PASSWORD}'\n")
    command.chmod(0o755)
    secrets = {"REPRAM_PASSWORD": "swordfish", "REPRAM_NEW_PASSWORD": "swordfish"}
    place.said("account", "unlock", "--password-command", str(command), **secrets)
    assert "swordfish" not in (place.folder / "seen").read_text()
    assert "PATH" in (place.folder / "seen").read_text()


def test_a_pasted_key_is_told_from_a_verb(place: Place, words: str) -> None:
    done = place.repram(str(place.account.person()))
    assert done.returncode == 2
    assert "this is a person's key" in done.stderr
