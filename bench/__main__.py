"""`python -m bench`: see README.md beside this file."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import files, links, measure, peers, report
from bench.results import Results
from bench.scenarios import SCENARIOS, Bench, Choice


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what the command line names."""
    args = parse(arguments)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored when a shell starts it aside
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        links.clear_leftovers()
        return int(args.run(args) or 0)
    except links.Unavailable as unavailable:
        print(unavailable, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, scenario in {"all": None, **SCENARIOS}.items():
        about = scenario.__doc__ if scenario else "Every scenario in one run."
        command = commands.add_parser(name, help=about)
        command.set_defaults(run=measure_it, scenario=name)
        _add_choices(command, of=name)
    page = commands.add_parser("report", help="Write docs/benchmarks.md and its plots.")
    page.add_argument("files", nargs="*", type=Path, help="lines of a run; the newest `all`")
    page.add_argument("--docs", type=Path, default=report.DOCS, help="the folder to write to")
    page.set_defaults(
        run=lambda args: print(report.write(args.files or [report.newest()], args.docs))
    )
    hold = commands.add_parser("link", help="Set up a link and hold it until Ctrl-C.")
    hold.add_argument("link", metavar="LINK", type=_link)
    hold.set_defaults(run=hold_link)
    return parser.parse_args(arguments)


def _add_choices(command: argparse.ArgumentParser, *, of: str) -> None:
    if of in ("transfer", "files"):
        command.add_argument("--links", type=_links, help="such as L1,L3 or L4:loss=0:queue=4")
    if of == "files":
        names = ", ".join(files.CARRIERS)
        command.add_argument("--carriers", type=_carriers, help=f"of {names}, or their beginnings")
        command.add_argument("--count", type=int, help="of the small files; 0: none")
    else:
        command.add_argument("--peers", type=_peers, help=f"of {', '.join(peers.NAMES)}")
        command.add_argument("--seconds", type=float, help="that each transfer takes")
    command.add_argument("--rounds", type=int)
    command.add_argument("--size", type=int, default=0, metavar="MIB", help="of what is moved")


def _link(text: str) -> str:
    try:
        return links.parse_profile(text).name
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _links(text: str) -> tuple[str, ...]:
    return tuple(map(_link, text.split(",")))


def _peer(text: str) -> str:
    try:
        return peers.find(text).name
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _peers(text: str) -> tuple[str, ...]:
    return tuple(map(_peer, text.split(",")))


def _carrier(text: str) -> str:
    try:
        return files.find(text).name
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _carriers(text: str) -> tuple[str, ...]:
    return tuple(map(_carrier, text.split(",")))


def measure_it(args: argparse.Namespace) -> None:
    """Runs one scenario, or all of them."""
    names = SCENARIOS if args.scenario == "all" else [args.scenario]
    choice = Choice(
        links=getattr(args, "links", None),
        peers=getattr(args, "peers", None),
        carriers=getattr(args, "carriers", None),
        rounds=args.rounds,
        seconds=getattr(args, "seconds", None),
        size=args.size << 20,
        count=getattr(args, "count", None),
    )
    results = Results.of_a_run(args.scenario)
    with measure.workshop() as folder:
        for name in names:
            with results.under(scenario=name):
                SCENARIOS[name](Bench(results, choice, folder))
    results.close()
    print(results.path)
    if args.scenario == "all":
        print(report.write([results.path]) if results.carried else "no link was measured: no page")


def hold_link(args: argparse.Namespace) -> None:
    """Tells how to get at the two sides, and then what the link saw whenever Enter is pressed."""
    profile = links.parse_profile(args.link)
    with links.up(profile) as link:
        print(f"{profile}; Enter tells what the link saw, Ctrl-C ends it")
        for side in ("a", "b"):
            print(f"{link.address(side)}: ip netns exec {link.namespaces[side]} COMMAND")
        for _ in sys.stdin:
            print(link.counters())


if __name__ == "__main__":
    raise SystemExit(main())
