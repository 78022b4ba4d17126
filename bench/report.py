"""docs/benchmarks.md and its plots, from the lines of one run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from bench import files_report, plots
from bench.links import Profile, parse_profile
from bench.processes import ROOT, STATE
from bench.results import COMMANDS, PACKAGES, Line, read
from bench.run import Run, by_round, table
from bench.spread import Spread

DOCS: Final = ROOT / "docs"
OURS: Final = "repram-bbr"
FAMILIES: Final[dict[str, plots.Family]] = {
    "repram": "ours",
    "repram-xchacha20": "ours",
    "tls-sock": "tls",
    "tls-uvloop": "tls",
    "nginx": "tls",
    "aioquic": "quic",
    "iroh-fixed": "quic",
    "iperf3": "plain",
}
CALLED: Final = {
    "repram-xchacha20": "repram, XChaCha20-Poly1305 forced",
    "tls-sock": "Python `ssl`, blocking",
    "tls-uvloop": "Python `ssl` on uvloop",
    "nginx": "nginx + curl",
    "iroh-fixed": "iroh",
    "iperf3": "plain TCP (iperf3)",
}

INTRODUCTION: Final = """\
# Benchmarks

Written by `make bench` from one run; [bench/README.md](../bench/README.md) tells how to repeat it. Figures
are medians with the least and the most of the rounds in brackets. Ratios compare rounds of the same run,
peers taking turns, and travel better between machines than MB/s do: 1 MB is 10⁶ bytes, 1 GiB 2³⁰.
"""
METHOD: Final = """\
## How it is measured

