"""What is well, what is doubtful and what is bad about a machine: a truth table."""

from __future__ import annotations

import pytest

from repram_cli import checks
from repram_cli.checks import Finding, Level

MIB = 1 << 20
OK, WARN, BAD = Level.OK, Level.WARN, Level.BAD

TABLE: list[tuple[Finding, Level, str]] = [
    (checks.clock(True), OK, "synchronised"),
    (checks.clock(False), WARN, "does not say"),
    (checks.clock(None), WARN, "Nobody"),
    (checks.clock_offset(0.0, 0.01), OK, "0.00 s"),
    (checks.clock_offset(0.49, 0.01), OK, "behind"),
    (checks.clock_offset(-0.49, 0.01), OK, "ahead of"),
    (checks.clock_offset(0.5, 0.01), WARN, "0.50 s"),
    (checks.clock_offset(-1.99, 0.01), WARN, "1.99 s"),
    (checks.clock_offset(2.0, 0.01), BAD, "2.00 s"),
    (checks.clock_offset(-86_400, 0.01), BAD, "ahead of"),
    (checks.node_unreachable("repram+node://x", "nothing answers"), BAD, "nothing answers"),
    (checks.port("0.0.0.0 port 7433", None, in_use=False), OK, "free"),
    (checks.port("0.0.0.0 port 7433", "in use", in_use=True), WARN, "in use"),
    (checks.port("0.0.0.0 port 7", "Permission denied", in_use=False), BAD, "Permission denied"),
    (checks.loopback(None, 0.004), OK, "4.0 ms"),
    (checks.loopback("nothing answers", 0), BAD, "nothing answers"),
    (checks.socket_buffers(8 * MIB, 8 * MIB), OK, "8.0 MiB"),
    (checks.socket_buffers(8 * MIB, 4 * MIB), WARN, "4.0 MiB to send"),
    (checks.socket_buffers(212_992, 8 * MIB), BAD, "208.0 KiB to receive"),
    (checks.disk_space("/data", 5 << 30, 9 << 30), OK, "5.0 GiB free"),
    (checks.disk_space("/data", 512 * MIB, 9 << 30), WARN, "512.0 MiB free"),
    (checks.disk_space("/data", 1 * MIB, 9 << 30), BAD, "1.0 MiB free"),
    (checks.filesystem("/data", "ext4"), OK, "ext4"),
    (checks.filesystem("/data", "xfs"), OK, "xfs"),
    (checks.filesystem("/data", "btrfs"), WARN, "in place"),
    (checks.filesystem("/data", "zfs"), WARN, "in place"),
    (checks.filesystem("/data", "tmpfs"), WARN, "restart"),
    (checks.filesystem("/data", "overlay"), WARN, "container"),
    (checks.filesystem("/data", "nfs4"), WARN, "over there"),
    (checks.filesystem("/data", "fuse.rclone"), WARN, "over there"),
    (checks.fsync("/data", 0.001), OK, "1.0 ms"),
    (checks.fsync("/data", 0.03), WARN, "30.0 ms"),
    (checks.fsync("/data", 0.5), BAD, "500.0 ms"),
    (checks.fsync("/data", None), BAD, "Nothing can be written"),
    (checks.swap([]), OK, "not swapped"),
    (checks.swap(["/dev/zram0"]), OK, "not swapped"),
    (checks.swap(["/dev/zram0", "/swapfile"]), WARN, "/swapfile"),
    (checks.core_dumps(0, "core"), OK, "no copy"),
    (checks.core_dumps(-1, "core"), WARN, "a file"),
    (checks.core_dumps(1, "core"), WARN, "a file"),
    (checks.core_dumps(0, "|/usr/lib/systemd/systemd-coredump %P"), WARN, "a program"),
    (checks.descriptors(1024), OK, "1024"),
    (checks.descriptors(-1), OK, "any number"),
    (checks.descriptors(64), BAD, "64"),
    (checks.suites(["XCHACHA20", "AEGIS256"]), OK, "AEGIS-256"),
    (checks.suites(["XCHACHA20"]), OK, "XChaCha20"),
]


@pytest.mark.parametrize(
    ("finding", "level", "part"), TABLE, ids=[f"{f.topic}: {f.says[:40]}" for f, _, _ in TABLE]
)
def test_a_reading_is_judged(finding: Finding, level: Level, part: str) -> None:
    assert finding.level is level
    assert part in finding.says
    assert finding.says.endswith(".")


@pytest.mark.parametrize("finding", [finding for finding, _, _ in TABLE], ids=lambda f: f.says[:40])
def test_what_is_not_well_comes_with_something_to_do(finding: Finding) -> None:
    assert bool(finding.advice) == (finding.level is not OK) or finding.topic == "port"
    assert not finding.advice or finding.advice.endswith(".")
