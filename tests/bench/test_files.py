"""Files are believed to have been handed over only when they are the same, and what fails is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from bench import files, links, measure
from bench.carriers import Carrier, OverSsh, Scp
from bench.links import Link, parse_profile
from bench.plots import Family
from bench.processes import Failed
from bench.results import Line, Results, read
from bench.site import Carried, Load, Site, difference


class Copies(Carrier):
    """Carries without any network, and then does something to what arrived."""

    name = "copies"
    family: ClassVar[Family] = "plain"

    def __init__(self, then: Callable[[Path], object] = lambda _: None) -> None:
        self.then = then
        self.turns = 0

    def carry(self, site: Site) -> Iterator[Carried]:
        self.turns += 1
        site.received.write_bytes(site.load.path.read_bytes())
        self.then(site.received)
        yield Carried("handover", 2.0, 0.25, 0.5)


@pytest.fixture
def loopback() -> Iterator[Link]:
    profile = parse_profile("L0")
    if why := links.unavailable(profile):
        pytest.skip(f"no loopback of its own here: {why}")
    with links.up(profile) as link:
        yield link


def told(link: Link, carrier: Carrier, folder: Path, *, rounds: int) -> list[Line]:
    results = Results(folder / "lines")
    with results.under(scenario="files"):
        amount = files.Amount(1 << 20, 0)
        files.measure(results, link, [carrier], amount, rounds=rounds, folder=folder)
    results.close()
    return read(folder / "lines")[1:]


def test_what_arrived_whole_is_told_with_what_it_took(loopback: Link, tmp_path: Path) -> None:
    first, second = told(loopback, Copies(), tmp_path, rounds=2)
    assert (first["round"], second["round"]) == (1, 2)
    assert (first["load"], first["peer"], first["move"]) == ("one", "copies", "handover")
    assert first["goodput_mb_s"] == round((1 << 20) / 2e6, 3)
    assert first["cpu_s_gib"] == 0.75 * 1024


@pytest.mark.parametrize(
    "then",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes() + b"\0"),
        lambda path: path.write_bytes(b"\0" + path.read_bytes()[1:]),
        lambda path: path.rename(path.with_name("another")),
    ],
    ids=["shorter", "longer", "another byte", "another name"],
)
def test_what_is_not_the_same_has_failed(
    loopback: Link, tmp_path: Path, then: Callable[[Path], object]
) -> None:
    load = Load.one(tmp_path / "sent", 1000)
    with pytest.raises(Failed, match="not what was sent"):
        files.turn(loopback, Copies(then), load, tmp_path)


def test_what_does_not_work_at_all_is_left_out_by_name(loopback: Link, tmp_path: Path) -> None:
    carrier = Copies(Path.unlink)
    (line,) = told(loopback, carrier, tmp_path, rounds=3)
    assert line["left_out"] == "copies on L0"
    assert "not what was sent" in line["why"]
    assert carrier.turns == 1


def test_who_fails_in_a_round_is_not_asked_again(loopback: Link, tmp_path: Path) -> None:
    def fails_from_the_second_turn_on(path: Path) -> None:
        if carrier.turns > 1:
            path.unlink()

    carrier = Copies(fails_from_the_second_turn_on)
    (line,) = told(loopback, carrier, tmp_path, rounds=3)
    assert line["peers"] == ["copies"]
    assert carrier.turns == 2


def test_nothing_of_a_turn_is_left(loopback: Link, tmp_path: Path) -> None:
    told(loopback, Copies(), tmp_path, rounds=1)
    assert [path.name for path in tmp_path.iterdir()] == ["lines"]


def test_small_files_are_the_same_whenever_they_are_made(tmp_path: Path) -> None:
    one, other = (Load.many(tmp_path / name, 250) for name in ("one", "other"))
    assert one.files == len([path for path in one.path.rglob("*") if path.is_file()]) == 250
    assert one.bytes == other.bytes
    assert difference(one.path, other.path) is None


def test_a_file_that_is_missing_in_a_tree_is_a_difference(tmp_path: Path) -> None:
    one, other = (Load.many(tmp_path / name, 20) for name in ("one", "other"))
    next(path for path in other.path.rglob("*") if path.is_file()).unlink()
    assert difference(one.path, other.path)


def test_a_handover_over_ssh_is_paid_for_on_both_sides(loopback: Link) -> None:
    if why := Scp().missing():
        pytest.skip(why)
    with measure.workshop() as folder:
        load = Load.one(folder / "sent", 1 << 20)
        (moved,) = files.turn(loopback, Scp(), load, folder)
    assert moved.cpu_s_a > 0
    assert moved.cpu_s_b > 0  # of a child that had ended when it was asked for


def test_what_a_machine_lacks_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for name, carrier in files.CARRIERS.items():
        if carrier.commands:
            assert carrier.missing() == f"`{carrier.commands[0]}` is missing", name
    assert not isinstance(files.CARRIERS["repram"], OverSsh)
    assert files.CARRIERS["repram"].missing() is None


def test_a_carrier_is_found_by_the_beginning_of_its_name() -> None:
    assert files.find("sync").name == "Syncthing"
    assert files.find("rsync").name == "rsync over ssh"
    for name in ("r", "", "nosuch"):
        with pytest.raises(ValueError, match="there are repram, magic-wormhole"):
            files.find(name)