Side A sends to side B, memory to memory, each side a network namespace. Every transfer lasts a fixed time,
counted from when the session stands; the bytes are those that arrived. On L0 to L2 a round that warms up
comes first and is not told. CPU seconds are those of the sending and the receiving process, without the
start of an interpreter and without the emulator of L3 to L5. What the kernel does for a process in
interrupts falls on whoever runs then, for all peers alike. Peers run without the right to exceed the
system's limits on socket buffers, which are 32 MiB here and stock where it is said. Loss is each way,
queues hold one bandwidth-delay product unless said otherwise. TLS is 1.3 with what OpenSSL prefers. aioquic
has 32 MiB windows, CUBIC and packets of 1,440 bytes. iroh is used through its Python binding, in which one
method is replaced that copied byte by byte; without that it moves some 11 MB/s.
"""


def write(sources: Sequence[Path], docs: Path = DOCS) -> Path:
    """Writes the page and its plots from a run, or several that are told as one; the path of the page."""
    run = Run([line for source in sources for line in read(source)])
    (docs / "plots").mkdir(parents=True, exist_ok=True)
    for name, plot in _plots(run):
        (docs / "plots" / name).write_text(plot)
    page = docs / "benchmarks.md"
    page.write_text("\n".join(_page(run)))
    return page


def newest() -> Path:
    """The newest run of everything."""
    return max(STATE.glob("all-*.jsonl"), key=lambda path: path.stat().st_mtime)


# ---- the page ----


def _page(run: Run) -> Iterator[str]:
    yield INTRODUCTION
    yield _machine(run.machine)
    for title, section in SECTIONS.items():
        if told := list(section(run)):
            yield f"\n## {title}\n"
            yield from told
    yield f"\n{METHOD}"
    yield from _gaps(run)


def _machine(line: Line) -> str:
    others = [*PACKAGES, *COMMANDS]
    versions = ", ".join(f"{name} {line[name]}" for name in others if line.get(name))
    return (
        f"{line['when']}, commit `{line['commit']}`: {line['cores']} cores of {line['cpu']}, "
        f"Linux {line['kernel']}, Python {line['python']}, {line['openssl']}; {versions}."
    )


def _ratios(run: Run) -> Iterator[str]:
    about = {
        "goodput_mb_s": "Goodput of `{}` as a multiple of theirs; above 1 it carries more.",
        "cpu_s_gib": "CPU seconds per GiB of `{}` as a multiple of theirs; below 1 it costs less.",
    }
    links = run.distinct("transfer", "link")
    others = [peer for peer in run.distinct("transfer", "peer") if peer != OURS]
    if not others or OURS not in run.distinct("transfer", "peer"):
        return
    for field, sentence in about.items():
        yield sentence.format(OURS) + "\n"
        yield from table(
            ["peer", *links],
            (
                [_called(peer), *(_ratio(run, link, peer, field) for link in links)]
                for peer in others
            ),
        )
        yield ""
    yield from (f"- {link}: {_profile(link)}" for link in links)


def _ratio(run: Run, link: str, peer: str, field: str) -> Spread | None:
    ours = by_round(run.of("transfer", link=link, peer=OURS), field)
    theirs = by_round(run.of("transfer", link=link, peer=peer), field)
    return Spread.of_ratios(ours, theirs)


def _by_link(run: Run) -> Iterator[str]:
    if not run.distinct("transfer", "peer"):
        return
    yield "![Goodput by link](plots/goodput-by-link.svg)\n"
    yield "MB/s:\n"
    yield from _figures(run, "goodput_mb_s")


def _cpu(run: Run) -> Iterator[str]:
    if not run.distinct("transfer", "peer"):
        return
    yield "![CPU seconds per GiB](plots/cpu.svg)\n"
    yield "CPU seconds per GiB, both sides together:\n"
    yield from _figures(run, "cpu_s_gib")


def _figures(run: Run, field: str) -> Iterator[str]:
    links, names = run.distinct("transfer", "link"), run.distinct("transfer", "peer")
    return table(
        ["peer", *links],
        (
            [
                _called(peer),
                *(run.spread("transfer", field, link=link, peer=peer) for link in links),
            ]
            for peer in names
        ),
    )


def _loss(run: Run) -> Iterator[str]:
    links, names = run.distinct("loss", "link"), run.distinct("loss", "peer")
    if not names:
        return
    yield "![Goodput by loss](plots/goodput-by-loss.svg)\n"
    yield f"MB/s on {_way(parse_profile(links[0]))}, by loss each way:\n"
    yield from table(
        ["peer", *(_lost(link) for link in links)],
        (
            [_called(peer)]
            + [run.spread("loss", "goodput_mb_s", link=link, peer=peer) for link in links]
            for peer in names
        ),
    )


def _bursts(run: Run) -> Iterator[str]:
    links, names = run.distinct("bursts", "link"), run.distinct("bursts", "peer")
    if not names:
        return
    yield "The same share lost in bursts of four, or there alone and nothing back. MB/s:\n"
    yield from table(
        ["link", *map(_called, names)],
        (
            [
                _profile(link),
                *(run.spread("bursts", "goodput_mb_s", link=link, peer=p) for p in names),
            ]
            for link in links
        ),
    )


def _fairness(run: Run) -> Iterator[str]:
    pairs: dict[tuple[str, str], None] = {}
    for line in run.of("fairness"):
        if line.get("beside") and (line["beside"][0], line["peer"]) not in pairs:
            pairs[line["peer"], line["beside"][0]] = None
    if not pairs:
        return
    link = run.distinct("fairness", "link")[0]
    yield f"Two flows that begin within a second on {_way(parse_profile(link))}, with a queue of one BDP.\n"
    yield from table(
        ["flow", "beside", "its share of both", "both, MB/s"],
        (_pair(run, first, second) for first, second in pairs),
    )


def _pair(run: Run, first: str, second: str) -> list[object]:
    """Of two that are alike, the share of the one that got less."""
    lines = run.of("fairness", peer=first, beside=[second])
    shares: dict[int, float] = {}
    both: dict[int, float] = {}
    for line in lines:
        number = line["round"]
        shares[number] = min(shares.get(number, 1.0), line["share"])
        both[number] = line["goodput_mb_s"] / line["share"] if line["share"] else 0.0
    which = f"{_called(first)}, the lesser" if first == second else _called(first)
    return [which, _called(second), _percent(Spread.of(shares.values())), Spread.of(both.values())]


def _queue(run: Run) -> Iterator[str]:
    names = run.distinct("queue", "peer")
    if not names:
        return
    profile = parse_profile(run.distinct("queue", "link")[0])
    yield (
        f"How long packets of a lone flow wait for the line, in RTTs of {profile.rtt:g} ms, on "
        f"{_way(profile)} with a queue of {profile.queue:g} BDP. The emulator knows.\n"
    )
    yield from table(
        ["peer", "half of them", "99 %", "MB/s"],
        (
            [
                _called(peer),
                *(_waits(run, peer, each, profile) for each in ("queue_p50_us", "queue_p99_us")),
                run.spread("queue", "goodput_mb_s", peer=peer),
            ]
            for peer in names
        ),
    )


def _waits(run: Run, peer: str, which: str, profile: Profile) -> Spread | None:
    lines = run.of("queue", peer=peer)
    rtt_us = profile.rtt * 1000
    return Spread.of(line["seen_by_link"]["there"][which] / rtt_us for line in lines)


def _buffers(run: Run) -> Iterator[str]:
    names = run.distinct("buffers", "peer")
    if not names:
        return
    yield "MB/s on L1 with socket buffers limited as Linux does by itself (208 KiB), and with 32 MiB:\n"
    yield from table(
        ["peer", "stock", "large"],
        (
            [_called(peer)]
            + [
                run.spread("buffers", "goodput_mb_s", peer=peer, buffers=kind)
                for kind in ("stock", "large")
            ]
            for peer in names
        ),
    )


def _calls(run: Run) -> Iterator[str]:
    kinds = run.distinct("rpc", "calls")
    if not kinds:
        return
    yield "Echoes of 64 bytes over loopback, one core a side.\n"
    fields = ("ops_s", "p50_us", "p99_us", "cpu_us_op_caller", "cpu_us_op_server")
    heads = ("calls/s", "half within, µs", "99 % within, µs", "CPU µs, caller", "CPU µs, server")
    yield from table(
        ["", *heads],
        ([kind, *(run.spread("rpc", field, calls=kind) for field in fields)] for kind in kinds),
    )


def _imports(run: Run) -> Iterator[str]:
    for line in run.of("imports"):
        if "ms" in line:
            yield f"`import repram` takes {line['ms']:g} ms beyond an empty interpreter's start."


def _gaps(run: Run) -> Iterator[str]:
    """What was left out, and what failed."""
    out = dict.fromkeys(
        f"- {line['left_out']}: {line['why']}" for line in run.lines if "left_out" in line
    )
    failed = [
        f"- {_where(line)}, {' + '.join(line['peers'])}: {line['error']}"
        for line in run.lines
        if "error" in line
    ]
    if out:
        yield "\n## Left out\n"
        yield from out
    if failed:
        yield "\n## Failed\n"
        yield from failed
    yield ""


def _where(line: Line) -> str:
    return ", ".join(line[each] for each in ("scenario", "link", "load") if each in line)


SECTIONS: Final[Mapping[str, Callable[[Run], Iterator[str]]]] = {
    "Against the others": _ratios,
    "Files against the others": files_report.against_the_others,
    "Files": files_report.figures,
    "Goodput by link": _by_link,
    "CPU": _cpu,
    "Goodput by loss": _loss,
    "Loss in bursts, and one way": _bursts,
    "Fairness": _fairness,
    "Queueing": _queue,
    "Socket buffers": _buffers,
    "Calls": _calls,
    "Import": _imports,
}


# ---- plots ----


def _plots(run: Run) -> Iterator[tuple[str, str]]:
    if run.distinct("transfer", "peer"):
        every = _panels(run, "goodput_mb_s", run.distinct("transfer", "link"))
        yield "goodput-by-link.svg", plots.bars("Goodput, MB/s (longer is better)", every)
        clean = [link for link in run.distinct("transfer", "link") if not parse_profile(link).loss]
        costs = _panels(run, "cpu_s_gib", clean)
        title = "CPU seconds per GiB, both sides, where nothing is lost (shorter is better)"
        yield "cpu.svg", plots.bars(title, costs, cut=True)
    if files := files_report.plot(run):
        yield "files.svg", files
    if run.distinct("loss", "peer"):
        losses = run.distinct("loss", "link")
        title = f"Goodput by loss, MB/s, {_way(parse_profile(losses[0]))}"
        series = [_series(run, peer, losses) for peer in run.distinct("loss", "peer")]
        labels = [_lost(link) for link in losses]
        yield "goodput-by-loss.svg", plots.lines(title, labels, "loss each way", series)


def _panels(run: Run, field: str, links: Sequence[str]) -> list[plots.Panel]:
    """One a link, of those on which anything arrived."""
    panels = [_panel(run, link, field) for link in links]
    return [panel for panel in panels if panel.bars]


def _panel(run: Run, link: str, field: str) -> plots.Panel:
    bars = [
        plots.Bar(peer, _family(peer), value)
        for peer in run.distinct("transfer", "peer")
        if (value := run.spread("transfer", field, link=link, peer=peer))
    ]
    return plots.Panel(f"{link}: {_profile(link)}", bars)


def _series(run: Run, peer: str, links: Sequence[str]) -> plots.Series:
    values = [run.spread("loss", "goodput_mb_s", link=link, peer=peer) for link in links]
    return plots.Series(peer, _family(peer), peer.endswith("cubic"), values)


# ---- words ----


def _kind(peer: str) -> str:
    return peer.removesuffix("-bbr").removesuffix("-cubic")


def _family(peer: str) -> plots.Family:
    return FAMILIES[_kind(peer)]


def _called(peer: str) -> str:
    kind = _kind(peer)
    control = peer.removeprefix(kind).removeprefix("-").upper()
    return ", ".join(part for part in (CALLED.get(kind, kind), control) if part)


def _profile(link: str) -> str:
    return str(parse_profile(link))


def _lost(link: str) -> str:
    return f"{parse_profile(link).loss:g} %"


def _way(profile: Profile) -> str:
    return f"{profile.rtt:g} ms, {profile.rate:g} Mbit/s"


def _percent(spread: Spread | None) -> str | None:
    if spread is None:
        return None
    return f"{spread.middle:.0%} ({spread.least:.0%}–{spread.most:.0%})"
