"""Handing something over: what people type, what it says, and what programs read of it."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from repram.crypto.links import parse_link
from repram_cli import progress
from tests.cli.here import Here
from tests.cli.shells import Typing
from tests.json_objects import objects, schema
from tests.processes import Machine, Node, node


@pytest.fixture(scope="module")
def storage() -> Iterator[Node]:
    with node() as running:
        yield running


@pytest.fixture
def machine(tmp_path: Path, storage: Node) -> Machine:
    return Machine(tmp_path / "state", host=storage.address)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "report.pdf").write_bytes(b"content")
    return tmp_path / "report.pdf"


def test_once_is_once_and_says_so(machine: Machine, file: Path) -> None:
    sent = machine.run("upload", file, "--once", "--ttl", "5m")
    assert b"gone in 5m; whoever has the link can read it once until then" in sent.stderr
    link = sent.stdout.decode().strip()
    assert machine.said(link, "-o", "-") == "content"  # a bare link is a download
    assert machine.run("download", link, "-o", "-").returncode in (10, 12)


def test_links_are_listed_extended_and_revoked(here: Here, file: Path) -> None:
    link = here.said("upload", file, "-q", "--ttl", "60s").strip()
    (row,) = here.said("links", "ls").splitlines()
    id_, _, size, name = row.split("\t")
    assert (size, name) == ("7 B", "report.pdf")
    here.said("links", "extend", id_, "1h")
    made, standing = objects(here.said("links", "info", link, "--json").encode())
    assert (made["state"], made["link"], made["downloads"]) == ("live", link, 0)
    assert 3_000 < standing["remaining"] <= 3_600
    assert here.run("links", "extend", id_, "90s").returncode == 2
    here.said("links", "revoke", id_)
    assert here.run("download", link, "-o", "-").returncode == 10
    done = [line.split("\t")[1] for line in here.said("links", "history", id_).splitlines()]
    assert done == ["made", "extended", "revoked"]
    assert here.run("links", "revoke", id_).returncode == 12


def test_a_dry_run_tells_the_plan_and_what_is_left_out_and_sends_nothing(
    here: Here, tmp_path: Path
) -> None:
    (tmp_path / "folder" / "below").mkdir(parents=True)
    (tmp_path / "folder" / "below" / "file").write_bytes(bytes(1000))
    (tmp_path / "folder" / "out").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "folder" / "pipe\x1b")
    done = here.run("upload", tmp_path / "folder", "--dry-run", "--json")
    (plan,) = objects(done.stdout.encode())
    assert (plan["kind"], plan["name"], plan["ttl"]) == ("tree", "folder", 86_400)
    assert plan["size"] > 1000
    assert sum(line.startswith("left out: ") for line in done.stderr.splitlines()) == 2
    assert "\x1b" not in done.stderr
    assert here.said("links", "ls") == ""


def test_several_files_and_stdin_do_not_mix(here: Here, storage: Node, file: Path) -> None:
    for arguments, said in (
        (("-", file), "stdin"),
        ((file, "--once", "--downloads", "2"), "exclude each other"),
        (("repram://x",), "this is a link"),
        ((file, "--to", storage.address), "this is a node's address"),
        ((file, "--host", "repram+id://x"), "person's key"),
    ):
        done = here.run("upload", *arguments)
        assert done.returncode == 2
        assert said in done.stderr


def test_what_is_pasted_where_a_verb_belongs_is_named(here: Here, storage: Node) -> None:
    for text, said in (
        (storage.address, "hosts add"),
        ("repram+invite://x", "hosts add"),
        ("repram+id://x", "--to"),
        ("repram+space://x", "space join"),
        ("repram://x", "Copy the link again"),
    ):
        done = here.run(text)
        assert done.returncode == 2
        assert said in done.stderr.splitlines()[1]


def test_a_qr_code_goes_to_the_person_and_the_link_to_the_pipe(here: Here, file: Path) -> None:
    done = here.run("upload", file, "--qr", "-q")
    assert done.stdout == f"{parse_link(done.stdout)}\n"
    assert "▄" in done.stderr


def test_without_a_host_or_a_terminal_it_is_plainly_said(tmp_path: Path, file: Path) -> None:
    done = Machine(tmp_path).run("upload", file)
    assert (done.returncode, done.stdout) == (2, b"")
    happened, hint = done.stderr.decode().splitlines()
    assert "no host to store on is known" in happened
    for part in (
        "`repram storaged start`",
        "works on this computer and your network while it is on",
        "for links that work anywhere run a node on a server, then `repram hosts add …`",
    ):
        assert part in hint


@pytest.mark.parametrize("from_stdin", [False, True])
def test_interrupted_it_says_how_to_go_on(
    machine: Machine, tmp_path: Path, from_stdin: bool
) -> None:
    with (tmp_path / "large").open("wb") as large:
        large.truncate(1 << 30)
    reading, writing = os.pipe()
    what = "-" if from_stdin else str(tmp_path / "large")
    with machine.start("upload", what, "--json", stdin=reading) as process:
        assert process.stdout
        assert process.stderr
        assert b'"began"' in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        code, told = process.wait(30), process.stderr.read()
    os.close(reading)
    os.close(writing)
    assert code == 130
    assert b"repram: interrupted" in told
    assert (b"Run the same command again" in told) != from_stdin
    assert b"Traceback" not in told


def test_each_kind_of_object_stands_in_the_schema_and_no_other_does() -> None:
    sources = "".join(each.read_text() for each in Path(progress.__file__).parent.glob("*.py"))
    printed = {*re.findall(r'output\.event\(\s*"(\w+)"', sources), *progress.KINDS.values()}
    assert printed | {"error", "put", "removed", "expired"} == schema()["$defs"].keys()
    assert schema()["properties"]["type"]["enum"] == [*schema()["$defs"]]


@pytest.mark.parametrize("answer", ["y", "n"])
def test_at_a_terminal_a_first_host_is_offered(tmp_path: Path, file: Path, answer: str) -> None:
    """At a real terminal; the node that it starts is closed, and its invite is kept."""
    machine = Machine(tmp_path / "own")
    machine.said("storaged", "init", "--listen", "127.0.0.1:0", "--metrics", "")
    with Typing("bash", tmp_path) as typing:
        typing.be(machine)
        asked = typing.run(f"repram upload {file} --ttl 1m", until=rb"(?s)(.*Start one here.*\] )")
        assert "works on this computer and your network" in asked.replace("\r\n", " ")
        try:
            told = typing.run(answer, until=rb"(?s)(.*)code-is-\d+")
            found = re.search(r"repram://\S+", told)
            assert bool(found) == ("here" in machine.said("hosts", "ls")) == (answer == "y")
            if found:  # whoever has the link needs no invite
                other = Machine(tmp_path / "other")
                assert other.said("download", found[0], "-o", "-") == "content"
        finally:
            machine.run("storaged", "stop")


def test_folders_come_back_whole_and_what_does_not_travel_is_told(
    here: Here, tmp_path: Path
) -> None:
    (tmp_path / "folder" / "-below").mkdir(parents=True)
    (tmp_path / "folder" / "-below" / "a\nb").write_text("content")
    (tmp_path / "folder" / "out").symlink_to("/etc/passwd")
    (tmp_path / "beside").write_text("beside")
    (tmp_path / "target").mkdir()
    sent = here.run("upload", tmp_path / "folder", tmp_path / "beside")
    assert sent.stderr.startswith("left out: ")
    done = here.run("download", sent.stdout.strip(), "-o", tmp_path / "target")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "target" / "folder" / "-below" / "a\nb").read_text() == "content"
    assert (tmp_path / "target" / "beside").read_text() == "beside"
    assert not (tmp_path / "target" / "folder" / "out").is_symlink()
