"""Compiles every fuzz_*.c with libFuzzer, ASan and UBSan, and runs each for some seconds."""

import argparse
import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.c.compile import LANGUAGE, ROOT, Compiler, programs, require, select

TARGETS = ROOT / "tests" / "fuzz"
BUILD = ROOT / "build" / "fuzz"
SANITIZERS = "address,undefined"
FLAGS = ("-g", "-O2", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")
COUNTERS_ONLY = "-fno-sanitize-coverage=trace-cmp"  # three times as many inputs a second


def main() -> int:
    """Fuzzes what the command line names; 1 when any target crashes."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description=__doc__)
    parser.add_argument("names", nargs="*", help="such as fuzz_header; all when none is given")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    arguments = parser.parse_args()
    require("clang", "sodium.h")
    compiler = Compiler(
        "clang",
        (*LANGUAGE, *FLAGS, f"-fsanitize=fuzzer-no-link,{SANITIZERS}", COUNTERS_ONLY),
        (f"-fsanitize=fuzzer,{SANITIZERS}",),
        BUILD,
    )
    sources = select(sorted(TARGETS.glob("fuzz_*.c")), arguments.names)
    targets = programs(compiler, sources)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        survived = list(pool.map(lambda target: fuzz(target, arguments.seconds), targets))
    return 0 if all(survived) else 1


def fuzz(target: Path, seconds: int) -> bool:
    """Runs one target; what it learns, and an input that crashes it, stay in the build folder."""
    learnt = BUILD / "corpus" / target.name
    learnt.mkdir(parents=True, exist_ok=True)
    seeds = TARGETS / "corpus" / target.name
    run = subprocess.run(
        [
            target,
            f"-max_total_time={seconds}",
            f"-artifact_prefix={BUILD}/{target.name}-",
            "-timeout=10",
            "-rss_limit_mb=2048",
            "-print_final_stats=1",
            learnt,
            *([seeds] if seeds.is_dir() else []),
        ],
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if run.returncode != 0:
        print(f"{target.name} CRASHED\n{run.stderr[-4000:]}", flush=True)
        return False
    units = re.search(r"number_of_executed_units: (\d+)", run.stderr)
    print(f"{target.name} ok, {units[1] if units else '?'} inputs in {seconds} s", flush=True)
    return True


if __name__ == "__main__":
    raise SystemExit(main())
