"""What a node makes of the memory that it may take."""

from __future__ import annotations

from pathlib import Path

import pytest

from repram.storaged import budget

MIB = 1 << 20
MACHINE = budget.allowed(Path("/none"))


def machine(root: Path, cgroup: str, limits: dict[str, str]) -> Path:
    for name, said in {"proc/self/cgroup": cgroup, **limits}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(said + "\n")
    return root


@pytest.mark.parametrize(
    ("cgroup", "limits", "found"),
    [
        ("0::/a/b", {"a/b/memory.max": "max", "a/memory.max": "268435456"}, 256 * MIB),
        ("0::/", {"memory.max": "1048576"}, MIB),
        ("0::/a", {"a/memory.max": "max"}, MACHINE),
        ("0::/not/seen/from/here", {"memory.max": "2097152"}, 2 * MIB),
        (
            "3:cpu,cpuacct:/x\n4:memory:/a\n0::/",
            {
                "memory/a/memory.limit_in_bytes": "3145728",
                "memory/memory.limit_in_bytes": "9223372036854771712",
            },
            3 * MIB,
        ),
        ("4:memory:/", {"memory/memory.limit_in_bytes": "9223372036854771712"}, MACHINE),
        ("12:pids:/a\n0::/", {}, MACHINE),
    ],
    ids=["v2, above", "v2, a container", "v2, none", "v2, hidden", "v1", "v1, none", "none at all"],
)
def test_the_least_limit_of_machine_and_cgroups_counts(
    tmp_path: Path, cgroup: str, limits: dict[str, str], found: int
) -> None:
    files = {f"sys/fs/cgroup/{name}": said for name, said in limits.items()}
    assert budget.allowed(machine(tmp_path, cgroup, files)) == found


def test_of_256_mib_96_are_for_facts_and_a_node_holds_something_wherever_it_runs() -> None:
    assert budget.for_facts(256 * MIB) == 96 * MIB
    assert budget.for_facts(0) == 16 * MIB
