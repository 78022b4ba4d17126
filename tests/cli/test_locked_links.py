"""Links that take more than the link: a password, typed or given, or a person's key."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from repram.crypto.passwords import cheap_for_tests
from repram.sdk.account import Account
from tests.cli.here import Here
from tests.processes import ENVIRONMENT, Machine, Node
from tests.terminals import terminal

CHEAP = (sys.executable, "-m", "tests.cheap")
SECRET = "correct horse"


@pytest.fixture
def here(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    storage: Node,
) -> Iterator[Here]:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    (tmp_path / "file").write_text("content")
    with cheap_for_tests():
        yield Here(tmp_path / "state", monkeypatch, capfd, host=storage.address)


@pytest.fixture
def locked(here: Here, tmp_path: Path) -> str:
    """A link with a password."""
    file, secret = tmp_path / "file", tmp_path / "secret"
    return here.said("upload", file, "-q", "--password-file", secret).strip()


def test_a_password_is_taken_from_a_file_a_command_or_the_environment(
    here: Here, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    done = here.run("upload", tmp_path / "file", "--password-file", secret)
    assert "whoever has the link and the password can read it" in done.stderr
    link = done.stdout.strip()
    for given in (
        ("--password-file", str(secret)),
        ("--password-command", f"cat {secret}"),
    ):
        assert here.said("download", link, "-o", "-", *given) == "content"
    assert here.said("download", link, "-o", "-", REPRAM_PASSWORD=SECRET) == "content"
    usual = {"REPRAM_PASSWORD_COMMAND": f"cat {secret}"}
    assert here.said("download", link, "-o", "-", **usual) == "content"
    assert here.run("download", link, "-o", "-", REPRAM_PASSWORD="wrong").returncode == 12
    done = here.run("links", "info", link)
    assert "the link and a password" in done.stdout


def test_a_password_that_nobody_gave_is_asked_for(locked: str, tmp_path: Path) -> None:
    command = [*CHEAP, "download", locked, "-o", str(tmp_path / "got")]
    with terminal(command, ENVIRONMENT | Machine(tmp_path).environment) as typing:
        typing.until("password of the link (not shown): ")
        typing.type("wrong")
        typing.until("wrong; once more")
        typing.until("password of the link (not shown): ")
        typing.type(SECRET)
        assert typing.ended() == 0
    assert SECRET.encode() not in typing.seen
    assert (tmp_path / "got").read_text() == "content"


def test_the_prompt_can_be_interrupted(locked: str, tmp_path: Path) -> None:
    command = [*CHEAP, "download", locked, "-o", str(tmp_path / "got")]
    with terminal(command, ENVIRONMENT | Machine(tmp_path).environment) as typing:
        typing.until("password of the link (not shown): ")
        os.kill(typing.process.pid, signal.SIGINT)
        assert typing.ended() == 130
    assert not (tmp_path / "got").exists()


def test_where_there_is_no_terminal_it_is_said_how_to_give_it(
    locked: str, storage: Node, tmp_path: Path
) -> None:
    for arguments in (
        ("download", locked, "-o", "-"),
        ("upload", str(tmp_path / "file"), "--password", "--host", storage.address),
    ):
        done = subprocess.run(
            [*CHEAP, *arguments],
            env=ENVIRONMENT,
            capture_output=True,
            check=False,
            start_new_session=True,
        )
        assert (done.returncode, done.stdout) == (2, b"")
        assert b"--password-file or --password-command, or in $REPRAM_PASSWORD" in done.stderr


def test_what_is_sealed_to_a_person_is_theirs_alone(here: Here, tmp_path: Path) -> None:
    account = Account(tmp_path / "state" / "repram")
    account.create(SECRET)
    person = here.said("id").strip()
    sent = here.run("upload", tmp_path / "file", "--to", person)
    assert "those it is sealed to, with the link, can read it" in sent.stderr
    link = sent.stdout.strip()
    assert here.said("download", link, "-o", "-", REPRAM_PASSWORD=SECRET) == "content"
    other = here.run("download", link, "-o", "-", "--profile", "other")
    assert (other.returncode, other.stdout) == (12, "")
    assert "the key" in other.stderr or "other people" in other.stderr
