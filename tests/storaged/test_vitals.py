"""A running node, as whoever watches it sees it: real processes, real pages, real logs."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.processes import Node, node, repram

_SHOWN = re.compile(rb"at=(http://127\.0\.0\.1:\d+)")


class Watched(Node):
    """A node and its pages; what it logs is read as far as the line that says where they are."""

    def __init__(self, running: Node) -> None:
        self.process, self.address = running.process, running.address
        assert self.process.stderr
        self.logged = b""
        while not (found := _SHOWN.search(self.logged)):
            line = self.process.stderr.readline()
            assert line, self.logged
            self.logged += line
        self.pages = found[1].decode()

    def page(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(self.pages + path, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as answer:
            with answer:
                return answer.code, answer.read().decode()

    def value(self, name: str, **labels: str) -> float:
        """A metric; 0 when it has not been counted yet."""
        found = [
            sample.value
            for family in text_string_to_metric_families(self.page("/metrics")[1])
            for sample in family.samples
            if sample.name == f"repram_storaged_{name}" and labels.items() <= sample.labels.items()
        ]
        return sum(found)


@contextmanager
def watched(*options: str) -> Iterator[Watched]:
    with node("--metrics", "127.0.0.1:0", *options) as running:
        yield Watched(running)


def test_what_a_node_does_is_counted_and_nothing_of_it_is_told(tmp_path: Path) -> None:
    canary = "attack at dawn, " * 100
    (tmp_path / "canary-name.txt").write_text(canary)
    with watched() as it:
        sent = repram("upload", tmp_path / "canary-name.txt", "--ttl", "30s", "--host", it.address)
        link = sent.stdout.decode().strip()
        assert repram("download", link, "-o", tmp_path / "back").returncode == 0
        assert it.value("requests_total", verb="put", outcome="done") >= 2  # body and manifest
        assert it.value("requests_total", verb="get", outcome="done") >= 2
        assert it.value("request_seconds_count", verb="put") >= 2
        assert it.value("items", kind="chunk") >= 2
        assert 0 < it.value("used_bytes") < it.value("capacity_bytes")
        assert it.value("overdue_items") == 0
        assert it.value("handshakes_total", outcome="completed") == 2
        told = it.page("/metrics")[1]
        code, log = it.stop()
    assert code == 0
    told += it.logged.decode() + log
    item, _, key = link.rpartition("/")[2].partition("#")
    for secret in (canary[:16], "canary-name", item, key, key[3:20]):
        assert secret not in told


def test_on_disk_its_syncs_are_timed_and_its_log_is_measured(tmp_path: Path) -> None:
    with watched("--disk", str(tmp_path / "node")) as it:
        assert it.value("info", tier="disk") == 1
        sent = repram("upload", "-", "--host", it.address, stdin=bytes(100_000))
        assert sent.returncode == 0
        assert it.value("fsync_seconds_count") >= 1
        assert it.value("log_bytes") > 100_000
        assert it.value("unreadable_entries_total") == 0


def test_readiness_ends_when_the_node_is_emptied(tmp_path: Path) -> None:
    with watched("--folder", str(tmp_path)) as it:
        assert it.page("/readyz") == (200, "ok\n")
        assert it.value("draining") == 0
        assert repram("storaged", "drain", "--folder", tmp_path).returncode == 0
        status, why = it.page("/readyz")
        assert (status, it.value("draining")) == (503, 1)
        assert "nothing new" in why
        assert it.page("/healthz") == (200, "ok\n")


def test_logs_may_be_json() -> None:
    with watched("--log", "json") as it:
        _, log = it.stop()
    lines = [json.loads(line) for line in (it.logged.decode() + log).splitlines()]
    assert all({"time", "level", "event", "source"} <= line.keys() for line in lines)
    assert any(line["event"].startswith("draining") for line in lines)


def test_pages_that_cannot_be_shown_end_the_start() -> None:
    with watched() as it:
        taken = it.pages.removeprefix("http://")
        done = repram("storaged", "run", "--listen", "127.0.0.1:0", "--metrics", taken)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"--metrics" in done.stderr
