"""The page tells what a recorded run holds, ratios first, and its plots are there to be seen."""

from __future__ import annotations

import json
import re
from pathlib import Path
from statistics import median
from xml.etree import ElementTree as ET

import pytest

from bench import report
from bench.results import read
from bench.run import Run

RECORDED = Path(__file__).with_name("run.jsonl")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report.write([RECORDED], tmp_path_factory.mktemp("docs"))


def goodputs(link: str, peer: str) -> list[float]:
    lines = Run(read(RECORDED)).of("transfer", link=link, peer=peer)
    return [line["goodput_mb_s"] for line in lines]


def row(page: Path, first: str, section: str) -> list[str]:
    """The cells of a table's row in a section of the page, its first one left out."""
    text = page.read_text().partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    (found,) = [line for line in text.splitlines() if line.startswith(f"| {first} |")][:1]
    return [cell.strip() for cell in found.strip("|").split("|")][1:]


def test_ratios_come_first(page: Path) -> None:
    titles = re.findall(r"^## (.*)", page.read_text(), re.MULTILINE)
    assert titles[:3] == ["Against the others", "Files against the others", "Files"]
    assert titles[3:] == [
        *("Goodput by link", "CPU", "Goodput by loss", "Fairness", "Queueing", "Socket buffers"),
        *("Calls", "Import", "How it is measured", "Left out", "Failed"),
    ]


def test_a_ratio_is_the_median_of_those_of_the_rounds(page: Path) -> None:
    ours, theirs = goodputs("L1", "repram-bbr"), goodputs("L1", "tls-sock-cubic")
    each = [own / other for own, other in zip(ours, theirs, strict=True)]
    told = row(page, "Python `ssl`, blocking, CUBIC", "Against the others")[0]
    assert told == f"{median(each):.2f} ({min(each):.2f}–{max(each):.2f})"


def test_goodput_is_told_with_its_spread(page: Path) -> None:
    measured = goodputs("L4", "repram-bbr")
    told = row(page, "repram, BBR", "Goodput by link")[1]
    assert told == f"{median(measured):.1f} ({min(measured):.1f}–{max(measured):.1f})"


def test_files_are_compared_move_by_move(page: Path) -> None:
    def rates(peer: str, move: str) -> list[float]:
        lines = Run(read(RECORDED)).of("files", link="L1", peer=peer, move=move)
        return [line["goodput_mb_s"] for line in lines]

    ours = {move: rates("repram", move) for move in ("upload", "download")}
    for peer, moves in {"scp": ("handover",) * 2, "restic": ("upload", "download")}.items():
        cells = row(page, peer, "Files against the others")
        for own, theirs, cell in zip(ours.values(), moves, cells, strict=False):
            each = [mine / other for mine, other in zip(own, rates(peer, theirs), strict=True)]
            assert cell.startswith(f"{median(each):.2f}"), (peer, theirs)


def test_what_failed_on_a_link_has_no_figure_there(page: Path) -> None:
    assert row(page, "scp", "Files")[1] == "–"
    assert "- files, L4, one, scp: did not end within 120 s" in page.read_text()
    assert "- Syncthing: `syncthing` is missing" in page.read_text()


def test_every_loss_has_its_column(page: Path) -> None:
    assert row(page, "peer", "Goodput by loss") == ["0 %", "1 %", "10 %"]


def test_waiting_is_told_in_round_trips(page: Path) -> None:
    lines = Run(read(RECORDED)).of("queue", peer="repram-bbr")
    half = median(line["seen_by_link"]["there"]["queue_p50_us"] for line in lines) / 40_000
    assert row(page, "repram, BBR", "Queueing")[0].startswith(f"{half:.2f}")


def test_of_two_flows_alike_the_lesser_is_told(page: Path) -> None:
    told = row(page, "repram, BBR, the lesser", "Fairness")[1]
    assert int(told.partition("%")[0]) <= 50


def test_what_was_left_out_and_what_failed_is_named(page: Path) -> None:
    text = page.read_text()
    assert "- nginx: `nginx` is missing" in text
    assert "- transfer, L3:loss=100, repram-bbr: the client did not tell: " in text


def test_the_machine_and_the_versions_are_named(page: Path) -> None:
    line = Run(read(RECORDED)).machine
    for name in ("cpu", "kernel", "commit", "openssl", "aioquic", "iperf3"):
        assert str(line[name]) in page.read_text()


def test_every_plot_is_shown_and_well_formed(page: Path) -> None:
    shown = re.findall(r"\]\(plots/(.*?)\)", page.read_text())
    drawn = [path.name for path in (page.parent / "plots").iterdir()]
    assert sorted(shown) == sorted(drawn)
    for name in drawn:
        assert ET.parse(page.parent / "plots" / name).getroot().tag.endswith("svg")


def test_a_run_of_a_part_tells_that_part_alone(tmp_path: Path) -> None:
    part = tmp_path / "part.jsonl"
    lines = [line for line in read(RECORDED) if line["scenario"] in ("machine", "rpc")]
    part.write_text("".join(json.dumps(line) + "\n" for line in lines))
    text = report.write([part], tmp_path).read_text()
    assert re.findall(r"^## (.*)", text, re.MULTILINE) == ["Calls", "How it is measured"]
    assert "plots/" not in text
