"""`python -m tests.sim --seeds N --first S`: many random scenarios, a line a seed.

`--hour [SECONDS] --endpoints 100`: so long a time among all enemies at once, see tests/sim/hour.py.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context

from tests.sim.hardships import PATHS, both_ways
from tests.sim.hour import EARLY, HASTY, Hour, Pace
from tests.sim.matrix import ROWS, connection
from tests.sim.plan import Plan, draw
from tests.sim.scenario import Result, run_and_compare

TEN_MB = 10_000_000

#: A row of the summary, and the counters that add up to it.
RARE = {
    "handshakes": ("handshakes_completed",),
    "packets emitted": ("world_emitted",),
    "datagrams": ("app_datagrams",),
    "lost on the way": ("link_lost", "link_burst_lost", "link_overflowed", "link_blacked_out"),
    "too large for the path": ("link_oversize",),
    "MTU probe": ("mtu_probes",),
    "MTU found": ("mtu_found",),
    "black hole": ("black_holes",),
    "packets declared lost": ("lost_packets",),
    "retransmitted frames": ("retransmitted_frames",),
    "PTO": ("ptos",),
    "spurious retransmission": ("spurious",),
    "reduction undone": ("undone_reductions",),
    "persistent congestion": ("persistent_congestion",),
    "reordered on the way": ("link_reordered",),
    "reordering seen": ("reordered",),
    "duplicated on the way": ("link_duplicated",),
    "duplicate dropped": ("dropped_replay",),
    "stream abandoned": ("app_abandoned",),
    "INIT repeated": ("inits_repeated",),
    "marked": ("link_marked",),
    "marks heeded": ("ecn_marks",),
    "corrupted on the way": ("link_corrupted",),
    "corruption dropped": ("dropped_crc",),
    "failed tag": ("dropped_auth",),
    "no such session": ("dropped_session",),
    "sent to a stale address": ("world_unrouted",),
    "packet number wrapped": ("world_wrapped",),
    "address changed": ("world_rebound",),
    "migration": ("migrations",),
    "path challenged": ("path_challenges",),
    "new keys": ("key_updates",),
    "ratchet": ("ratchets",),
    "cookie asked for": ("retries_out",),
    "stranger refused": ("refused_out",),
    "other version": ("versions_out",),
    "server restarted": ("world_restarts",),
    "stateless reset": ("resets_in",),
    "injected by a stranger": ("world_injected",),
    "idle close": ("idle_closes",),
    "protocol error": ("protocol_errors",),
    "session of an endpoint": ("hour_visits",),
    "session lost and begun anew": (
        *("hour_lost_by_idle", "hour_lost_by_reset", "hour_lost_by_unreachable"),
    ),
    "peer turned traitor": ("hour_betrayals",),
    "caller who never goes on": ("hour_silent_callers",),
}


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="how many random scenarios")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--twice", action="store_true", help="run each twice, compare the traces")
    parser.add_argument("--stop", action="store_true", help="stop at the first that fails")
    parser.add_argument(
        "--each-way",
        type=int,
        metavar="MIB",
        help="no random scenarios: so many MiB in both directions over every named path",
    )
    parser.add_argument(
        "--matrix",
        type=int,
        metavar="N",
        help="nor those: N connections, from the first on, of 10 MB over each path of the matrix",
    )
    parser.add_argument(
        "--hour",
        type=int,
        nargs="?",
        const=3600,
        metavar="SECONDS",
        help="no random scenarios: endpoints come and go for so long, and all attackers are at it at once",
    )
    parser.add_argument("--endpoints", type=int, default=100, help="in that hour")
    arguments = parser.parse_args()
    if arguments.hour:
        pace = HASTY if arguments.hour < 600 else Pace()
        hour = Hour(arguments.hour, arguments.endpoints, f"hour {arguments.first}", pace)
        failed = _report([(hour.plan.seed, hour.plan)], [hour.run()], stop=True)
        early, late = arguments.hour // EARLY, arguments.hour
        print(
            f"bytes that the node holds for a session, after {early} s and {late} s: {hour.idle_costs}"
        )
        return 1 if failed else 0
    plans = list(_plans(arguments))
    with _results([plan for _, plan in plans], arguments.jobs, twice=arguments.twice) as results:
        return 1 if _report(plans, results, stop=arguments.stop) else 0


def _plans(arguments: argparse.Namespace) -> Iterator[tuple[str, Plan]]:
    first = arguments.first
    if arguments.each_way:
        for name in PATHS:
            yield f"path {name}", both_ways(name, arguments.each_way << 20)
    elif arguments.matrix:
        for row in ROWS:
            for number in range(first, first + arguments.matrix):
                yield f"{row}, connection {number}", connection(row, number, TEN_MB)
    else:
        for seed in range(first, first + arguments.seeds):
            yield f"seed {seed}", draw(seed)


@contextmanager
def _results(plans: list[Plan], jobs: int, *, twice: bool) -> Iterator[Iterable[Result]]:
    """What comes of the plans, in their order; one job stays in this process, crashes and all."""
    work = partial(run_and_compare, twice=twice)
    if jobs == 1:
        yield map(work, plans)
        return
    with get_context("spawn").Pool(jobs) as pool:
        yield pool.imap(work, plans)


def _report(plans: list[tuple[str, Plan]], results: Iterable[Result], *, stop: bool) -> list[str]:
    """Print a line for each plan and the summary; returns the labels of those that failed."""
    total: Counter[str] = Counter()
    scenarios: Counter[str] = Counter()
    failed = []
    for (label, _), result in zip(plans, results, strict=True):
        print_line(label, result)
        total.update(result.counters)
        scenarios.update(name for name, count in result.counters.items() if count)
        if not result.ok:
            failed.append(label)
            if stop:
                return failed
    _print_summary(total, scenarios, len(plans))
    if failed:
        print(f"\n{len(failed)} of {len(plans)} failed: {', '.join(failed)}")
    return failed


def print_line(label: str, result: Result) -> None:
    """A line that can be compared and, for a failure, all that is needed to replay it."""
    if result.ok:
        print(f"{label} trace {result.trace} ok", flush=True)
        return
    *before, reason = result.why.strip().splitlines()
    print(f"{label} trace {result.trace} FAILED: {reason}")
    print("\n".join(before), end="\n" if before else "")
    print(f"  after {result.seconds:.6f} s of {result.plan}", flush=True)


def _print_summary(total: Counter[str], scenarios: Counter[str], count: int) -> None:
    print(f"\n{'what happened':32}{'times':>12}{'in scenarios':>16}")
    for name, counters in RARE.items():
        times = sum(total[each] for each in counters)
        seen = max(scenarios[each] for each in counters)
        print(f"{name:32}{times:12}{seen:12}/{count}")


if __name__ == "__main__":
    sys.exit(main())
