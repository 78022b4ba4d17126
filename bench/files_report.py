"""What docs/benchmarks.md tells of files, from the lines of one run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from bench import plots
from bench.files import CARRIERS
from bench.links import parse_profile
from bench.results import Line
from bench.run import Run, by_round, table
from bench.spread import Spread

OURS: Final = "repram"
MOVES: Final = ("upload", "download")
TITLES: Final = {"one": "One file", "many": "Many small files, 1 to 16 KiB"}
ABOUT: Final = {
    "goodput_mb_s": "Rate of `repram` as a multiple of theirs; above 1 it is quicker.",
    "cpu_s_gib": "CPU seconds per GiB of `repram` as a multiple of theirs; below 1 it costs less.",
}
FIELDS: Final = {
    "seconds": "Seconds",
    "goodput_mb_s": "MB/s",
    "cpu_s_gib": "CPU seconds per GiB, both sides together",
}
METHOD: Final = """\
Files go from side A to side B, in memory on both, by the commands that a person would use; timed from when
the command starts until it has ended on both sides, with the CPU seconds of both, and believed only when
what arrived is the same byte for byte. A store (repram on a node, rclone's crypt by WebDAV, restic by REST)
is uploaded to and downloaded from; the others hand over in one step, and both of ours are compared with
that one. magic-wormhole goes straight from side to side, Syncthing is timed from the scan on with the
devices connected, OpenSSH is a server of its own with its usual ciphers. TCP is controlled by CUBIC where
nothing is lost and by BBR elsewhere. Before every turn as much memory is touched as it will need.
"""


def against_the_others(run: Run) -> Iterator[str]:
    """Ratios: ours by theirs."""
    for load in run.distinct("files", "load", peer=OURS):
        links = run.distinct("files", "link", load=load, peer=OURS)
        others = [each for each in run.distinct("files", "peer", load=load) if each != OURS]
        columns = [(link, move) for link in links for move in MOVES]
        yield f"**{TITLES[load]}**\n"
        for field, sentence in ABOUT.items():
            yield sentence + "\n"
            rows = [
                [peer]
                + [_ratio(_measured(run, load, link), peer, move, field) for link, move in columns]
                for peer in others
            ]
            yield from table(["carrier", *(f"{link} {move}" for link, move in columns)], rows)
            yield ""


def figures(run: Run) -> Iterator[str]:
    """Seconds, MB/s and CPU of every carrier."""
    loads = [load for load in run.distinct("files", "load") if _rows(run, load)]
    if not loads:
        return
    yield "![Files](plots/files.svg)\n"
    yield METHOD
    for load in loads:
        links = run.distinct("files", "link", load=load)
        yield f"**{TITLES[load]}**\n"
        yield from (
            f"- {link} ({parse_profile(link)}): {_amount(run, load, link)}"
            for link in links
            if _measured(run, load, link)
        )
        for field, heading in FIELDS.items():
            yield f"\n{heading}:\n"
            rows = (
                [name, *(_spread(run, load, link, row, field) for link in links)]
                for name, *row in _rows(run, load)
            )
            yield from table(["carrier", *links], rows)
        yield ""


def plot(run: Run) -> str | None:
    """Rates by load and link."""
    panels = [
        plots.Panel(f"{link}: {_amount(run, load, link)}", bars)
        for load in run.distinct("files", "load")
        for link in run.distinct("files", "link", load=load)
        if (bars := list(_bars(run, load, link)))
    ]
    return plots.bars("Files, MB/s (longer is better)", panels) if panels else None


def _bars(run: Run, load: str, link: str) -> Iterator[plots.Bar]:
    for name, peer, move in _rows(run, load):
        if value := _spread(run, load, link, (peer, move), "goodput_mb_s"):
            yield plots.Bar(name, CARRIERS[peer].family, value)


def _spread(run: Run, load: str, link: str, row: Sequence[str], field: str) -> Spread | None:
    peer, move = row
    return run.spread("files", field, load=load, link=link, peer=peer, move=move)


def _ratio(lines: Sequence[Line], peer: str, move: str, field: str) -> Spread | None:
    ours = [each for each in lines if each.get("peer") == OURS and each["move"] == move]
    comparable = (move, "handover")
    theirs = [each for each in lines if each.get("peer") == peer and each["move"] in comparable]
    return Spread.of_ratios(by_round(ours, field), by_round(theirs, field))


def _rows(run: Run, load: str) -> list[tuple[str, str, str]]:
    """A name, the carrier and its move."""
    return [
        (peer if move == "handover" else f"{peer} {move}", peer, move)
        for peer in run.distinct("files", "peer", load=load)
        for move in run.distinct("files", "move", load=load, peer=peer)
    ]


def _measured(run: Run, load: str, link: str) -> list[Line]:
    return [line for line in run.of("files", load=load, link=link) if "bytes" in line]


def _amount(run: Run, load: str, link: str) -> str:
    line = _measured(run, load, link)[0]
    size = f"{line['bytes'] / 2**20:,.0f} MiB"
    return f"one file of {size}" if load == "one" else f"{line['files']:,} files, {size}"
