"""Links that somebody made to do harm, and what a download makes of them."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from pathlib import Path

import pytest

from repram.crypto import locks, passwords
from repram.crypto.links import parse_link
from tests.cli.here import Here
from tests.content.test_unpack import HOSTILE, file, folder, link
from tests.content.trees import snapshot
from tests.handmade import stored, tree_of, under_the_link
from tests.processes import Machine, Node
from tests.salamander import committed_to


def test_a_hostile_tree_is_told_name_by_name_and_its_rest_arrives(
    here: Here, tmp_path: Path, storage: Node
) -> None:
    target, outside = tmp_path / "target", tmp_path / "outside"
    target.mkdir()
    outside.write_text("mine")
    hostile = {
        **HOSTILE,
        "deep": file(b"/".join([b"root", *[b"x"] * 4_096])),
        "link to what lies beside": link(b"root/n", b"../../outside"),
        "device": file(b"../../dev/sda"),
    }
    honest = [folder(b"root"), file(b"root/Z"), file(b"root/a"), file(b"root/z"), file(b"z")]
    entries = [*honest[:3], *hostile.values(), *honest[3:]]
    stream = b"".join(entry.encode() + content for entry, content in entries)
    roots = sum(b"/" not in entry.path for entry, _ in entries)
    chunk, head = tree_of(stream, len(entries), roots)
    made = asyncio.run(stored(storage.address, [chunk, under_the_link(["plain", head])]))
    before = snapshot(tmp_path)
    done = here.run("download", str(made), "-o", target)
    assert done.returncode == 13
    told = [line for line in done.stderr.splitlines() if line.startswith("not written, ")]
    assert len(told) == len(hostile)
    assert "do not trust" in done.stderr
    assert "\0" not in done.stderr
    assert sorted(snapshot(target)) == [b"root", b"root/Z", b"root/a", b"root/z", b"z"]
    assert (target / "root" / "z").read_bytes() == b"content"
    after = {
        name: what
        for name, what in snapshot(tmp_path).items()
        if not name.startswith((b"target", b"state"))
    }
    assert after == {name: what for name, what in before.items() if name in after}
    assert {b"outside"} == after.keys()
    assert not Path("/etc/cron.d/x").exists()


def test_a_tree_with_nothing_that_may_be_made_leaves_nothing(
    here: Here, tmp_path: Path, storage: Node
) -> None:
    (tmp_path / "target").mkdir()
    entry, content = file(b"..")
    chunk, head = tree_of(entry.encode() + content, 1, 1)
    made = asyncio.run(stored(storage.address, [chunk, under_the_link(["plain", head])]))
    done = here.run("download", str(made), "-o", tmp_path / "target")
    assert (done.returncode, list((tmp_path / "target").iterdir())) == (13, [])
    assert "nothing of this may be made here" in done.stderr


@pytest.mark.parametrize(
    "cost",
    [(2, 65_536, 1), (3, 65_535, 1), (3, (1 << 20) + 1, 1), (17, 65_536, 1), (3, 65_536, 17)],
)
def test_a_passwords_cost_out_of_bounds_costs_nothing_and_asks_nobody(
    here: Here,
    tmp_path: Path,
    storage: Node,
    cost: tuple[int, int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worked: list[object] = []
    monkeypatch.setattr(passwords, "hash_secret_raw", lambda *given: worked.append(given))
    made = asyncio.run(
        stored(storage.address, [under_the_link(["password", bytes(16), *cost, b""])])
    )
    asked = tmp_path / "asked"
    done = here.run(
        "download", str(made), "-o", tmp_path / "got", "--password-command", f"touch {asked}"
    )
    assert done.returncode == 13
    assert "cost was tampered with" in done.stderr
    assert "No password was tried" in done.stderr
    assert (worked, asked.exists(), (tmp_path / "got").exists()) == ([], False, False)


def test_a_link_made_for_two_passwords_opens_with_one_and_tells_nothing_of_the_other(
    here: Here, tmp_path: Path, storage: Node
) -> None:
    """A node or a sender who could try two at once would learn which of many passwords somebody has."""
    with passwords.cheap_for_tests():
        salt, cost = bytes(16), passwords.link_cost()
        keys = [passwords.stretch(text, salt, cost) for text in (b"one", b"other")]
        sealed = committed_to(keys[0], keys[1], bytes(24), locks._about_password(salt, cost))
        made = asyncio.run(
            stored(storage.address, [under_the_link(["password", salt, *cost, sealed])])
        )
        answers = [
            here.run("download", str(made), "-o", tmp_path / "got", REPRAM_PASSWORD=text)
            for text in ("other", "third")
        ]
    assert {done.returncode for done in answers} == {12}
    assert len({done.stderr for done in answers}) == 1


@pytest.mark.parametrize("place", [0, 9, 30, 54, 70, 110, 118, 140, -1])
def test_a_link_with_another_character_fails_and_says_so(here: Here, place: int) -> None:
    """`test_links.py` changes every character, and to every other."""
    text = str(parse_link(here.said("upload", __file__, "-q")))
    other = text[:place] + ("x" if text[place] != "x" else "y") + text[place:][1:]
    done = here.run("download", other)
    assert done.returncode == 2
    happened, hint = done.stderr.splitlines()[-2:]
    assert text[-20:] not in done.stderr
    assert "link" in happened + hint


def test_a_limit_holds_for_commands_that_come_at_once(tmp_path: Path, storage: Node) -> None:
    machines = [Machine(tmp_path / str(number), host=storage.address) for number in range(4)]
    made = machines[0].said("upload", __file__, "-q", "--downloads", "2").strip()
    started = [machine.start("download", made, "-o", "-") for machine in machines]
    ended = [process.communicate(timeout=60) for process in started]
    codes = sorted(process.returncode for process in started)
    assert codes[:2] == [0, 0]
    assert set(codes[2:]) <= {10, 12}
    assert [out for out, _ in ended if out] == [Path(__file__).read_bytes()] * 2


def test_a_counted_download_that_was_interrupted_is_there_for_the_next(
    tmp_path: Path, storage: Node
) -> None:
    one, other = [Machine(tmp_path / name, host=storage.address) for name in ("one", "other")]
    (tmp_path / "file").write_bytes(bytes(4 << 20))
    made = one.said("upload", tmp_path / "file", "-q", "--once").strip()
    with one.start("download", made, "-o", "-") as process:
        assert process.stdout
        process.stdout.read(1)  # it is under way, and stands still when the pipe is full
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert process.returncode == 130
    got: subprocess.CompletedProcess[bytes] = other.run("download", made, "-o", "-")
    assert (got.returncode, got.stdout) == (0, bytes(4 << 20))
    assert one.run("download", made, "-o", "-").returncode == 10
